"""The types that a process knows how to send: the kernel's own, those of serializers, and classes
that users register by name. Nothing received ever adds to it."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable
from enum import Enum, Flag
from typing import Any, NamedTuple

from flk.errors import DecodeError, PluginConflict, UnknownType, UsageError
from flk.spi.serializer import BufferSource, Serializer
from flk.wire.plain import PLAIN

__all__ = ["Codec", "Codecs"]

_NAME = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){1,8}/[1-9]\d{0,3}", re.ASCII)


class Codec(NamedTuple):
    """How one class travels. With `parts` the plain data are a list of values that are encoded in
    turn; a `serializer` encodes itself, all its objects of a message at once."""

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any, BufferSource], Any]
    parts: bool = False
    serializer: Serializer | None = None


class Codecs:
    """One a process. Safe to use from many threads.

    Until `freeze`, a serializer plugin joins when the first object of one of its types is encoded,
    or by `add`; afterwards an unknown type is an error. Decoding never adds anything.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._frozen = False
        self._by_type: dict[type, Codec] = {}
        self._bases: dict[type, Codec] = {}
        self._by_name: dict[str, Codec] = {}
        for plain in PLAIN:
            codec = Codec(plain.name, plain.encode, _from_meta(plain.decode), plain.parts)
            self._by_name[codec.name] = codec
            self._by_type.update(dict.fromkeys(plain.classes, codec))
            if plain.subclasses:
                self._bases.update(dict.fromkeys(plain.classes, codec))

    def add(self, serializer: str | Serializer) -> None:
        """Let a serializer join: an installed plugin by its name, or an instance. Adding it again
        does nothing. Raises what `flk.registry.load` raises, and UsageError once frozen."""
        from flk.registry import load

        with self._lock:
            self._check_open()
            if isinstance(serializer, str):
                self._join(load("serializer", serializer)())
            else:
                self._join(serializer)

    def register(self, cls: type, name: str) -> None:
        """Let a dataclass, namedtuple or Enum of the user travel as `name`, in the user's own name
        space and with a version: `acme.Point/1`. Sender and receiver register it alike.

        Of a dataclass the fields travel that its `__init__` takes; an Enum travels by name.
        """
        with self._lock:
            self._check_open()
            if not _NAME.fullmatch(name) or name.startswith("flk."):
                raise UsageError(
                    f"{name!r} cannot name a type",
                    cure="Use a name space of your own and a version, as in acme.Point/1",
                )
            known = self._by_type.get(cls)
            if known is not None and known.name == name:
                return
            if known is not None or name in self._by_name:
                raise UsageError(f"{cls.__qualname__} or the name {name!r} is registered already")
            self._by_type[cls] = self._by_name[name] = _user_codec(cls, name)

    def freeze(self) -> None:
        """From now on the types stay as they are; called before the process connects."""
        with self._lock:
            self._frozen = True

    def types(self) -> tuple[str, ...]:
        """The names of all known types, sorted, for handshakes."""
        return tuple(sorted(self._by_name))

    def of(self, cls: type) -> Codec:
        """The codec of an object in hand: of its class, or of its nearest base that a serializer
        lists. Raises UnknownType."""
        codec = self._by_type.get(cls)
        if codec is not None:
            return codec
        with self._lock:
            codec = self._nearest(cls)
            if codec is None:
                raise UnknownType(
                    f"{cls.__module__}.{cls.__qualname__} cannot travel",
                    cure=_cure(cls, self._frozen),
                )
            self._by_type[cls] = codec
            return codec

    def named(self, name: str) -> Codec:
        """The codec of a type that was received. Raises UnknownType, or DecodeError for what is no
        name at all."""
        codec = self._by_name.get(name)
        if codec is not None:
            return codec
        if not _NAME.fullmatch(name):
            raise DecodeError("the skeleton names a type by something that is no name")
        package = name.partition(".")[0]
        raise UnknownType(
            f"no serializer of this process knows {name}",
            cure=f"Install flk-serializer-{package} and list it, or register the class",
        )

    def _nearest(self, cls: type) -> Codec | None:
        if not self._frozen:
            from flk.registry import family

            serializer = family("serializer", cls)
            if serializer is not None:
                self._join(serializer)
        return next((self._bases[base] for base in cls.__mro__ if base in self._bases), None)

    def _join(self, serializer: Serializer) -> None:
        for cls, name in serializer.types.items():
            if not _NAME.fullmatch(name) or name.startswith("flk."):
                raise PluginConflict(
                    f"{type(serializer).__qualname__} names a type {name!r}",
                    cure="Names look like acme.Type/1 and begin with the package of the type",
                )
            known = self._by_name.get(name)
            if known is not None and type(known.serializer) is not type(serializer):
                raise PluginConflict(f"two serializers claim the type {name}")
            if known is None:
                known = Codec(name, _never, _named(serializer, name), serializer=serializer)
            self._by_name[name] = self._bases[cls] = self._by_type[cls] = known

    def _check_open(self) -> None:
        if self._frozen:
            raise UsageError(
                "the types of this process are frozen",
                cure="Add serializers and register classes before it connects",
            )


def _never(obj: Any) -> Any:
    raise AssertionError("a serializer encodes its objects itself")


def _from_meta(decode: Callable[[Any], Any]) -> Callable[[Any, BufferSource], Any]:
    return lambda meta, source: decode(meta)


def _named(serializer: Serializer, name: str) -> Callable[[Any, BufferSource], Any]:
    return lambda meta, source: serializer.decode(name, meta, source)


def _user_codec(cls: type, name: str) -> Codec:
    if issubclass(cls, Flag):
        return Codec(name, lambda obj: obj.value, lambda meta, source: cls(meta))
    if issubclass(cls, Enum):
        return Codec(name, lambda obj: obj.name, lambda meta, source: cls[meta])
    if dataclasses.is_dataclass(cls):
        fields = tuple(field.name for field in dataclasses.fields(cls) if field.init)
        return Codec(
            name,
            lambda obj: [getattr(obj, field) for field in fields],
            lambda meta, source: cls(**dict(zip(fields, meta, strict=True))),
            parts=True,
        )
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return Codec(name, list, lambda meta, source: cls(*meta), parts=True)
    raise UsageError(
        f"{cls.__qualname__} is neither dataclass nor namedtuple nor Enum",
        cure="Write a serializer for it: flk plugins new serializer NAME",
    )


def _cure(cls: type, frozen: bool) -> str:
    package = cls.__module__.partition(".")[0]
    if issubclass(cls, Enum) or dataclasses.is_dataclass(cls) or hasattr(cls, "_fields"):
        name = "yours" if package == "__main__" else package
        return f"Name it in the recipe: types={{'{name}.{cls.__name__}/1': {cls.__qualname__}}}"
    if frozen:
        return f"List the serializer {package!r} before this process connects"
    return f"Pass plain data instead, or install flk-serializer-{package}"
