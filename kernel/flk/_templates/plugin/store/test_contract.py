"""The store acme keeps its contract."""

import shutil
import tempfile

from flk.testing.store import StoreSuite
from flk.world import RealWorld
from flk_role_acme import AcmeStore


class TestAcme(StoreSuite):
    def setup_method(self) -> None:
        self.folder = tempfile.mkdtemp()

    def teardown_method(self) -> None:
        shutil.rmtree(self.folder)

    def make(self) -> AcmeStore:
        return AcmeStore.open(self.folder, RealWorld())
