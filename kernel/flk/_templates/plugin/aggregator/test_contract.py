"""The aggregator acme keeps its contract."""

from collections.abc import Sequence
from statistics import fmean

from flk.testing.aggregator import AggregatorSuite
from flk_role_acme import AcmeAggregator


class TestAcme(AggregatorSuite):
    def make(self) -> AcmeAggregator:
        return AcmeAggregator()

    def expected(self, rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
        return [fmean(column) for column in zip(*rows, strict=True)]
