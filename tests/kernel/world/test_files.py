"""Files: the real disk and the simulated one keep the same contract, whatever fails."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flk.files
import pytest
from flk.testing import failing
from flk.testing.disk import PowerCut, SimFiles
from flk.testing.store import StoreSuite
from flk.world import Files, RealFiles, RealWorld


class FilesSuite(ABC):
    @abstractmethod
    def make(self) -> Files: ...

    @pytest.fixture
    def files(self) -> Files:
        return self.make()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    def test_a_file_is_written_and_read(self, files: Files, folder: Path) -> None:
        files.write(folder / "a/b/c", [b"one", bytearray(b"two"), b"", memoryview(b"three")])
        assert bytes(files.read(folder / "a/b/c")) == b"onetwothree"
        assert files.size(folder / "a/b/c") == 11

    def test_parts_are_read_and_cut_at_the_end(self, files: Files, folder: Path) -> None:
        files.write(folder / "a", [b"0123456789"])
        for start, stop in ((2, 5), (8, 1 << 60), (10, 20), (50, None), (7, 3), (0, 0)):
            assert bytes(files.read(folder / "a", start, stop)) == b"0123456789"[start:stop]

    def test_the_memory_read_is_the_callers(self, files: Files, folder: Path) -> None:
        files.write(folder / "a", [b"abc"])
        files.read(folder / "a")[:] = b"xyz"
        assert bytes(files.read(folder / "a")) == b"abc"

    def test_memory_of_several_dimensions_is_written_also_if_empty(
        self, files: Files, folder: Path
    ) -> None:
        square = memoryview(bytearray(range(6))).cast("B", (2, 3))
        empty = (ctypes.c_double * 0 * 3)()
        files.write(folder / "a", [square, empty])
        assert bytes(files.read(folder / "a")) == bytes(range(6))

    def test_only_if_absent_keeps_what_is_there(self, files: Files, folder: Path) -> None:
        files.write(folder / "a", [b"first"], only_if_absent=True)
        with pytest.raises(FileExistsError):
            files.write(folder / "a", [b"second"], only_if_absent=True)
        assert bytes(files.read(folder / "a")) == b"first"
        assert files.list(folder) == [folder / "a"]

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, files: Files, folder: Path
    ) -> None:
        files.write(folder / "a", [b"old"])

        def chunks() -> Iterator[bytes]:
            yield b"new"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            files.write(folder / "a", chunks())
        assert bytes(files.read(folder / "a")) == b"old"
        assert files.list(folder) == [folder / "a"]

    def test_append_adds_to_the_end(self, files: Files, folder: Path) -> None:
        for line in (b"one\n", b"", b"two\n"):
            files.append(folder / "log/journal", line)
        assert bytes(files.read(folder / "log/journal")) == b"one\ntwo\n"

    def test_list_is_sorted_and_of_all_depths(self, files: Files, folder: Path) -> None:
        names = ["b", "a/z", "a/b/c", "a.txt"]
        for name in names:
            files.write(folder / name, [b""])
        assert files.list(folder) == sorted(folder / name for name in names)
        assert files.list(folder / "a") == [folder / "a/b/c", folder / "a/z"]
        assert files.list(folder / "absent") == files.list(folder / "b") == []

    def test_remove_may_come_twice(self, files: Files, folder: Path) -> None:
        files.write(folder / "a", [b""])
        files.remove(folder / "a")
        files.remove(folder / "a")
        files.write(folder / "b", [b""])
        files.remove(folder / "b/c")
        assert files.list(folder) == [folder / "b"]

    def test_what_is_absent_is_file_not_found(self, files: Files, folder: Path) -> None:
        for call in (files.read, files.size):
            with pytest.raises(FileNotFoundError):
                call(folder / "absent")

    def test_files_and_folders_are_not_confused(self, files: Files, folder: Path) -> None:
        files.write(folder / "a/b", [b""])
        for call in (files.read, files.size):
            with pytest.raises(IsADirectoryError):
                call(folder / "a")
            with pytest.raises(NotADirectoryError):
                call(folder / "a/b/c")
        for only_if_absent in (False, True):
            with pytest.raises(NotADirectoryError):
                files.write(folder / "a/b/c", [b""], only_if_absent=only_if_absent)
        with pytest.raises(IsADirectoryError):
            files.write(folder / "a", [b""])
        with pytest.raises(NotADirectoryError):
            files.append(folder / "a/b/c", b"")

    def test_resolve_makes_absolute_and_drops_dots(self, files: Files, folder: Path) -> None:
        assert files.resolve(folder / "a/../b/./c") == files.resolve(folder) / "b/c"
        assert files.resolve(Path("x")).is_absolute()


class TestRealFiles(FilesSuite):
    def make(self) -> Files:
        return RealFiles()


class TestSimFiles(FilesSuite):
    def make(self) -> Files:
        return SimFiles()


# the real disk ------------------------------------------------------------------------------------


class FailingOs:
    """The module `os`, of whose calls with side effects the `number`-th fails."""

    COUNTED = ("open", "write", "fsync", "replace", "link", "fchmod")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        original = getattr(os, name)
        if name not in self.COUNTED:
            return original

        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return original(*args, **options)

        return call


@pytest.mark.parametrize("only_if_absent", [False, True])
@pytest.mark.parametrize("number", range(1, 10))
def test_an_error_anywhere_in_a_write_leaves_old_or_new_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, only_if_absent: bool
) -> None:
    files, path = RealFiles(), tmp_path / "a"
    files.write(tmp_path / "other", [b""])
    if not only_if_absent:
        files.write(path, [b"old"])
    failing_os = FailingOs(number)
    with monkeypatch.context() as patch:
        patch.setattr(flk.files, "os", failing_os)
        try:
            files.write(path, [b"ne", b"w"], only_if_absent=only_if_absent)
        except OSError as error:
            assert error.errno == errno.EIO
            failed = True
        else:
            failed = False
    assert failed == (number <= len(failing_os.calls))
    found = bytes(path.read_bytes()) if path.exists() else None
    synced_folder_failed = failing_os.calls[-1] in ("open", "fsync") and number > 5
    if not failed or synced_folder_failed:
        assert found == b"new"
    else:
        assert found == (None if only_if_absent else b"old")
    assert {p.name for p in tmp_path.iterdir()} <= {"a", "other"}


def test_contents_are_synced_before_the_name_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = FailingOs(0)
    monkeypatch.setattr(flk.files, "os", spy)
    RealFiles().write(tmp_path / "a", [b"x"])
    assert [c for c in spy.calls if c in ("write", "fsync", "replace")] == [
        "write",
        "fsync",
        "replace",
        "fsync",
    ]


def test_new_folders_are_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(flk.files, "_sync_folder", synced.append)
    RealFiles().write(tmp_path / "a/b/c", [b"x"])
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a/b"]
    synced.clear()
    RealFiles().append(tmp_path / "a/b/log", b"x")
    RealFiles().append(tmp_path / "a/b/log", b"x")
    assert synced == [tmp_path / "a/b"]


def test_a_disk_that_writes_a_part_at_a_time_gets_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(FailingOs):
        def __getattr__(self, name: str) -> Any:
            return self.write_one if name == "write" else getattr(os, name)

        def write_one(self, fd: int, data: Any) -> int:
            return os.write(fd, data[:3])

    monkeypatch.setattr(flk.files, "os", Slow(0))
    files = RealFiles()
    files.write(tmp_path / "a", [b"0123456789", b"abc"])
    files.append(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789abc0123456789"


def test_an_append_that_fails_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, path = RealFiles(), tmp_path / "log"
    files.append(path, b"old\n")

    class Full(FailingOs):
        def __getattr__(self, name: str) -> Any:
            return self.write_some if name == "write" else getattr(os, name)

        def write_some(self, fd: int, data: Any) -> int:
            self.calls.append("write")
            if len(self.calls) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return os.write(fd, data[:3])

    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr(flk.files, "os", Full(0))
        files.append(path, b"torn\n")
    files.append(path, b"new\n")
    assert path.read_bytes() == b"old\nnew\n"


def test_a_folder_that_cannot_be_synced_is_no_error_where_no_folder_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoFolders(FailingOs):
        def __getattr__(self, name: str) -> Any:
            return self.sync if name == "fsync" else getattr(os, name)

        def sync(self, fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(flk.files, "os", NoFolders(0))
    RealFiles().write(tmp_path / "a", [b"x"])
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_new_file_follows_the_umask_and_a_replaced_one_keeps_its_mode(tmp_path: Path) -> None:
    files, path = RealFiles(), tmp_path / "a"
    before = os.umask(0o027)
    try:
        files.write(path, [b"x"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        files.write(path, [b"y"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


KILLED = """
import os, signal, sys
from pathlib import Path
from flk.world import RealFiles
def chunks():
    yield b"x" * 100
    os.kill(os.getpid(), signal.SIGKILL)
