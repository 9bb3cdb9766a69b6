"""Conformance suite of the role *serializer*: what goes out comes back, and nothing received does
anything but come back or raise DecodeError."""

from __future__ import annotations

import re
import sys
import threading
import tracemalloc
from collections.abc import Hashable, Iterator
from typing import Any

from flk.errors import DecodeError, EncodeError, LimitError
from flk.spi.serializer import Serializer
from flk.wire import Codecs, decode, encode, pack, unpack

__all__ = ["SerializerSuite", "Sink", "Source"]

_HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 1 << 31, 1 << 40, (1 << 63) - 1, 1.5, float("nan"), "", "O", "object",
    "|O8", "\x00", "../x", b"", b"\x80\x04N.", [], [[]], [-1], [1 << 62, 1 << 62], [0, 1 << 62],
)  # fmt: skip
_MEMORY = 1 << 20


class Sink:
    """A BufferSink that keeps what it is given."""

    def __init__(self) -> None:
        self.buffers: list[memoryview] = []
        self._keys: dict[Hashable, int] = {}

    def add(self, data: Any, *, key: Hashable | None = None) -> int:
        if key is not None and key in self._keys:
            return self._keys[key]
        self.buffers.append(memoryview(data).cast("B"))
        if key is not None:
            self._keys[key] = len(self.buffers) - 1
        return len(self.buffers) - 1


class Source:
    """A BufferSource over memory in hand; may claim 1 MiB beyond one copy of it."""

    def __init__(self, buffers: list[Any]) -> None:
        self.shared: dict[Hashable, Any] = {}
        self._buffers = [memoryview(buffer) for buffer in buffers]
        self._left = _MEMORY + sum(map(len, self._buffers))

    def get(self, number: int) -> memoryview:
        if type(number) is not int or not 0 <= number < len(self._buffers):
            raise DecodeError("no such buffer")
        return self._buffers[number]

    def claim(self, nbytes: int) -> None:
        self._left -= nbytes
        if self._left < 0:
            raise LimitError("more memory than allowed")


