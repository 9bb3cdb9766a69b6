"""The conformance suite of the role *workflow*, with a trainer that fits most."""

from __future__ import annotations

import copy
import threading
from typing import Any, ClassVar

import pytest

import flk
from flk.calls import Fault
from flk.calls.app import ServerApp
from flk.calls.trees import flatten, unflatten
from flk.errors import UsageError
from flk.job import Run
from flk.model import FLModel
from flk.spi.workflow import Workflow
from flk.testing.local import LocalEnv, Memory

__all__ = ["Trainer", "WorkflowSuite"]

DEADLINE = 60.0


class Trainer:
    """Moves what it is given by the site's number; an FLModel comes back as one."""

    @flk.collab
    def train(self, model: Any) -> Any:
        step = float(flk.site.rpartition("-")[2])
        if isinstance(model, FLModel):
            params, metrics = _moved(model.params, step), {"step": step}
            return FLModel(params, metrics=metrics, meta={"weight": step})
        return _moved(model, step)


def _moved(tree: Any, step: float) -> Any:
    leaves, structure = flatten(tree)
    return unflatten([leaf + step for leaf in leaves], structure)


class WorkflowSuite:
    """Override `make`, and `user` where sites need more than `train`. Capabilities: `durable` if
    its rounds are `flk.rounds`, `tolerant` if one failing site of three is no error."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"durable"})

    def make(self) -> Workflow:
        """A new workflow of at least two rounds, or steps."""
        raise NotImplementedError

    def user(self) -> Any:
        """The site code that a user would write."""
        return Trainer()

    def setup_method(self) -> None:
        self._environments: list[LocalEnv] = []

    def teardown_method(self) -> None:
        for environment in self._environments:
            environment.stop()

    def run(self, workflow: Workflow | None = None, client: Any = None, **options: Any) -> Run:
        environment = LocalEnv(3, **options)
        self._environments.append(environment)
        server = self.make() if workflow is None else workflow
        recipe = flk.Recipe("suite", server, client or self.user, trackers=[])
        run = recipe.execute(environment, wait=False).wait(DEADLINE)
        assert run.done, "the run hangs"
        return run

    def test_a_run_completes(self) -> None:
        run = self.run()
        if run.error is not None:
            raise run.error
        assert run.status == "completed"

    def test_creation_starts_nothing(self) -> None:
        before = threading.active_count()
        self.make()
        assert threading.active_count() == before

    def test_it_is_plain_configuration_that_can_be_copied(self) -> None:
        copied = copy.deepcopy(self.make())
        assert self.run(copied).status == "completed"

    def test_the_server_half_is_a_new_object_with_one_algorithm(self) -> None:
        workflow = self.make()
        first, second = workflow.server(), workflow.server()
        assert first is not second
        ServerApp(first)

    def test_each_setting_of_the_algorithm_has_a_default(self) -> None:
        recipe = flk.Recipe("suite", self.make(), self.user, trackers=[])
        recipe.arguments(recipe.server_app())

    def test_the_site_half_is_one_a_site(self) -> None:
        workflow = self.make()
        first, second = workflow.client(self.user()), workflow.client(self.user())
        assert first is not second

    def test_what_it_calls_is_exported_by_its_site_half(self) -> None:
        calls = self.make().calls
        assert isinstance(calls, tuple)
        assert all(isinstance(name, str) for name in calls)
        app = flk.Recipe("suite", self.make(), self.user, trackers=[]).client_app()
        assert set(calls) <= set(app.exports)

    def test_site_code_that_lacks_a_function_is_refused_before_anything_runs(self) -> None:
        if not self.make().calls:
            pytest.skip("it asks for nothing by name")
        with pytest.raises(UsageError):
            self.run(client=Nothing)

    def test_one_workflow_serves_run_after_run(self) -> None:
        workflow = self.make()
        first, second = self.run(workflow), self.run(workflow)
        assert (first.status, second.status) == ("completed", "completed")
        assert repr(first.result) == repr(second.result)

    def test_the_same_seed_gives_the_same_result(self) -> None:
        assert repr(self.run(seed=7).result) == repr(self.run(seed=7).result)

    def test_a_site_that_fails_does_not_end_the_run(self) -> None:
        if "tolerant" not in self.capabilities:
            pytest.skip("it needs every site")

        def lose_one(site: str, function: str, n: int) -> Fault | None:
            return Fault(lost=True) if site == "site-2" else None

        run = self.run(faults=lose_one)
        assert run.status == "completed", run.error

    def test_an_abort_ends_it(self) -> None:
        begun, gate = threading.Event(), threading.Event()

        def hold(site: str, function: str, n: int) -> None:
            begun.set()
            gate.wait(DEADLINE)

        environment = LocalEnv(3, faults=hold)
        self._environments.append(environment)
        recipe = flk.Recipe("suite", self.make(), self.user, trackers=[])
        run = recipe.execute(environment, wait=False)
        assert begun.wait(DEADLINE), "it calls no site"
        run.abort("enough")
        gate.set()
        run.wait(DEADLINE)
        assert run.status == "aborted"

    def test_a_run_that_died_goes_on_and_ends_with_the_same_result(self) -> None:
        if "durable" not in self.capabilities:
            pytest.skip("it keeps nothing")
        undisturbed = Memory()
        whole = self.run(checkpoints=undisturbed)
        assert undisturbed.saved >= 2, "nothing was committed in between"
        for saves in range(1, undisturbed.saved):
            disk = Dying(saves)
            assert self.run(checkpoints=disk).status == "failed"
            disk.error = None
            disk.left = undisturbed.saved
            resumed = self.run(checkpoints=disk)
            assert resumed.status == "completed", resumed.error
            assert repr(resumed.result) == repr(whole.result)
            assert disk.saved == undisturbed.saved, "a committed round was computed again"


class Nothing:
    @flk.collab
    def nothing_of_use(self) -> None: ...


class Dying(Memory):
    """Takes some checkpoints and then no more."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def save(self, version: int, state: Any) -> None:
        if self.left == 0:
            raise ConnectionError("the process died here")
        self.left -= 1
        super().save(version, state)
