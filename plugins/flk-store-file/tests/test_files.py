"""What the file store does on a file system that somebody else uses too."""

import errno
import os
from pathlib import Path

import pytest
from flk.errors import StorageError
from flk.world import RealFiles, RealWorld
from flk_store_file import FileStore


class BrokenFiles(RealFiles):
    """Every access fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def _fail(self, *_: object, **__: object) -> None:
        raise OSError(self.number, os.strerror(self.number))

    read = write = append = size = list = remove = _fail  # type: ignore[assignment]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore.open(str(tmp_path / "store"), RealWorld())


def broken(number: int) -> FileStore:
    world = RealWorld()
    world.files = BrokenFiles(number)
    return FileStore.open("somewhere", world)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "space"),
        (errno.EACCES, "right"),
        (errno.EROFS, "can be written"),
        (errno.EIO, "medium"),
        (errno.EDQUOT, "quota"),
        (errno.ENAMETOOLONG, "Check"),
    ],
)
def test_every_failure_of_the_disk_is_a_storage_error_with_a_cure(number: int, word: str) -> None:
    store = broken(number)
    for call in (
        lambda: store.put("a", [b""]),
        lambda: store.get("a"),
        lambda: store.size("a"),
        lambda: store.list(),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StorageError) as caught:
            call()
        assert word in caught.value.cure
        assert isinstance(caught.value.__cause__, OSError)


def test_a_key_is_the_path_of_its_file(store: FileStore, tmp_path: Path) -> None:
    store.put("a/b", [b"x"])
    assert (tmp_path / "store/a/b").read_bytes() == b"x"


def test_a_relative_folder_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = FileStore.open("here", RealWorld())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put("a", [b"x"])
    assert (tmp_path / "here/a").exists()


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "big-disk")
    store = FileStore.open(str(tmp_path / "store"), RealWorld())
    store.put("a", [b"x"])
    assert bytes(store.get("a")) == b"x"


@pytest.mark.parametrize("key", ["file", "folder/a", "dangling", "folder/new"])
def test_a_link_below_the_folder_is_not_followed(
    store: FileStore, tmp_path: Path, key: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    store.put("blob", [b"x"])
    (tmp_path / "store/file").symlink_to(outside / "a")
    (tmp_path / "store/folder").symlink_to(outside)
    (tmp_path / "store/dangling").symlink_to(outside / "new")
    for call in (
        lambda: store.put(key, [b"taken"]),
        lambda: store.get(key),
        lambda: store.size(key),
        lambda: store.delete(key),
        lambda: store.list("folder/"),
    ):
        with pytest.raises(StorageError):
            call()
    assert [path.read_bytes() for path in outside.iterdir()] == [b"secret"]
    assert store.list() == ["blob"]


def test_foreign_files_are_not_listed(store: FileStore, tmp_path: Path) -> None:
    store.put("a", [b"x"])
    (tmp_path / "store/not a key").write_bytes(b"")
    os.mkfifo(tmp_path / "store/pipe")
    assert store.list() == ["a"]


def test_a_file_in_the_place_of_a_folder_is_a_storage_error(store: FileStore) -> None:
    store.put("a", [b"x"])
    for conditional in (False, True):
        with pytest.raises(StorageError) as caught:
            store.put("a/b", [b"y"], only_if_absent=conditional)
        assert "Remove the file" in caught.value.cure
    store.put("c/d", [b"x"])
    with pytest.raises(StorageError):
        store.put("c", [b"y"])
    assert store.list() == ["a", "c/d"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_a_storage_error(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(StorageError):
        store.put("a", [b"x"])


@pytest.mark.parametrize("location", ["", "a\0b"])
def test_a_location_that_is_no_path_is_refused(location: str) -> None:
    with pytest.raises(StorageError):
        FileStore.open(location, RealWorld())