class SerializerSuite:
    """Override `make`, `examples` and `equal`; the others say what the plugin can do besides."""

    def make(self) -> Serializer:
        """The serializer under test."""
        raise NotImplementedError

    def examples(self) -> list[Any]:
        """Objects of every kind that the serializer carries, new ones at each call, with equal
        content."""
        raise NotImplementedError

    def equal(self, a: Any, b: Any) -> bool:
        """Whether two objects are alike in everything that shall travel."""
        raise NotImplementedError

    def refused(self) -> list[Any]:
        """Instances of its types that cannot travel."""
        return []

    def changeable(self) -> tuple[Any, Any] | None:
        """A contiguous object of at least 8 KiB, and a function that changes it in place; None if
        the type cannot be changed."""
        return None

    def sharing(self) -> tuple[Any, Any, Any] | None:
        """Two objects over the same memory, and a function that changes the first; None if the
        serializer gives no keys."""
        return None

    # what is promised about names ----------------------------------------------------------------

    def test_types_are_named_in_the_name_space_of_their_package(self) -> None:
        types = self.make().types
        assert types, "it lists no types"
        for cls, name in types.items():
            assert isinstance(cls, type)
            assert re.fullmatch(r"\w+(\.\w+)+/[1-9]\d*", name), name
            assert not name.startswith("flk."), name
        assert len({name.partition(".")[0] for name in types.values()}) == 1
        assert len(set(types.values())) == len(types)

    def test_examples_are_of_listed_types(self) -> None:
        examples = self.examples()
        assert examples, "it has no examples"
        for obj in examples:
            self._name(obj)

    # out and back --------------------------------------------------------------------------------

    def test_an_example_comes_back_equal(self) -> None:
        for obj in self.examples():
            assert self.equal(self._travelled(obj), obj), f"{obj!r} came back different"

    def test_an_example_comes_back_as_the_type_it_was_named(self) -> None:
        for obj in self.examples():
            assert self._name(self._travelled(obj)) == self._name(obj)

    def test_an_example_comes_back_from_read_only_memory(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            frozen = [bytes(buffer) for buffer in buffers]
            assert self.equal(self.make().decode(self._name(obj), meta, Source(frozen)), obj)

    def test_what_came_back_travels_again(self) -> None:
        for obj in self.examples():
            assert self.equal(self._travelled(self._travelled(obj)), obj)

    def test_all_examples_travel_in_one_message(self) -> None:
        codecs = Codecs()
        codecs.add(self.make())
        value = {"all": self.examples(), "twice": self.examples()}
        encoded = encode(value, codecs).owned()
        container = bytearray(b"".join(pack(encoded)))
        back = decode(*unpack(memoryview(container)), codecs)
        for key in value:
            for came, went in zip(back[key], value[key], strict=True):
                assert self.equal(came, went)

    def test_equal_objects_give_equal_bytes(self) -> None:
        for one, two in zip(self.examples(), self.examples(), strict=True):
            assert self._flat(one) == self._flat(two)

    def test_meta_is_plain_data(self) -> None:
        for obj in self.examples():
            meta, _ = self._encoded(obj)
            _check_plain(meta, 0)

    def test_encoding_and_decoding_leave_the_object_as_it_was(self) -> None:
        for obj, same in zip(self.examples(), self.examples(), strict=True):
            self._travelled(obj)
            assert self.equal(obj, same)
            assert self._flat(obj) == self._flat(same)

    def test_what_cannot_travel_raises_an_encode_error(self) -> None:
        for obj in self.refused():
            error = _raised(lambda obj=obj: self._encoded(obj))
            assert isinstance(error, EncodeError), f"{obj!r} gave {error!r}"

    # memory --------------------------------------------------------------------------------------

    def test_memory_is_not_copied_on_its_way_out(self) -> None:
        pair = self.changeable() or _skip("its objects cannot be changed")
        obj, change = pair
        _, buffers = self._encoded(obj)
        before = [bytes(buffer) for buffer in buffers]
        change(obj)
        assert before != [bytes(buffer) for buffer in buffers], "the sink holds a copy"

    def test_memory_is_not_copied_on_its_way_in(self) -> None:
        pair = self.changeable() or _skip("its objects cannot be changed")
        obj, change = pair
        meta, buffers = self._encoded(obj)
        received = [bytearray(buffer) for buffer in buffers]
        back = self.make().decode(self._name(obj), meta, Source(received))
        change(back)
        assert received != [bytes(buffer) for buffer in buffers], "the object holds a copy"

    def test_memory_that_was_shared_travels_once_and_is_shared_again(self) -> None:
        triple = self.sharing() or _skip("it gives no keys")
        one, two, change = triple
        serializer, sink = self.make(), Sink()
        metas = serializer.encode_all([one, two], sink)
        _, alone = self._encoded(one)
        assert sum(map(len, sink.buffers)) == sum(map(len, alone)), "it travelled twice"
        source = Source([bytearray(buffer) for buffer in sink.buffers])
        back = [
            serializer.decode(self._name(obj), meta, source)
            for obj, meta in zip((one, two), metas, strict=True)
        ]
        assert self.equal(back[1], two)
        change(back[0])
        assert not self.equal(back[1], two), "they no longer share"

    # what is received ----------------------------------------------------------------------------

    def test_an_unknown_name_is_refused(self) -> None:
        obj = self.examples()[0]
        meta, buffers = self._encoded(obj)
        for name in ("acme.Unknown/1", "", self._name(obj) + "0"):
            self._refused(name, meta, buffers)

    def test_meta_of_another_kind_is_refused(self) -> None:
        for name in self.make().types.values():
            others: tuple[Any, ...] = (None, "x", {}, [[]], b"x", -1, 1.5, [None] * 9, {"a": 1})
            for meta in others:
                self._refused(name, meta, [])

    def test_changed_meta_is_refused_or_harmless(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            for changed in _changes(meta):
                source = Source([bytes(buffer) for buffer in buffers])
                self._harmless(self._name(obj), changed, source)

    def test_a_missing_buffer_is_refused(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            if buffers:
                self._refused(self._name(obj), meta, buffers[:-1])

    def test_a_buffer_that_is_too_short_is_refused(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            for number, buffer in enumerate(buffers):
                for cut in (buffer[:-1], buffer[:0], buffer[: len(buffer) // 2]):
                    if len(cut) < len(buffer):
                        self._refused(self._name(obj), meta, _put(buffers, number, cut))

    def test_a_buffer_that_is_too_long_is_refused(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            for number, buffer in enumerate(buffers):
                for longer in (bytes(buffer) + b"\0", bytes(buffer) * 2):
                    if len(longer) > len(buffer):
                        self._refused(self._name(obj), meta, _put(buffers, number, longer))

    def test_garbage_in_buffers_is_refused_or_harmless(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            for fill in (b"\xff", b"\x80", b"\x80\x04N."):
                noise = [(fill * len(buffer))[: len(buffer)] for buffer in buffers]
                self._harmless(self._name(obj), meta, Source(noise))

    def test_sizes_that_lie_allocate_nothing(self) -> None:
        for obj in self.examples():
            meta, buffers = self._encoded(obj)
            room = 4 * _MEMORY + 4 * sum(map(len, buffers))
            for changed in _changes(meta):
                source = Source([bytes(buffer) for buffer in buffers])
                tracemalloc.start()
                try:
                    self._harmless(self._name(obj), changed, source)
                    peak = tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()
                assert peak < room, f"{peak} bytes were allocated for {changed!r}"

    def test_decoding_imports_nothing(self) -> None:
        encoded = [(self._name(obj), *self._encoded(obj)) for obj in self.examples()]
        serializer, watch = self.make(), _Watch()
        sys.meta_path.insert(0, watch)
        try:
            for name, meta, buffers in encoded:
                serializer.decode(name, meta, Source(buffers))
        finally:
            sys.meta_path.remove(watch)
        assert not watch.seen, f"decoding imported {watch.seen}"

    def test_it_serves_many_threads_at_once(self) -> None:
        serializer, failed = self.make(), []

        def work() -> None:
            try:
                for obj in self.examples() * 5:
                    sink = Sink()
                    meta = serializer.encode(obj, sink)
                    source = Source([bytearray(b) for b in sink.buffers])
                    assert self.equal(serializer.decode(self._name(obj), meta, source), obj)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed[0]

    # helpers -------------------------------------------------------------------------------------

    def _name(self, obj: Any) -> str:
        types = self.make().types
        return next(types[base] for base in type(obj).__mro__ if base in types)

    def _encoded(self, obj: Any) -> tuple[Any, list[memoryview]]:
        sink = Sink()
        return self.make().encode(obj, sink), sink.buffers

    def _flat(self, obj: Any) -> tuple[str, list[bytes]]:
        meta, buffers = self._encoded(obj)
        return repr(meta), [bytes(buffer) for buffer in buffers]

    def _travelled(self, obj: Any) -> Any:
        meta, buffers = self._encoded(obj)
        source = Source([bytearray(buffer) for buffer in buffers])
        return self.make().decode(self._name(obj), meta, source)

    def _refused(self, name: str, meta: Any, buffers: list[Any]) -> None:
        source = Source([bytes(buffer) for buffer in buffers])
        error = _raised(lambda: self.make().decode(name, meta, source))
        assert isinstance(error, DecodeError), f"{name} with {meta!r} gave {error!r}"

    def _harmless(self, name: str, meta: Any, source: Source) -> None:
        error = _raised(lambda: self.make().decode(name, meta, source))
        assert error is None or isinstance(error, DecodeError), f"{meta!r} gave {error!r}"


class _Watch:
    """An import finder that finds nothing and remembers who asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        self.seen.append(name)


def _raised(call: Any) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _skip(reason: str) -> Any:
    import pytest

    pytest.skip(reason)


def _put(buffers: list[Any], number: int, data: Any) -> list[Any]:
    return [data if n == number else buffer for n, buffer in enumerate(buffers)]


def _changes(meta: Any) -> Iterator[Any]:
    """`meta` with one node replaced by something hostile, dropped or doubled, everywhere."""
    yield from _HOSTILE
    if type(meta) is list:
        for number, item in enumerate(meta):
            head, tail = meta[:number], meta[number + 1 :]
            yield head + tail
            yield [*head, item, item, *tail]
            for changed in _changes(item):
                yield [*head, changed, *tail]


def _check_plain(meta: Any, depth: int) -> None:
    assert depth < 16, "meta is nested too deep"
    if type(meta) is list:
        for item in meta:
            _check_plain(item, depth + 1)
        return
    assert meta is None or type(meta) in (bool, int, float, str, bytes), f"{meta!r} is not plain"
    assert type(meta) is not int or -(1 << 63) <= meta < 1 << 64, "an int is too large"
