"""The workflow acme keeps its contract."""

from flk.testing.workflow import WorkflowSuite
from flk_role_acme import AcmeWorkflow


class TestAcme(WorkflowSuite):
    def make(self) -> AcmeWorkflow:
        return AcmeWorkflow(start=0.0, rounds=2)
