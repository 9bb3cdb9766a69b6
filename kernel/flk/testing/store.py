"""What every store must do. Not for speed: no test looks at the time."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from flk.errors import StorageError
from flk.spi.store import Store

__all__ = ["StoreSuite"]

BAD_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a b",
    "a\\b",
    "a\0b",
    "a\n",
    "\n",
    "ä",
    "a\u0660",  # a digit, but not an ASCII one
    "a:b",
    "~a",
    "a*",
    "x" * 256,
    "/".join(["x" * 63] * 8) + "xx",
)
GOOD_KEYS = (
    "a",
    "A",
    "0",
    "-",
    "_",
    "...",
    ".hidden",
    "..a",
    "a.tar.gz",
    "run-1/site-1/0001",
    "x" * 255,
    "/".join(["x" * 63] * 8) + "x",
)


class StoreSuite(ABC):
    """Override `make`; every handle it returns during one test must lead to the same, at first
    empty, place, which `setup_method` may prepare and `teardown_method` remove."""

    @abstractmethod
    def make(self) -> Store:
        """A new handle to the place of this test."""

    # put and get --------------------------------------------------------------------------------

    def test_a_blob_is_read_back(self) -> None:
        store = self.make()
        store.put("run/a", [b"one", b"", b"two"])
        assert bytes(store.get("run/a")) == b"onetwo"
        assert store.size("run/a") == 6

    def test_an_empty_blob_and_no_chunks_are_blobs(self) -> None:
        store = self.make()
        store.put("empty", [b""])
        store.put("none", [])
        for key in ("empty", "none"):
            assert bytes(store.get(key)) == b"", key
            assert store.size(key) == 0, key
        assert store.list() == ["empty", "none"]

    def test_chunks_may_be_any_contiguous_memory(self) -> None:
        from array import array

        store = self.make()
        numbers = array("d", [1.0, 2.0])
        store.put("a", [b"x", bytearray(b"y"), memoryview(b"_z_")[1:2], numbers])
        assert bytes(store.get("a")) == b"xyz" + numbers.tobytes()

    def test_chunks_may_come_from_a_generator_that_reuses_its_memory(self) -> None:
        store = self.make()

        def chunks() -> Iterator[bytearray]:
            memory = bytearray(4)
            for number in range(3):
                memory[:] = bytes([number] * 4)
                yield memory

        store.put("a", chunks())
        assert bytes(store.get("a")) == bytes([0] * 4 + [1] * 4 + [2] * 4)

    def test_memory_with_gaps_is_refused_or_written_as_it_reads(self) -> None:
        store = self.make()
        with suppress(Exception):
            store.put("a", [memoryview(b"abcdef")[::2]])
            assert bytes(store.get("a")) == b"ace"
            return
        assert store.list() == []

    def test_what_is_no_memory_is_refused(self) -> None:
        store = self.make()
        for chunk in ("text", 7, None):
            _expect(Exception, store.put, "a", [b"x", chunk])
        assert store.list() == []

    def test_a_large_blob_is_read_back(self) -> None:
        store = self.make()
        block = bytes(range(256)) * 4096
        store.put("large", (block for _ in range(64)))
        assert store.size("large") == 64 << 20
        data = store.get("large")
        assert all(data[at : at + len(block)] == block for at in range(0, len(data), len(block)))

    def test_the_memory_returned_is_writable_and_the_callers_own(self) -> None:
        store = self.make()
        store.put("a", [b"abc"])
        first, second = store.get("a"), store.get("a")
        first[:] = b"xyz"
        assert bytes(second) == b"abc"
        assert bytes(store.get("a")) == b"abc"

    def test_the_memory_returned_outlives_the_blob(self) -> None:
        store = self.make()
        store.put("a", [b"abc"])
        data = store.get("a")
        store.put("a", [b"xy"])
        store.delete("a")
        store.close()
        assert bytes(data) == b"abc"

    def test_an_absent_blob_is_a_key_error(self) -> None:
        store = self.make()
        store.put("folder/a", [b""])
        for key in ("absent", "folder/absent", "folder", "folder/a/b"):
            _expect(KeyError, store.get, key)
            _expect(KeyError, store.size, key)

    # ranges -------------------------------------------------------------------------------------

    def test_a_part_is_read(self) -> None:
        store = self.make()
        store.put("a", [b"0123456789"])
        for start, stop in ((0, 4), (3, 7), (6, None), (0, None), (4, 4), (10, 10)):
            assert bytes(store.get("a", start, stop)) == b"0123456789"[start:stop], (start, stop)

    def test_a_part_beyond_the_end_is_cut(self) -> None:
        store = self.make()
        store.put("a", [b"0123456789"])
        for start, stop in ((8, 1 << 50), (10, 11), (99, 100), (99, None), (7, 3)):
            assert bytes(store.get("a", start, stop)) == b"0123456789"[start:stop], (start, stop)

    def test_a_negative_part_is_refused(self) -> None:
        store = self.make()
        store.put("a", [b"0123456789"])
        _expect(ValueError, store.get, "a", -1)
        _expect(ValueError, store.get, "a", 0, -1)

    # replacing ----------------------------------------------------------------------------------

    def test_a_blob_is_replaced_whole(self) -> None:
        store = self.make()
        store.put("a", [b"a long first blob"])
        store.put("a", [b"short"])
        assert bytes(store.get("a")) == b"short"
        assert store.list() == ["a"]

    def test_an_interrupted_put_leaves_the_old_blob(self) -> None:
        for interruption in (RuntimeError("stop"), KeyboardInterrupt(), OSError("elsewhere")):
            store = self.make()
            store.put("a", [b"old"])
            _expect(BaseException, store.put, "a", _broken(b"new", interruption))
            assert bytes(store.get("a")) == b"old"
            assert self.make().list() == ["a"]

    def test_an_interrupted_first_put_leaves_nothing(self) -> None:
        store = self.make()
        _expect(RuntimeError, store.put, "a", _broken(b"new", RuntimeError("stop")))
        _expect(KeyError, store.get, "a")
        assert store.list() == []

    def test_a_put_under_way_is_not_seen(self) -> None:
        store, other = self.make(), self.make()
        store.put("a", [b"old"])
        seen: list[Any] = []

        def chunks() -> Iterator[bytes]:
            yield b"x" * (1 << 20)
            seen.extend((bytes(other.get("a")), other.size("a"), other.list()))
            yield b"y"

        store.put("a", chunks())
        assert seen == [b"old", 3, ["a"]]
        assert store.size("a") == (1 << 20) + 1

    def test_a_first_put_under_way_is_not_seen(self) -> None:
        store, other = self.make(), self.make()
        seen: list[Any] = []

        def chunks() -> Iterator[bytes]:
            yield b"x"
            seen.extend(other.list())

        store.put("folder/a", chunks())
        assert seen == []
        assert store.list() == ["folder/a"]

    def test_readers_never_see_a_mixture(self) -> None:
        store = self.make()
        size = 1 << 18
        store.put("a", [b"\0" * size])
        written = threading.Event()

        def read() -> None:
            reader = self.make()
            while not written.is_set():
                data = bytes(reader.get("a"))
                assert data == data[:1] * size, f"{len(data)} bytes with {sorted(set(data))[:4]}"

        def write() -> None:
            try:
                for number in range(30):
                    chunk = bytes([number]) * (size // 4)
                    store.put("a", [chunk, chunk, chunk, chunk])
            finally:
                written.set()

        _together(read, read, write, write)

    # conditional --------------------------------------------------------------------------------

    def test_only_if_absent_writes_where_nothing_is(self) -> None:
        store = self._conditional()
        store.put("folder/a", [b"first"], only_if_absent=True)
        assert bytes(store.get("folder/a")) == b"first"

    def test_only_if_absent_keeps_what_is_there(self) -> None:
        store = self._conditional()
        store.put("a", [b"first"])
        _expect(StorageError, lambda: store.put("a", [b"second"], only_if_absent=True))
        assert bytes(store.get("a")) == b"first"
        assert store.list() == ["a"]

    def test_only_if_absent_writes_again_after_a_delete(self) -> None:
        store = self._conditional()
        store.put("a", [b"first"], only_if_absent=True)
        store.delete("a")
        store.put("a", [b"second"], only_if_absent=True)
        assert bytes(store.get("a")) == b"second"

    def test_a_race_of_only_if_absent_has_one_winner(self) -> None:
        self._conditional()
        for attempt in range(5):
            won = self._race(f"race-{attempt}")
            assert len(won) == 1, f"{len(won)} of 8 won"
            assert bytes(self.make().get(f"race-{attempt}")) == bytes(won)

    def _race(self, key: str) -> list[int]:
        together = threading.Barrier(8)
        won: list[int] = []

        def race(number: int) -> None:
            store = self.make()

            def chunks() -> Iterator[bytes]:
                with suppress(threading.BrokenBarrierError):  # a store may let in one at a time
                    together.wait(0.2)
                yield bytes([number])

            with suppress(StorageError):
                store.put(key, chunks(), only_if_absent=True)
                won.append(number)

        _together(*(partial(race, number) for number in range(8)))
        return won

    # keys ---------------------------------------------------------------------------------------

    def test_keys_of_the_grammar_are_taken(self) -> None:
        for key in GOOD_KEYS:
            store = self.make()
            store.put(key, [key.encode()])
            assert bytes(store.get(key)) == key.encode(), key
            assert store.list() == [key]
            store.delete(key)

    def test_other_keys_are_refused_by_every_method(self) -> None:
        store = self.make()
        for key in BAD_KEYS:
            chunks = iter([b"x"])
            _expect(StorageError, store.put, key, chunks)
            assert next(chunks, None), f"put read its chunks before it refused the key {key!r}"
            for method in (store.get, store.size, store.delete):
                _expect(StorageError, method, key)
        assert store.list() == []

    # list and delete ----------------------------------------------------------------------------

    def test_list_is_sorted_as_text_and_takes_any_prefix(self) -> None:
        store = self.make()
        keys = ["b", "a/b/c", "a/b0", "a-b", "a.b/c", "a/10", "a/9", "B", "ab/c"]
        for key in keys:
            store.put(key, [b""])
        prefixes = ("", "a", "a/", "a/b", "a/b/", "a.", "absent", "absent/", "b/", "a/b/c")
        for prefix in (*prefixes, "/", "../", "..", "./", "a//", "*"):
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert store.list(prefix) == expected, prefix

    def test_a_new_store_is_empty(self) -> None:
        assert self.make().list() == []
        assert self.make().list("some/prefix") == []

    def test_delete_removes_one_blob_and_may_come_twice(self) -> None:
        store = self.make()
        store.put("a/b", [b"x"])
        store.put("a/c", [b"y"])
        for _ in range(2):
            store.delete("a/b")
            assert store.list() == ["a/c"]
            _expect(KeyError, store.get, "a/b")
        store.delete("never/there")
        store.delete("a/c/d")
        assert bytes(store.get("a/c")) == b"y"

    def test_a_deleted_blob_can_be_put_again(self) -> None:
        store = self.make()
        for data in (b"first", b"second"):
            store.put("a/b", [data])
            assert bytes(store.get("a/b")) == data
            store.delete("a/b")

    # handles ------------------------------------------------------------------------------------

    def test_two_handles_see_each_other(self) -> None:
        one, two = self.make(), self.make()
        one.put("a", [b"x"])
        assert bytes(two.get("a")) == b"x"
        two.put("a", [b"y"])
        two.put("b", [b"z"])
        assert bytes(one.get("a")) == b"y"
        assert one.list() == ["a", "b"]
        two.delete("a")
        assert one.list() == ["b"]

    def test_a_blob_outlives_its_handle_and_close_may_come_twice(self) -> None:
        store = self.make()
        store.put("a", [b"x"])
        store.close()
        store.close()
        assert bytes(self.make().get("a")) == b"x"

    def test_a_handle_serves_many_threads(self) -> None:
        store = self.make()

        def work(number: int) -> None:
            for step in range(5):
                key = f"folder-{step}/{number}"
                store.put(key, [key.encode()])
                assert bytes(store.get(key)) == key.encode()

        _together(*(partial(work, number) for number in range(8)))
        assert len(store.list("folder-")) == 40

    def test_capabilities_are_words_of_the_contract(self) -> None:
        assert self.make().capabilities <= {"conditional", "ranges"}

    def _conditional(self) -> Store:
        store = self.make()
        if "conditional" not in store.capabilities:
            import pytest

            pytest.skip("the store is not `conditional`")
        return store


def _broken(data: bytes, error: BaseException) -> Iterator[bytes]:
    yield data
    raise error


def _expect(kind: type[BaseException], call: Callable[..., Any], *args: Any) -> None:
    try:
        call(*args)
    except kind:
        return
    name = getattr(call, "__name__", "it")
    raise AssertionError(f"{name} did not raise {kind.__name__} for {args}")


def _together(*functions: Callable[[], None]) -> None:
    """Run each in a thread of its own; raise what the first that failed raised."""
    failed: list[BaseException] = []

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
