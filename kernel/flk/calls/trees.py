"""Trees: nested dicts, lists and tuples whose leaves are arrays and numbers, taken apart and put
together, and copies of whatever a call carries. Arithmetic belongs to the `arrays` plugins.
"""

from __future__ import annotations

import copy as _copying
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import types
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar, cast

from flk.model import FLModel
from flk.spi.arrays import Arrays

__all__ = ["Structure", "arrays_of", "copy", "flatten", "holds_arrays", "unflatten"]

MAX_DEPTH = 64
"""Containers inside containers; deeper trees are refused, so that nothing received can exhaust the
stack."""

_Path = tuple[()] | tuple["_Path", Any]
_F = TypeVar("_F", bound=Callable[..., Any])


def _by_type(function: _F) -> _F:
    """Cache answers by class. (mypy does not take a class for hashable.)"""
    return cast(_F, lru_cache(maxsize=1024)(function))


class Structure:
    """What a tree is without its leaves: containers and keys.

    Two structures are equal if their trees differ in nothing but leaves and the order of keys in
    dicts. `len()` is the number of leaves.
    """

    __slots__ = ("_children", "_count", "_flat", "_keys", "_kind")

    def __init__(
        self, kind: type | None, keys: Sequence[Any] = (), children: Sequence[Structure] = ()
    ) -> None:
        self._kind: Any = kind
        self._keys = tuple(keys)
        self._children = tuple(children)
        self._count = sum(map(len, children)) if kind else 1
        flat = kind is not None and all(child._kind is None for child in children)
        self._flat: Callable[[Any], tuple[Any, ...]] | None = None
        if flat and kind is not None and issubclass(kind, dict) and self._keys:
            key, *more = self._keys
            self._flat = itemgetter(key, *more) if more else lambda tree: (tree[key],)

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        if self._kind is None or other._kind is None:
            return self._kind is other._kind
        if issubclass(self._kind, dict) and issubclass(other._kind, dict):
            mine = dict(zip(self._keys, self._children, strict=True))
            return mine == dict(zip(other._keys, other._children, strict=True))
        return bool(self._kind is other._kind and self._children == other._children)

    __hash__ = None  # type: ignore[assignment]

    def leaves(self, tree: Any) -> Sequence[Any]:
        """The leaves of `tree` in the order of this structure, whatever the order of its dicts.
        What stands in a leaf's place is not looked at. Raises ValueError where the tree differs."""
        if self._kind is None:
            return (tree,)
        if self._flat is not None and type(tree) is dict and len(tree) == self._count:
            try:
                return self._flat(tree)
            except KeyError:
                pass
        found: list[Any] = []
        self._collect(tree, (), found)
        return found

    def paths(self) -> list[str]:
        """The name of each leaf, such as `layer1.weight`."""
        return [_name(path) for path in self._walk(())]

    def _collect(self, tree: Any, path: _Path, found: list[Any]) -> None:
        kind = self._kind
        if kind is None:
            found.append(tree)
            return
        if issubclass(kind, dict) and isinstance(tree, dict):
            for key, child in zip(self._keys, self._children, strict=True):
                if key not in tree:
                    raise ValueError(f"{_name(path)} lacks the key {_shown(key)}")
                child._collect(tree[key], (path, key), found)
            if len(tree) != len(self._keys):
                known = set(self._keys)
                extra = next(key for key in tree if key not in known)
                raise ValueError(f"{_name(path)} has the unknown key {_shown(extra)}")
            return
        if type(tree) is not kind:
            raise ValueError(
                f"{_name(path)} should be a {kind.__name__} and is a {type(tree).__name__}"
            )
        if len(tree) != len(self._children):
            raise ValueError(
                f"{_name(path)} should have {len(self._children)} items and has {len(tree)}"
            )
        for number, (item, child) in enumerate(zip(tree, self._children, strict=True)):
            child._collect(item, (path, number), found)

    def _walk(self, path: _Path) -> Iterator[_Path]:
        if self._kind is None:
            yield path
        for key, child in zip(self._keys or range(self._count), self._children, strict=False):
            yield from child._walk((path, key))

    def _build(self, leaves: Iterator[Any]) -> Any:
        kind = self._kind
        if kind is None:
            return next(leaves)
        items = [child._build(leaves) for child in self._children]
        if issubclass(kind, dict):
            return kind(zip(self._keys, items, strict=True))
        return kind._make(items) if hasattr(kind, "_make") else kind(items)


