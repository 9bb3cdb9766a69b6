"""Values to a skeleton and buffers, and back, within limits.

A skeleton is a MessagePack array `[version, type names, value]` without maps and extensions. None,
bool, 64-bit int, float, str and short bytes stand for themselves; everything else is an array that
begins with a tag. Buffers are the live memory of the objects; decoded objects are built around the
buffers given, and every buffer must be used.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import msgpack  # type: ignore[import-untyped]

from flk.errors import DecodeError, EncodeError, FlkError, LimitError
from flk.spi.serializer import Serializer
from flk.wire.codecs import Codec, Codecs
from flk.wire.limits import Limits, scan

__all__ = ["Encoded", "decode", "encode", "type_names"]

_VERSION = 1
_LIST, _TUPLE, _DICT, _SET, _FROZENSET, _INT, _MEMORY, _OBJECT = range(8)
_SEQUENCES: dict[type, int] = {list: _LIST, tuple: _TUPLE}
_SETS: dict[type, int] = {set: _SET, frozenset: _FROZENSET}
_DICTS: set[type] = {dict, OrderedDict, defaultdict, Counter}
_MEMORIES: dict[type, int] = {bytes: 0, bytearray: 1, memoryview: 2}
_SIMPLE = frozenset({type(None), bool, float, str})
_RECEIVED = frozenset({type(None), bool, float, str, int, bytes})

_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1
_INLINE_BYTES = 4096
_SMALL_SKELETON = 4096  # bytes: what msgpack may reserve for it is no danger
_SAME_HASH = 64  # keys of one hash in one dict or set; more would take quadratic time
_DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded value. The buffers are memory of the objects that were encoded, as bytes: these
    must not change until it was sent."""

    skeleton: bytes
    buffers: list[memoryview]

    @property
    def nbytes(self) -> int:
        """Bytes of skeleton and buffers together."""
        return len(self.skeleton) + sum(buffer.nbytes for buffer in self.buffers)

    def owned(self) -> Encoded:
        """The same with buffers copied into writable memory of its own, as if it had travelled."""
        return Encoded(self.skeleton, [memoryview(bytearray(b)) for b in self.buffers])


