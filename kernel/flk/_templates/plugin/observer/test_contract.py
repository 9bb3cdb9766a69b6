"""The observer acme keeps its contract."""

from flk.testing.observer import ObserverSuite
from flk_role_acme import AcmeObserver


class TestAcme(ObserverSuite):
    def make(self) -> AcmeObserver:
        return AcmeObserver()