_LEAF = Structure(None)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree, dicts in the order of their keys, and its structure.

    Raises TypeError naming the path of what is neither container, array nor number; ValueError for
    a tree nested deeper than MAX_DEPTH.
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, (), 0, leaves)


def unflatten(leaves: Iterable[Any], structure: Structure) -> Any:
    """The tree of that structure with these leaves. Subclasses of dict other than OrderedDict come
    back as dict."""
    return structure._build(iter(leaves))


def _flatten(tree: Any, path: _Path, depth: int, leaves: list[Any]) -> Structure:
    cls: Any = type(tree)
    if not issubclass(cls, (dict, list, tuple)):
        if arrays_of(cls) is None:
            what = f"an array or a number and is a {cls.__module__}.{cls.__qualname__}"
            raise TypeError(f"{_name(path)} should be {what.replace('builtins.', '')}")
        leaves.append(tree)
        return _LEAF
    if depth == MAX_DEPTH:
        raise ValueError(f"{_name(path)} is nested deeper than {MAX_DEPTH} containers")
    if issubclass(cls, dict):
        kind = OrderedDict if issubclass(cls, OrderedDict) else dict
        children = [_flatten(v, (path, key), depth + 1, leaves) for key, v in tree.items()]
        return Structure(kind, tuple(tree), children)
    children = [_flatten(v, (path, i), depth + 1, leaves) for i, v in enumerate(tree)]
    return Structure(cls, (), children)


def _name(path: _Path) -> str:
    keys = []
    while path:
        path, key = path
        keys.append(key if isinstance(key, str) and key.isprintable() else _shown(key))
    name = ".".join(reversed(keys))
    return "the value" if not name else name if len(name) <= 200 else f"{name[:200]}..."


def _shown(key: Any) -> str:
    if not isinstance(key, (str, bytes, int, float)):
        return f"<{type(key).__name__}>"
    return ascii(key[:80] if isinstance(key, (str, bytes)) else key)


def holds_arrays(value: Any) -> bool:
    """Whether a value is a tree, or an FLModel around one, with an array among its leaves."""
    try:
        leaves, _ = flatten(value.params if isinstance(value, FLModel) else value)
    except (TypeError, ValueError):
        return False
    return any(not isinstance(leaf, _NUMBERS) for leaf in leaves)


# the arithmetic of leaves -------------------------------------------------------------------------


@_by_type
def arrays_of(cls: type) -> Arrays | None:
    """The arithmetic for leaves of this class: that of Python's numbers, or of an `arrays` plugin.
    None if it is not a leaf."""
    if cls in _NUMBERS:
        return _Numbers()
    from flk.registry import families

    found: Arrays | None = families.family("arrays", cls)
    return _Numbers() if found is None and any(c in _NUMBERS for c in cls.__mro__) else found


_NUMBERS = (int, float, complex, bool)


class _Numbers(Arrays):
    """Python's numbers as arrays without dimensions. Sums are kept in lists of one item; means of
    integers are floats."""

    types = _NUMBERS

    def shape(self, x: Any) -> tuple[int, ...]:
        return ()

    def dtype(self, x: Any) -> str:
        return "complex number" if isinstance(x, complex) else "number"

    def nbytes(self, x: Any) -> int:
        return 8

    def is_float(self, x: Any) -> bool:
        return isinstance(x, (float, complex))

    def copy(self, x: Any) -> Any:
        return x[:] if isinstance(x, list) else x

    def finite(self, x: Any) -> bool:
        x = x[0] if isinstance(x, list) else x
        return isinstance(x, int) or (math.isfinite(x.real) and math.isfinite(x.imag))

    def norm2(self, x: Any) -> float:
        try:
            size = float(abs(x))
            return size * size
        except OverflowError:
            return math.inf

    def cast(self, x: Any, dtype: str) -> Any:
        if not isinstance(x, list):
            return x
        return x[0] if isinstance(x[0], complex) else float(x[0])

    def accumulator(self, x: Any) -> Any:
        return [0.0]

    def axpy(self, acc: Any, x: Any, alpha: float) -> None:
        acc[0] += alpha * x

    def absorb(self, acc: Any, x: Any, alpha: float) -> tuple[Any, float]:
        raise NotImplementedError("numbers cannot be written into")

    def can_absorb(self, acc: Any, x: Any) -> bool:
        return False

    def scale(self, x: Any, alpha: float) -> None:
        x[0] *= alpha

    def add_modulo(self, x: Any, y: Any, bits: int) -> Any:
        return (x + y) % (1 << bits)


