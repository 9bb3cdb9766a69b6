"""The environment acme keeps its contract."""

from flk.testing.environment import EnvironmentSuite
from flk_role_acme import AcmeEnvironment


class TestAcme(EnvironmentSuite):
    def make(self, sites: int = 3) -> AcmeEnvironment:
        return AcmeEnvironment([f"site-{number}" for number in range(1, sites + 1)])
