"""The suite for stores passes a right store and names the fault of wrong ones."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest
from flk.errors import StorageError
from flk.spi.store import Store, check_key
from flk.testing import failing
from flk.testing.store import StoreSuite
from flk.world import World


class MemoryStore(Store):
    """Right, for as long as the process lives."""

    capabilities = frozenset({"conditional", "ranges"})

    def __init__(self, blobs: dict[str, bytes], lock: Any) -> None:
        self.blobs = blobs
        self.lock = lock

    @classmethod
    def open(cls, location: str, world: World) -> MemoryStore:
        return cls({}, threading.Lock())

    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        self.check(key)
        data = b"".join(bytes(memoryview(chunk).cast("B")) for chunk in chunks)
        with self.lock:
            if only_if_absent and key in self.blobs:
                raise StorageError(f"there is a blob {key!r} already")
            self.blobs[key] = data

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        self.check(key)
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError("a range counts from the start")
        return memoryview(bytearray(self.blobs[key][start:stop]))

    def size(self, key: str) -> int:
        self.check(key)
        return len(self.blobs[key])

    def list(self, prefix: str = "") -> list[str]:
        return sorted(key for key in list(self.blobs) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self.check(key)
        self.blobs.pop(key, None)

    def check(self, key: str) -> None:
        check_key(key)


class TakesAnyKey(MemoryStore):
    def check(self, key: str) -> None:
        return None


class WritesInPlace(MemoryStore):
    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        self.check(key)
        if only_if_absent and key in self.blobs:
            raise StorageError("there already")
        self.blobs[key] = b""
        for chunk in chunks:
            self.blobs[key] += bytes(memoryview(chunk).cast("B"))


class LooksThenWrites(MemoryStore):
    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        self.check(key)
        if only_if_absent and key in self.blobs:
            raise StorageError("there already")
        super().put(key, chunks)


class Overwrites(MemoryStore):
    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        super().put(key, chunks)


class LendsItsMemory(MemoryStore):
    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        if start or stop is not None:
            return super().get(key, start, stop)
        return memoryview(self.blobs[key])


class KeepsChunksUnread(MemoryStore):
    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        super().put(key, list(chunks), only_if_absent=only_if_absent)


class ListsUnsorted(MemoryStore):
    def list(self, prefix: str = "") -> list[str]:
        return [key for key in self.blobs if key.startswith(prefix)]


class PrefixIsAFolder(MemoryStore):
    def list(self, prefix: str = "") -> list[str]:
        folder = prefix.rstrip("/") + "/" if prefix else ""
        return super().list(folder)


class DeletesOnce(MemoryStore):
    def delete(self, key: str) -> None:
        self.check(key)
        del self.blobs[key]


class HidesAbsence(MemoryStore):
    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        self.check(key)
        return super().get(key, start, stop) if key in self.blobs else memoryview(bytearray())


class RangeByLength(MemoryStore):
    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        return super().get(key, start, None if stop is None else start + stop)


class ForgetsEmptyBlobs(MemoryStore):
    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        super().put(key, chunks, only_if_absent=only_if_absent)
        if not self.blobs[key]:
            del self.blobs[key]


class EveryHandleForItself(MemoryStore):
    def __init__(self, blobs: dict[str, bytes], lock: Any) -> None:
        super().__init__(dict(blobs), lock)


class InventsCapabilities(MemoryStore):
    capabilities = frozenset({"conditional", "ranges", "quantum"})


def suite_of(kind: type[MemoryStore]) -> type[StoreSuite]:
    class Suite(StoreSuite):
        def setup_method(self) -> None:
            self.blobs: dict[str, bytes] = {}
            self.lock = threading.Lock()

        def make(self) -> MemoryStore:
            return kind(self.blobs, self.lock)

    return Suite


def test_a_right_store_passes() -> None:
    assert failing(suite_of(MemoryStore)) == {}


def test_a_store_that_is_not_conditional_is_not_asked_to_be() -> None:
    class Plain(Overwrites):
        capabilities = frozenset({"ranges"})

    assert failing(suite_of(Plain)) == {}


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (TakesAnyKey, "test_other_keys_are_refused_by_every_method"),
        (WritesInPlace, "test_an_interrupted_put_leaves_the_old_blob"),
        (WritesInPlace, "test_a_put_under_way_is_not_seen"),
        (LooksThenWrites, "test_a_race_of_only_if_absent_has_one_winner"),
        (Overwrites, "test_only_if_absent_keeps_what_is_there"),
        (LendsItsMemory, "test_the_memory_returned_is_writable_and_the_callers_own"),
        (KeepsChunksUnread, "test_chunks_may_come_from_a_generator_that_reuses_its_memory"),
        (ListsUnsorted, "test_list_is_sorted_as_text_and_takes_any_prefix"),
        (PrefixIsAFolder, "test_list_is_sorted_as_text_and_takes_any_prefix"),
        (DeletesOnce, "test_delete_removes_one_blob_and_may_come_twice"),
        (HidesAbsence, "test_an_absent_blob_is_a_key_error"),
        (RangeByLength, "test_a_part_is_read"),
        (ForgetsEmptyBlobs, "test_an_empty_blob_and_no_chunks_are_blobs"),
        (EveryHandleForItself, "test_two_handles_see_each_other"),
        (InventsCapabilities, "test_capabilities_are_words_of_the_contract"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_faulty_store_fails_the_test_that_names_its_fault(
    faulty: type[MemoryStore], test: str
) -> None:
    assert test in failing(suite_of(faulty))