# copies -------------------------------------------------------------------------------------------

_IMMUTABLE = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type, frozenset,
    type(Ellipsis), type(NotImplemented), types.FunctionType, types.BuiltinFunctionType,
    types.ModuleType, enum.Enum, datetime.date, datetime.time,
    datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePath,
)  # fmt: skip
_Copier = Callable[[Any, dict[int, Any]], Any]


def copy(value: Any) -> Any:
    """What a callee may keep and change: containers and arrays are new, plain immutable values are
    passed on, anything else is copied by `copy.deepcopy`. What appears twice inside `value` (tied
    weights) is one object in the copy too."""
    cls = type(value)
    if cls is tuple and 0 < len(value) < 3:  # an argument, or an array and its weight
        first = value[0]
        simple, whole = _copier(type(first))
        if whole is None and (len(value) == 1 or _copier(type(value[1])) == (None, None)):
            first = first if simple is None else simple(first)
            return (first,) if len(value) == 1 else (first, value[1])
    simple, whole = _copier(cls)
    if whole is not None:
        return whole(value, {})
    return value if simple is None else simple(value)


@_by_type
def _copier(cls: type) -> tuple[Callable[[Any], Any] | None, _Copier | None]:
    """How to copy instances: (for those without parts, for those with parts); neither if they are
    passed on."""
    if cls in _CONTAINERS:
        return None, _CONTAINERS[cls]
    if issubclass(cls, tuple) and hasattr(cls, "_make"):
        return None, _copy_namedtuple
    if issubclass(cls, _IMMUTABLE):
        return None, None
    if cls is bytearray or cls is set:
        return cls, None
    arrays = arrays_of(cls)
    return (None, _copying.deepcopy) if arrays is None else (arrays.copy, None)


def _part(value: Any, memo: dict[int, Any]) -> Any:
    simple, whole = _copier(type(value))
    if whole is None and simple is None:
        return value
    known = memo.get(id(value))
    if known is None:
        known = whole(value, memo) if whole is not None else simple(value)  # type: ignore[misc]
        memo[id(value)] = known
    return known


def _copy_dict(value: dict[Any, Any], memo: dict[int, Any]) -> dict[Any, Any]:
    new = memo[id(value)] = type(value)()
    for key, item in value.items():
        new[key] = _part(item, memo)
    return new


def _copy_list(value: list[Any], memo: dict[int, Any]) -> list[Any]:
    new: list[Any] = []
    memo[id(value)] = new
    for item in value:
        new.append(_part(item, memo))
    return new


def _copy_tuple(value: tuple[Any, ...], memo: dict[int, Any]) -> tuple[Any, ...]:
    return tuple([_part(item, memo) for item in value])


def _copy_namedtuple(value: Any, memo: dict[int, Any]) -> Any:
    return value._make([_part(item, memo) for item in value])


def _copy_model(value: FLModel, memo: dict[int, Any]) -> FLModel:
    return FLModel(
        params=_part(value.params, memo),
        params_type=value.params_type,
        metrics=_part(value.metrics, memo),
        current_round=value.current_round,
        total_rounds=value.total_rounds,
        meta=_part(value.meta, memo),
        extra=_part(value.extra, memo),
    )


_CONTAINERS: dict[type, _Copier] = {
    dict: _copy_dict,
    OrderedDict: _copy_dict,
    list: _copy_list,
    tuple: _copy_tuple,
    FLModel: _copy_model,
}
