"""The executor acme keeps its contract."""

from flk.testing.executor import ExecutorSuite
from flk_role_acme import AcmeExecutor


class TestAcme(ExecutorSuite):
    def make(self) -> AcmeExecutor:
        return AcmeExecutor()