RealFiles().write(Path(sys.argv[1]), chunks())
"""


def test_what_a_killed_writer_left_is_not_listed_and_removed_by_the_next(tmp_path: Path) -> None:
    RealFiles().write(tmp_path / "a", [b"old"])
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    files = RealFiles()
    assert files.list(tmp_path) == [tmp_path / "a"]
    assert bytes(files.read(tmp_path / "a")) == b"old"
    files.write(tmp_path / "b", [b""])
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}


def test_what_a_living_writer_writes_is_not_removed(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        RealFiles().write(tmp_path / "b", [b""])  # another process, at its first write here
        yield b"y"

    RealFiles().write(tmp_path / "a", chunks())
    assert (tmp_path / "a").read_bytes() == b"xy"


def test_links_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_bytes(b"")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "file").symlink_to(tmp_path / "real/a")
    assert RealFiles().list(tmp_path) == [tmp_path / "real/a"]


# the simulated disk -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_crash_at_any_operation_of_a_write_leaves_old_or_new(seed: int) -> None:
    path, outcomes = Path("/a"), set()
    for number in range(1, 8):
        disk = SimFiles(seed)
        disk.write(path, [b"old"])
        disk.fail_at(number, PowerCut())
        try:
            disk.write(path, [b"n", b"ew"])
        except PowerCut:
            with pytest.raises(PowerCut):
                disk.read(path)
        disk.crash()
        outcomes.add(bytes(disk.read(path)))
        assert outcomes <= {b"old", b"new"}
        assert disk.list(Path("/")) == [path]
    assert b"new" in outcomes


def test_a_file_whose_name_was_not_synced_may_be_lost_or_kept() -> None:
    found = set()
    for seed in range(20):
        disk = SimFiles(seed)
        disk.fail_at(5, PowerCut())  # the sync of the folder
        with pytest.raises(PowerCut):
            disk.write(Path("/a"), [b"x"])
        disk.crash()
        found.add(len(disk.list(Path("/"))))
    assert found == {0, 1}


def test_an_append_that_was_not_synced_may_be_torn_anywhere() -> None:
    found = set()
    for seed in range(60):
        disk = SimFiles(seed)
        disk.append(Path("/log"), b"old.")
        disk.fail_at(3, PowerCut())  # the sync
        with pytest.raises(PowerCut):
            disk.append(Path("/log"), b"new")
        disk.crash()
        found.add(bytes(disk.read(Path("/log"))))
    assert found == {b"old.", b"old.n", b"old.ne", b"old.new"}


def test_what_returned_survives_a_crash() -> None:
    for seed in range(10):
        disk = SimFiles(seed)
        disk.write(Path("/f/a"), [b"x"])
        disk.append(Path("/f/log"), b"y")
        disk.append(Path("/f/log"), b"z")
        disk.crash()
        assert bytes(disk.read(Path("/f/a"))) == b"x"
        assert bytes(disk.read(Path("/f/log"))) == b"yz"


def test_a_full_disk_refuses_and_keeps_what_is_there() -> None:
    disk = SimFiles(capacity=10)
    disk.write(Path("/a"), [b"123456"])
    for call in (
        lambda: disk.write(Path("/a"), [b"123", b"45"]),
        lambda: disk.write(Path("/b"), [b"12345"]),
        lambda: disk.append(Path("/a"), b"12345"),
    ):
        with pytest.raises(OSError, match="space"):
            call()
    assert bytes(disk.read(Path("/a"))) == b"123456"
    assert disk.list(Path("/")) == [Path("/a")]
    disk.append(Path("/a"), b"7890")
    assert disk.size(Path("/a")) == 10


def test_an_error_comes_once_at_its_operation() -> None:
    disk = SimFiles()
    disk.write(Path("/a"), [b"x"])
    disk.fail_at(2, OSError(errno.EIO, "broken"))
    disk.read(Path("/a"))
    with pytest.raises(OSError, match="broken"):
        disk.read(Path("/a"))
    disk.read(Path("/a"))


def test_the_file_store_keeps_its_contract_on_the_simulated_disk() -> None:
    file_store = pytest.importorskip("flk_store_file").FileStore

    class Suite(StoreSuite):
        def setup_method(self) -> None:
            self.world = RealWorld()
            self.world.files = SimFiles()  # type: ignore[assignment]

        def make(self) -> Any:
            return file_store.open("/store", self.world)

    assert failing(Suite) == {}