def encode(value: Any, codecs: Codecs, limits: Limits = _DEFAULT) -> Encoded:
    """Turn a value into a skeleton and buffers, copying no contiguous array.

    Raises EncodeError for what cannot travel, contains itself or exceeds the limits (UnknownType
    for a class that nobody handles).
    """
    encoder = _Encoder(codecs, limits)
    tree = encoder.value(value, 0)
    encoder.run_serializers()
    try:
        skeleton = msgpack.packb([_VERSION, list(encoder.names), tree], strict_types=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise EncodeError(f"the value has no skeleton: {error}") from error
    if len(skeleton) > limits.skeleton_bytes:
        raise EncodeError(
            f"the skeleton would take {len(skeleton)} bytes of at most {limits.skeleton_bytes}",
            cure="Pass arrays or bytes instead of many small values",
        )
    if len(skeleton) > limits.nodes:
        try:
            scan(skeleton, limits)
        except LimitError as error:
            raise EncodeError(error.what) from error
    return Encoded(skeleton, encoder.buffers)


def decode(
    skeleton: bytes | memoryview,
    buffers: Iterable[Any],
    codecs: Codecs,
    limits: Limits = _DEFAULT,
) -> Any:
    """The value again, around the memory of `buffers`.

    Raises DecodeError for whatever does not fit (LimitError beyond the limits, UnknownType for a
    type that `codecs` does not know), whatever the bytes are.
    """
    names, tree = _open(skeleton, limits)
    decoder = _Decoder([codecs.named(name) for name in names], buffers, limits)
    value = decoder.value(tree, 0)
    decoder.check_all_used()
    return value


def type_names(skeleton: bytes | memoryview, limits: Limits = _DEFAULT) -> tuple[str, ...]:
    """The names of the types that a skeleton needs, without decoding it."""
    return tuple(_open(skeleton, limits)[0])


def _open(skeleton: bytes | memoryview, limits: Limits) -> tuple[list[str], Any]:
    size = len(skeleton)
    if size > limits.skeleton_bytes:
        raise LimitError(f"the skeleton has {size} bytes of at most {limits.skeleton_bytes}")
    if size > min(_SMALL_SKELETON, limits.nodes):
        scan(skeleton, limits)
    try:
        document = msgpack.unpackb(
            skeleton,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=size,
            max_map_len=0,
            max_ext_len=0,
        )
    except msgpack.StackError as error:
        raise LimitError(f"the skeleton is nested deeper than {limits.depth} levels") from error
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise DecodeError(f"the skeleton is no MessagePack: {error}") from error
    if type(document) is not list or len(document) != 3 or document[0] != _VERSION:
        raise DecodeError(f"the skeleton does not follow version {_VERSION} of the format")
    names = document[1]
    if type(names) is not list or any(type(name) is not str for name in names):
        raise DecodeError("the skeleton lists its types wrongly")
    return names, document[2]


class _Encoder:
    """One message on its way out; also the `BufferSink` of its serializers."""

    def __init__(self, codecs: Codecs, limits: Limits) -> None:
        self.names: dict[str, int] = {}
        self.buffers: list[memoryview] = []
        self._codecs = codecs
        self._limits = limits
        self._nodes = 1
        self._keys: dict[Hashable, int] = {}
        self._waiting: dict[int, tuple[Serializer, list[Any], list[list[Any]]]] = {}

    def add(self, data: Any, *, key: Hashable | None = None) -> int:
        if key is not None and key in self._keys:
            return self._keys[key]
        number = len(self.buffers)
        if number >= self._limits.buffers:
            raise EncodeError(f"a message holds at most {self._limits.buffers} buffers")
        self.buffers.append(memoryview(data).cast("B"))
        if key is not None:
            self._keys[key] = number
        return number

    def value(self, obj: Any, depth: int) -> Any:
        cls = type(obj)
        if cls in _SIMPLE:
            return obj
        if cls is int:
            if _LOWEST <= obj <= _HIGHEST:
                return obj
            return [_INT, obj.to_bytes(obj.bit_length() // 8 + 1, "little", signed=True)]
        if cls in _MEMORIES:
            return self._memory(obj, cls)
        if cls in _SEQUENCES:
            return [_SEQUENCES[cls], *self._values(obj, depth)]
        if cls in _DICTS:
            node = [_DICT] * (1 + 2 * len(obj))
            node[1::2] = self._values(obj, depth)
            node[2::2] = self._values(obj.values(), depth)
            return node
        if cls in _SETS:
            return [_SETS[cls], *self._values(_in_order(obj), depth)]
        return self._object(obj, self._codecs.of(cls), depth)

    def _values(self, values: Any, depth: int) -> list[Any]:
        self._nodes += len(values) + 1
        if self._nodes > self._limits.nodes:
            raise EncodeError(
                f"a message holds at most {self._limits.nodes} values",
                cure="Pass arrays instead of many small values",
            )
        if depth >= self._limits.depth:
            raise EncodeError(
                f"the value is nested deeper than {self._limits.depth} levels or contains itself"
            )
        kinds = set(map(type, values))
        if kinds <= _SIMPLE or (kinds == {int} and _fit(values)):
            return list(values)
        return [self.value(each, depth + 1) for each in values]

    def _memory(self, obj: Any, cls: type) -> Any:
        if cls is memoryview and not (obj.c_contiguous and obj.format in "Bbc" and obj.ndim == 1):
            obj = memoryview(obj.tobytes())
        if len(obj) > _INLINE_BYTES:
            return [_MEMORY, _MEMORIES[cls], self.add(obj)]
        return obj if cls is bytes else [_MEMORY, _MEMORIES[cls], bytes(obj)]

    def _object(self, obj: Any, codec: Codec, depth: int) -> list[Any]:
        number = self.names.setdefault(codec.name, len(self.names))
        if codec.parts:
            return [_OBJECT, number, *self._values(codec.encode(obj), depth)]
        node = [_OBJECT, number, None]
        if codec.serializer is None:
            node[2] = codec.encode(obj)
        else:
            key = id(codec.serializer)
            _, objects, nodes = self._waiting.setdefault(key, (codec.serializer, [], []))
            objects.append(obj)
            nodes.append(node)
        return node

    def run_serializers(self) -> None:
        for serializer, objects, nodes in self._waiting.values():
            try:
                metas = serializer.encode_all(objects, self)
            except FlkError:
                raise
            except Exception as error:
                raise EncodeError(
                    f"{type(serializer).__qualname__} failed to encode: {error}"
                ) from error
            for node, meta in zip(nodes, metas, strict=True):
                node[2] = meta


class _Decoder:
    """One message on its way in; also the `BufferSource` of its serializers."""

    def __init__(self, codecs: list[Codec], buffers: Iterable[Any], limits: Limits) -> None:
        self.shared: dict[Hashable, Any] = {}
        self._codecs = codecs
        self._buffers = [memoryview(buffer).cast("B") for buffer in buffers]
        total = sum(buffer.nbytes for buffer in self._buffers)
        if len(self._buffers) > limits.buffers or total > limits.buffer_bytes:
            raise LimitError(f"{len(self._buffers)} buffers of {total} bytes are too much")
        self._unused = set(range(len(self._buffers)))
        self._memory_left = total + limits.extra_bytes
        self._depth = limits.depth

    def get(self, number: int) -> memoryview:
        if type(number) is not int or not 0 <= number < len(self._buffers):
            raise DecodeError("the skeleton names a buffer that is not there")
        self._unused.discard(number)
        return self._buffers[number]

    def claim(self, nbytes: int) -> None:
        self._memory_left -= nbytes
        if nbytes < 0 or self._memory_left < 0:
            raise LimitError("the message asks for more memory than it brings")

    def check_all_used(self) -> None:
        if self._unused:
            raise DecodeError(f"{len(self._unused)} buffers belong to nothing")

    def value(self, node: Any, depth: int) -> Any:
        if type(node) is not list:
            if type(node) not in _RECEIVED:
                raise DecodeError("the skeleton holds a map or an extension")
            return node
        tag = node[0] if node else None
        if type(tag) is not int:
            raise DecodeError("the skeleton holds an array without a tag")
        if tag == _LIST:
            return self._values(node, 1, depth)
        if tag == _TUPLE:
            return tuple(self._values(node, 1, depth))
        if tag == _DICT:
            return self._dict(node, depth)
        if tag in (_SET, _FROZENSET):
            return _keyed(set if tag == _SET else frozenset, self._values(node, 1, depth))
        if tag == _INT and len(node) == 2 and type(node[1]) is bytes:
            return int.from_bytes(node[1], "little", signed=True)
        if tag == _MEMORY and len(node) == 3:
            return self._memory(node[1], node[2])
        if tag == _OBJECT and len(node) >= 2:
            return self._object(node, depth)
        raise DecodeError("the skeleton holds an array with a tag that is wrong")

    def _values(self, node: list[Any], start: int, depth: int) -> list[Any]:
        if depth >= self._depth:
            raise LimitError(f"the skeleton is nested deeper than {self._depth} levels")
        values = node[start:]
        if set(map(type, values)) <= _RECEIVED:
            return values
        return [self.value(each, depth + 1) for each in values]

    def _dict(self, node: list[Any], depth: int) -> dict[Any, Any]:
        values = self._values(node, 1, depth)
        if len(values) % 2:
            raise DecodeError("a dict in the skeleton lacks a value")
        keys = values[::2]
        return _keyed(lambda keys: dict(zip(keys, values[1::2], strict=True)), keys)  # type: ignore[no-any-return]

    def _memory(self, kind: Any, content: Any) -> Any:
        if type(content) is not bytes:
            content = self.get(content)
        if kind == 2:
            return memoryview(content)
        if kind not in (0, 1):
            raise DecodeError("the skeleton holds memory of an unknown kind")
        self.claim(len(content))
        return bytearray(content) if kind else bytes(content)

    def _object(self, node: list[Any], depth: int) -> Any:
        number = node[1]
        if type(number) is not int or not 0 <= number < len(self._codecs):
            raise DecodeError("the skeleton names a type that it does not list")
        codec = self._codecs[number]
        if codec.parts:
            meta = self._values(node, 2, depth)
        elif len(node) == 3:
            meta = node[2]
        else:
            raise DecodeError(f"a {codec.name} in the skeleton has no plain data")
        try:
            return codec.decode(meta, self)
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(f"a {codec.name} cannot be built: {type(error).__name__}") from error


def _fit(values: Iterable[int]) -> bool:
    return min(values) >= _LOWEST and max(values) <= _HIGHEST


def _in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    """Sorted where that is possible, so that equal sets give equal bytes."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _keyed(build: Callable[[list[Any]], Any], keys: list[Any]) -> Any:
    """`build(keys)`, after a look whether that takes linear time and every key is there once."""
    try:
        if len(keys) > _SAME_HASH and set(map(type, keys)) != {str}:
            [(_, most)] = Counter(map(hash, keys)).most_common(1)
            if most > _SAME_HASH:
                raise LimitError("too many keys of a dict or set in the skeleton have one hash")
        container = build(keys)
    except TypeError as error:
        raise DecodeError(
            f"a dict or set in the skeleton has an impossible key: {error}"
        ) from error
    if len(container) != len(keys):
        raise DecodeError("a dict or set in the skeleton holds a key twice")
    return container
