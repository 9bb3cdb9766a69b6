"""For authors of plugins: the conformance suite of each role, fakes, and a simulated world.

A suite is a class with `test_...` methods and a few methods to override; subclass it in a pytest
file:

    from flk.testing.store import StoreSuite

    class TestAcmeStore(StoreSuite):
        def make(self): ...

Its tests use no pytest fixtures, so that `failing` can run a suite without pytest. Put
`pytest.register_assert_rewrite("flk.testing")` into the plugin's conftest for readable failures.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flk.testing.world import SimWorld as SimWorld

__all__ = ["SimWorld", "failing"]


def failing(suite: type) -> dict[str, BaseException]:
    """Run every test of a suite on a fresh instance; failures by name of the test.

    Tests may be coroutines. What pytest would count as skipped counts as passed.
    """
    failed: dict[str, BaseException] = {}
    for name in sorted(n for n in dir(suite) if n.startswith("test_")):
        instance = suite()
        setup = getattr(instance, "setup_method", None)
        teardown = getattr(instance, "teardown_method", None)
        try:
            if setup:
                setup()
            outcome = getattr(instance, name)()
            if inspect.iscoroutine(outcome):
                import asyncio

                asyncio.run(outcome)
        except BaseException as error:
            if type(error).__name__ != "Skipped":
                failed[name] = error
        finally:
            if teardown:
                teardown()
    return failed


def __getattr__(name: str) -> Any:
    if name == "SimWorld":  # it needs asyncio, which a suite may not
        from flk.testing.world import SimWorld

        return SimWorld
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
