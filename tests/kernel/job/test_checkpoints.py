"""Checkpoints: what was saved comes back, or an older one does, or an error says why."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import tracemalloc
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flk.errors import CheckpointError, EncodeError, StorageError, UnknownType
from flk.job.checkpoints import CheckpointManager, CheckpointWarning
from flk.spi.store import Store
from flk.testing.disk import PowerCut, SimFiles
from flk.wire import Codecs
from flk.world import RealWorld
from hypothesis import given, settings
from hypothesis import strategies as st

FileStore = pytest.importorskip("flk_store_file").FileStore


@dataclass
class Point:
    x: int


class Machine:
    """A disk, and one manager after another on it."""

    def __init__(self, capacity: int | None = None, seed: int = 0) -> None:
        self.disk = SimFiles(seed, capacity)
        self.reports: list[str] = []

    def manager(self, **options: Any) -> CheckpointManager:
        options.setdefault("report", self.reports.append)
        return CheckpointManager(self.store(), "rounds", Codecs(), **options)

    def store(self, kind: type[Store] = FileStore) -> Store:
        world = RealWorld()
        world.files = self.disk  # type: ignore[assignment]
        return kind.open("/run", world)

    def damage(self, version: int, change: Any) -> None:
        """Replace a blob by what `change` makes of its bytes."""
        key = f"rounds/{version:016d}"
        self.store().put(key, [change(bytes(self.store().get(key)))])


@pytest.fixture
def machine() -> Machine:
    return Machine()


def state(number: int) -> dict[str, Any]:
    """About 20 KiB, of two buffers and some plain data."""
    weights = array("d", [number] * 1000)
    return {"round": number, "weights": memoryview(weights).cast("B"), "b": bytes([number]) * 12000}


def same(found: tuple[int, Any] | None, number: int) -> bool:
    expected = state(number)
    return found is not None and found[0] == number and found[1] == expected


def flipped(bit: int) -> Any:
    def change(blob: bytes) -> bytes:
        data = bytearray(blob)
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        return bytes(data)

    return change


# saving and restoring -----------------------------------------------------------------------------


def test_nothing_is_restored_where_nothing_was_saved(machine: Machine) -> None:
    assert machine.manager().restore() is None
    assert machine.manager().versions() == []


def test_a_new_process_restores_what_was_saved(machine: Machine) -> None:
    machine.manager().save(7, state(7))
    assert same(machine.manager().restore(), 7)


def test_a_new_process_restores_what_a_serializer_wrote(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("flk_serializer_numpy")
    store = FileStore.open(str(tmp_path), RealWorld())
    weights = {"w": numpy.arange(12.0).reshape(3, 4), "none": numpy.zeros((0, 3))}
    CheckpointManager(store, "a/b", Codecs()).save(0, weights)
    found = CheckpointManager(store, "a/b", Codecs()).restore()
    assert found is not None
    numpy.testing.assert_array_equal(found[1]["w"], weights["w"])
    assert found[1]["none"].shape == (0, 3)
    found[1]["w"] += 1  # its memory is the caller's


def test_the_newest_is_restored_and_two_are_kept(machine: Machine) -> None:
    manager = machine.manager()
    for number in range(5):
        manager.save(number, state(number))
    assert manager.versions() == [3, 4]
    assert same(manager.restore(), 4)


def test_as_many_are_kept_as_asked(machine: Machine) -> None:
    manager = machine.manager(keep=3)
    for number in range(0, 50, 10):
        manager.save(number, state(number))
    assert manager.versions() == [20, 30, 40]


def test_saving_the_newest_again_replaces_it(machine: Machine) -> None:
    machine.manager().save(1, state(9))
    machine.manager().save(1, state(1))
    assert same(machine.manager().restore(), 1)


def test_what_is_older_than_the_newest_is_refused(machine: Machine) -> None:
    machine.manager().save(5, state(5))
    with pytest.raises(CheckpointError):
        machine.manager().save(4, state(4))
    assert machine.manager().versions() == [5]


@pytest.mark.parametrize("version", [-1, 10**16])
def test_a_number_that_is_no_version_is_refused(machine: Machine, version: int) -> None:
    with pytest.raises(CheckpointError):
        machine.manager().save(version, {})


def test_two_prefixes_are_apart(machine: Machine) -> None:
    one = CheckpointManager(machine.store(), "a", Codecs())
    two = CheckpointManager(machine.store(), "a.b", Codecs())
    one.save(1, "one")
    two.save(2, "two")
    assert one.restore() == (1, "one")
    assert two.restore() == (2, "two")


def test_other_blobs_under_the_prefix_are_left_alone(machine: Machine) -> None:
    store = machine.store()
    for key in ("rounds/notes", "rounds/12", "rounds/0000000000000001/part", "rounds/" + "x" * 16):
        store.put(key, [b"x"])
    manager = machine.manager()
    for number in range(2, 6):
        manager.save(number, state(number))
    assert manager.versions() == [4, 5]
    assert len(store.list()) == 6


@pytest.mark.parametrize("prefix", ["", "/a", "a/", "..", "a b"])
def test_a_prefix_must_be_a_key(machine: Machine, prefix: str) -> None:
    with pytest.raises(StorageError):
        CheckpointManager(machine.store(), prefix, Codecs())


def test_at_least_one_is_kept(machine: Machine) -> None:
    with pytest.raises(ValueError, match="at least one"):
        machine.manager(keep=0)


def test_a_state_that_cannot_be_stored_leaves_everything_as_it_is(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    with pytest.raises(EncodeError):
        machine.manager().save(2, {"state": object()})
    assert same(machine.manager().restore(), 1)
    assert machine.manager().versions() == [1]


def test_an_intact_state_of_an_unknown_class_is_not_passed_over(machine: Machine) -> None:
    codecs = Codecs()
    codecs.register(Point, "acme.Point/1")
    manager = CheckpointManager(machine.store(), "rounds", codecs)
    manager.save(1, 1)
    manager.save(2, Point(2))
    with pytest.raises(UnknownType):
        machine.manager().restore()
    assert manager.restore() == (2, Point(2))


def test_saving_and_restoring_copy_no_tensor(tmp_path: Path) -> None:
    size = 64 << 20
    store = FileStore.open(str(tmp_path), RealWorld())
    weights = bytearray(size)
    manager = CheckpointManager(store, "rounds", Codecs())
    manager.save(0, weights)  # imports what it needs
    tracemalloc.start()
    try:
        manager.save(1, weights)
        saving = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        CheckpointManager(store, "rounds", Codecs()).restore()
        restoring = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert saving < size // 50
    assert restoring < size * 2.1  # the file and the bytearray, which owns its memory


# damage -------------------------------------------------------------------------------------------


def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, flipped(12345))
    assert same(machine.manager().restore(), 1)
    (report,) = machine.reports
    assert "rounds/0000000000000002" in report


def test_damage_is_a_warning_where_nobody_else_is_told(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, flipped(0))
    with pytest.warns(CheckpointWarning):
        machine.manager(report=None).restore()


def test_no_intact_one_is_an_error(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(1, flipped(1))
    machine.damage(2, flipped(2))
    with pytest.raises(CheckpointError) as caught:
        machine.manager().restore()
    assert "0000000000000001" in str(caught.value)
    assert "0000000000000002" in str(caught.value)


@given(bit=st.integers(0, 8 * 24_000))
@settings(max_examples=200, deadline=None)
def test_any_flipped_bit_is_found(bit: int) -> None:
    machine = Machine()
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, flipped(bit))
    assert same(machine.manager().restore(), 1)


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 95, 96, *range(4096, 20_000, 4096), -1, -32])
def test_a_torn_file_is_found(machine: Machine, kept: int) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    for change in (
        lambda blob: blob[:kept],
        lambda blob: blob[:kept] + bytes(len(blob) - len(blob[:kept])),
    ):
        machine.damage(2, change)
        assert same(machine.manager().restore(), 1)


@pytest.mark.parametrize(
    "change",
    [lambda blob: blob + b"\0", lambda blob: b"\0" + blob, lambda blob: blob * 2, lambda _: b"x"],
)
def test_bytes_that_were_added_are_found(machine: Machine, change: Any) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, change)
    assert same(machine.manager().restore(), 1)


def resealed(offset: int, new: bytes) -> Any:
    """Change a field of the header and make the digest right again."""

    def change(blob: bytes) -> bytes:
        data = bytearray(blob[:-32])
        data[offset : offset + len(new)] = new
        return bytes(data) + hashlib.sha256(data).digest()

    return change


@pytest.mark.parametrize(
    ("offset", "new"),
    [(0, b"not ckpt"), (16, struct.pack("<Q", 3)), (24, struct.pack("<Q", 1 << 62))],
    ids=["magic", "version", "length"],
)
def test_a_foreign_file_with_a_right_digest_is_passed_over(
    machine: Machine, offset: int, new: bytes
) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, resealed(offset, new))
    assert same(machine.manager().restore(), 1)


def test_a_format_of_the_future_is_refused_and_not_passed_over(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, resealed(8, struct.pack("<I", 2)))
    with pytest.raises(CheckpointError) as caught:
        machine.manager().restore()
    assert "format 2" in str(caught.value)
    assert machine.manager().versions() == [1, 2]


def test_a_damaged_generation_is_dropped_by_the_next_save_and_an_intact_one_is_not(
    machine: Machine,
) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(9, state(9))
    machine.damage(9, flipped(99))
    manager = machine.manager()
    assert same(manager.restore(), 1)
    manager.save(2, state(2))
    assert manager.versions() == [1, 2]


def test_a_damaged_version_can_be_saved_again(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.damage(2, flipped(99))
    manager = machine.manager()
    manager.restore()
    manager.save(2, state(2))
    assert manager.versions() == [1, 2]
    assert same(machine.manager().restore(), 2)


# a disk that fails --------------------------------------------------------------------------------


def every_operation_of_a_save() -> range:
    machine = Machine()
    manager = machine.manager()
    manager.save(1, state(1))
    manager.save(2, state(2))
    before = machine.disk.operations
    manager.save(3, state(3))
    return range(1, machine.disk.operations - before + 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("number", every_operation_of_a_save())
def test_a_crash_at_any_operation_loses_no_committed_state(number: int, seed: int) -> None:
    machine = Machine(seed=seed)
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.disk.fail_at(number, PowerCut())
    with pytest.raises(PowerCut):
        machine.manager().save(3, state(3))
    machine.disk.crash()
    found = machine.manager().restore()
    assert same(found, 2) or same(found, 3)
    assert machine.reports == []
    manager = machine.manager()
    manager.save(4, state(4))
    assert same(machine.manager().restore(), 4)
    assert len(manager.versions()) == 2


def test_a_save_that_returned_survives_a_crash() -> None:
    for seed in range(20):
        machine = Machine(seed=seed)
        for number in range(3):
            machine.manager().save(number, state(number))
            machine.disk.crash()
            assert same(machine.manager().restore(), number)


@pytest.mark.parametrize("number", every_operation_of_a_save())
def test_an_error_at_any_operation_is_a_storage_error_and_can_be_tried_again(number: int) -> None:
    machine = Machine()
    manager = machine.manager()
    manager.save(1, state(1))
    manager.save(2, state(2))
    machine.disk.fail_at(number, OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(StorageError):
        manager.save(3, state(3))
    found = machine.manager().restore()
    assert same(found, 2) or same(found, 3)
    manager.save(3, state(3))
    assert manager.versions() == [2, 3]
    assert same(machine.manager().restore(), 3)


def test_a_full_disk_leaves_the_last_state() -> None:
    machine = Machine(capacity=50_000)
    manager = machine.manager()
    manager.save(1, state(1))
    manager.save(2, state(2))
    with pytest.raises(StorageError) as caught:
        manager.save(3, state(3))
    assert "space" in caught.value.cure
    assert same(machine.manager().restore(), 2)
    assert manager.versions() == [1, 2]


def test_a_store_that_cannot_be_read_is_no_damaged_checkpoint(machine: Machine) -> None:
    machine.manager().save(1, state(1))
    machine.manager().save(2, state(2))
    machine.disk.fail_at(2, OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(StorageError) as caught:
        machine.manager().restore()
    assert not isinstance(caught.value, CheckpointError)


def test_a_generation_that_is_dropped_meanwhile_is_passed_over(machine: Machine) -> None:
    machine.manager().save(1, state(1))

    class Late(FileStore):  # type: ignore[misc, valid-type]
        def list(self, prefix: str = "") -> list[str]:
            return [*super().list(prefix), "rounds/0000000000000002"]

    manager = CheckpointManager(machine.store(Late), "rounds", Codecs())
    assert same(manager.restore(), 1)
