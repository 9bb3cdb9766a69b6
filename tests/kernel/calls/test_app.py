"""What of a user's code may be called, and whose instance it is."""

from __future__ import annotations

import functools
import threading
from types import ModuleType
from typing import Any

import flk
import pytest
from flk.calls import App, ClientApp, ModuleWrapper, ServerApp
from flk.errors import NotExported, UsageError


class Trainer:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.count = 0

    @flk.collab
    def train(self) -> Any:
        self.count += 1
        return self.count

    @flk.collab
    async def wait(self) -> None: ...

    @staticmethod
    @flk.collab
    def static() -> str:
        return "static"

    @classmethod
    @flk.collab
    def of_class(cls) -> str:
        return cls.__name__

    @property
    def costly(self) -> Any:
        raise AssertionError("a property was evaluated")

    def private(self) -> None: ...


def test_marked_functions_of_an_object_are_exported_and_no_other() -> None:
    app = App(Trainer())
    assert set(app.exports) == {"train", "wait", "static", "of_class"}
    assert [name for name, export in app.exports.items() if export.is_async] == ["wait"]
    assert app.exports["static"].function() == "static"
    assert app.exports["of_class"].function() == "Trainer"


def test_marked_functions_of_a_module_are_exported() -> None:
    module = ModuleType("mine")
    module.train = flk.collab(lambda: 1)  # type: ignore[attr-defined]
    module.other = lambda: 2  # type: ignore[attr-defined]
    assert set(App(module).exports) == {"train"}


def test_a_namespace_is_wrapped_where_nothing_can_be_imported() -> None:
    wrapper = ModuleWrapper.of({"train": flk.collab(lambda: 1), "x": 3}, "__main__")
    assert set(App(wrapper).exports) == {"train"}


def test_a_function_overridden_without_a_mark_is_not_exported() -> None:
    class Quiet(Trainer):
        def train(self) -> Any: ...

    assert "train" not in App(Quiet()).exports


def test_an_inherited_function_is_exported() -> None:
    class More(Trainer): ...

    assert "train" in App(More()).exports


@pytest.mark.parametrize("name", ["child", "name", "names", "_hidden"])
def test_names_of_proxies_cannot_be_exported(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        App(type("Odd", (), {name: flk.collab(lambda self: None)}))


def test_count_and_index_can_be_exported() -> None:
    odd = type("Odd", (), {n: flk.collab(lambda self: None) for n in ("count", "index")})
    assert set(App(odd).exports) == {"count", "index"}


def test_what_is_not_exported_is_refused_by_name() -> None:
    app = App(Trainer(), {"helper": Trainer()})
    with pytest.raises(NotExported, match="train"):
        app.lookup("private", None, "site-1")
    with pytest.raises(NotExported, match="helper"):
        app.lookup("train", "nobody", "site-1")
    assert app.lookup("train", "helper", "site-1").function() == 1


@pytest.mark.parametrize(
    "source",
    [Trainer, Trainer(), lambda: Trainer(), functools.partial(Trainer), ClientApp(Trainer)],
    ids=["class", "object", "factory", "partial", "app"],
)
def test_each_site_gets_an_instance_of_its_own(source: Any) -> None:
    app = ClientApp(source)
    instances = [app.for_site() for _ in range(3)]
    assert [site.exports["train"].function() for site in instances] == [1, 1, 1]


def test_a_factory_is_called_once_a_site() -> None:
    Trainer.made = 0
    app = ClientApp(lambda: Trainer())
    for _ in range(4):
        app.for_site()
    assert Trainer.made == 4


def test_what_a_factory_makes_is_not_copied() -> None:
    class Locked(Trainer):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

    app = ClientApp(Locked)
    assert app.for_site().target is not app.for_site().target
    with pytest.raises(UsageError, match="copied"):
        ClientApp(Locked())


def test_make_client_app_makes_them() -> None:
    class Maker:
        def make_client_app(self) -> Any:
            return ClientApp(Trainer, {"helper": Trainer})

    first, second = (ClientApp(Maker()).for_site() for _ in range(2))
    assert first.exports["train"].function() == second.exports["train"].function() == 1
    assert set(first.children) == {"helper"}


def test_a_site_that_starts_again_has_a_new_instance() -> None:
    site = ClientApp(Trainer()).for_site()
    site.exports["train"].function()
    assert site.for_site().exports["train"].function() == 1


def test_children_are_one_a_site_too() -> None:
    app = ClientApp(Trainer, {"helper": Trainer()})
    first, second = app.for_site(), app.for_site()
    first.children["helper"].exports["train"].function()
    assert second.children["helper"].exports["train"].function() == 1


def test_a_server_has_exactly_one_algorithm() -> None:
    class Two:
        @flk.algo
        def one(self) -> None: ...

        @flk.algo
        def two(self) -> None: ...

    with pytest.raises(UsageError, match="one, two"):
        ServerApp(Two)
    with pytest.raises(UsageError, match="none"):
        ServerApp(Trainer)


def test_marks_are_for_functions() -> None:
    with pytest.raises(TypeError):
        flk.collab(3)  # type: ignore[type-var]
