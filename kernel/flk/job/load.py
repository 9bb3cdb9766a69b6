"""Finding the recipe in a file, a folder or a module. It imports the user's code and runs
nothing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from flk.calls.app import ModuleWrapper
from flk.calls.decorators import mark_of
from flk.errors import FlkError, UsageError
from flk.job.place import place_of, sentence
from flk.job.recipe import Recipe, loading

__all__ = ["load_recipe"]

MAIN_FILES = ("recipe.py", "main.py")
"""Where a folder's recipe is looked for."""


def load_recipe(target: str) -> Recipe:
    """The recipe of a `.py` file, of a folder's `recipe.py` (else `main.py`), or of an importable
    module.

    It is the object called `recipe`, else the only Recipe, else what `make_recipe()` returns, else
    one made of the module's decorated functions. The folder of the code (or the current one, for a
    module) stays at the front of `sys.path`. UsageError where there is none, or where importing
    fails: the original exception is the cause.
    """
    path = Path(target)
    token = loading.set(target)
    try:
        if path.exists() or path.suffix == ".py" or len(path.parts) != 1:
            file = _file(path)
            module = _import_file(file, target)
            name = path.resolve().name if path.is_dir() else path.stem
        else:
            module = _import_module(target)
            name = target.rpartition(".")[2]
        with _explained(target):
            return _recipe(module, name, target)
    finally:
        loading.reset(token)


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in MAIN_FILES:
            if (path / name).is_file():
                return (path / name).resolve()
        raise UsageError(
            f"the folder {path} has no {' and no '.join(MAIN_FILES)}",
            cure="Name the file that has the recipe",
        )
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file")
    return path.resolve()


def _import_file(file: Path, target: str) -> ModuleType:
    """Import a file under the name it has for the modules beside it."""
    name, folder = file.stem, file.parent
    while (folder / "__init__.py").is_file():
        name, folder = f"{folder.name}.{name}", folder.parent
    sys.path.insert(0, str(folder))
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) != str(file):
        name = f"flk_recipe_{file.stem}"  # the name of a module that flk or Python itself uses
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _explained(target):
        if "." in name:
            importlib.import_module(name.rpartition(".")[0])
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
    return module


def _import_module(target: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        with _explained(target):
            return importlib.import_module(target)
    except UsageError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{target}.".startswith(f"{cause.name}."):
            raise UsageError(
                f"there is neither a file nor a module {target!r}",
                cure="Give a .py file, a folder with recipe.py, or a module that can be imported",
            ) from cause
        raise


@contextmanager
def _explained(target: str) -> Iterator[None]:
    """Errors of the user's code as one sentence that says where."""
    try:
        yield
    except FlkError:
        raise
    except (Exception, SystemExit) as error:
        place = place_of(error)
        raise UsageError(
            f"{target} cannot be loaded: {sentence(error)}" + (f" ({place})" if place else "")
        ) from error


def _recipe(module: ModuleType, name: str, target: str) -> Recipe:
    found = {id(value): key for key, value in vars(module).items() if isinstance(value, Recipe)}
    if isinstance(vars(module).get("recipe"), Recipe):
        found = {0: "recipe"}
    if len(found) > 1:
        raise UsageError(
            f"{target} has the recipes {', '.join(found.values())}",
            cure="Call the one to run: recipe",
        )
    for key in found.values():
        recipe: Recipe = vars(module)[key]
        return recipe
    if callable(make := getattr(module, "make_recipe", None)):
        made: Any = make()
        if not isinstance(made, Recipe):
            raise UsageError(
                f"make_recipe() of {target} returned a {type(made).__name__}",
                cure="Return a flk.Recipe",
            )
        return made
    if not any(mark_of(value) == "algo" for value in vars(module).values()):
        raise UsageError(
            f"{target} has no recipe",
            cure="Write: recipe = flk.Recipe(...), or decorate its functions with @flk.algo and "
            "@flk.collab",
        )
    code = ModuleWrapper(module)
    return Recipe(name, code, code)
