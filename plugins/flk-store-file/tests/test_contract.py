"""The file store keeps the contract of its role on this machine's disk."""

import shutil
import tempfile
from importlib.metadata import entry_points

from flk.testing.store import StoreSuite
from flk.world import RealWorld
from flk_store_file import FileStore


class TestFileStore(StoreSuite):
    def setup_method(self) -> None:
        self.folder = tempfile.mkdtemp()

    def teardown_method(self) -> None:
        shutil.rmtree(self.folder)

    def make(self) -> FileStore:
        return FileStore.open(f"{self.folder}/not/there/yet", RealWorld())


def test_it_is_registered_under_its_name() -> None:
    (point,) = entry_points(group="flk.stores.v1", name="file")
    assert point.load() is FileStore
