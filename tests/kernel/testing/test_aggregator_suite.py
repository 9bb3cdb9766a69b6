"""The suite for aggregators accepts right ones and names the fault of wrong ones."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
from flk.calls.trees import arrays_of, copy, flatten, unflatten
from flk.errors import ContributionRefused
from flk.spi.aggregator import Aggregator
from flk.testing import failing
from flk.testing.aggregator import AggregatorSuite
from flk.testing.fake_arrays import FakeArray


class ListMean(Aggregator):
    """A right one: the mean in float64, kept as lists."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"streaming", "mergeable", "checks"})

    def __init__(self) -> None:
        self.sums: list[list[float]] = []
        self.like: tuple[Any, Any] | None = None
        self.weight = 0.0

    def init(self, reference: Any, *, max_norm: float) -> None:
        self.max_norm = max_norm

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        leaves = self.leaves(contribution)
        self.check(leaves)
        self.take(
            leaves,
            [leaf if isinstance(leaf, (int, float)) else leaf.dtype for leaf in leaves],
            weight,
        )

    def leaves(self, tree: Any) -> list[Any]:
        _, structure = flatten(tree)
        if self.like is None:
            self.structure = structure
        return list(self.structure.leaves(tree))

    def check(self, leaves: list[Any]) -> None:
        norm2 = sum(arrays_of(type(leaf)).norm2(leaf) for leaf in leaves)
        if self.max_norm == math.inf or norm2 <= self.max_norm**2:
            return
        raise ContributionRefused("no", reason="huge" if math.isfinite(norm2) else "not_finite")

    def take(self, leaves: list[Any], dtypes: list[Any], weight: float) -> None:
        rows = [self.row(leaf) for leaf in leaves]
        self.sums = self.sums or [[0.0] * len(row) for row in rows]
        self.like = self.like or dtypes
        self.sums = [
            [a + weight * x for a, x in zip(total, row, strict=True)]
            for total, row in zip(self.sums, rows, strict=True)
        ]
        self.weight += weight

    def row(self, leaf: Any) -> list[float]:
        return leaf.tolist() if isinstance(leaf, FakeArray) else [leaf]

    def partial(self) -> Any:
        means = [FakeArray([x / self.weight for x in row], "float64") for row in self.sums]
        return {"mean": unflatten(means, self.structure), "weight": self.weight, "like": self.like}

    def merge(self, partial: Any) -> None:
        leaves = self.leaves(partial["mean"])
        self.check(leaves)
        self.take(leaves, partial["like"], partial["weight"])

    def finish(self) -> Any:
        if self.like is None:
            raise ValueError("nothing was added")
        return unflatten(
            [self.leaf(*pair) for pair in zip(self.sums, self.like, strict=True)], self.structure
        )

    def leaf(self, row: list[float], like: Any) -> Any:
        means = [x / self.weight for x in row]
        if not isinstance(like, str):
            return means[0]
        if like == "bool":
            return FakeArray(map(bool, map(round, means)), like)
        return FakeArray(means if "float" in like else map(round, means), like)


class Median(ListMean):
    """Another right one, which needs all contributions and checks nothing."""

    capabilities = frozenset({"needs_all"})

    def check(self, leaves: list[Any]) -> None:
        pass

    def take(self, leaves: list[Any], dtypes: list[Any], weight: float) -> None:
        self.like = self.like or dtypes
        self.weight = 1.0
        self.all = [*getattr(self, "all", []), [self.row(leaf) for leaf in leaves]]
        self.sums = [
            [self.middle(column) for column in zip(*rows, strict=True)]
            for rows in zip(*self.all, strict=True)
        ]

    @staticmethod
    def middle(column: Any) -> float:
        ordered = sorted(column)
        half = len(ordered) // 2
        return (ordered[half] + ordered[-half - 1]) / 2


class Unweighted(ListMean):
    def take(self, leaves: list[Any], dtypes: list[Any], weight: float) -> None:
        super().take(leaves, dtypes, 1.0)


class SumsIntoTheFirst(ListMean):
    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        super().add(contribution, weight)
        for leaf in flatten(contribution)[0]:
            if isinstance(leaf, FakeArray) and leaf.dtype == "float32":
                leaf.set([weight * x for x in leaf.tolist()])


class KeepsAll(ListMean):
    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        super().add(contribution, weight)
        self.kept = [*getattr(self, "kept", []), contribution]


class ChecksTooLate(ListMean):
    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        checked = self.check
        self.check = lambda leaves: None  # type: ignore[method-assign]
        super().add(contribution, weight)
        self.check = checked  # type: ignore[method-assign]
        self.check(self.leaves(contribution))


class ChecksNothing(ListMean):
    def check(self, leaves: list[Any]) -> None:
        pass


class ChecksEachLeafAlone(ListMean):
    def check(self, leaves: list[Any]) -> None:
        for leaf in leaves:
            super().check([leaf])


class PartialWithoutWeight(ListMean):
    def partial(self) -> Any:
        return {**super().partial(), "weight": 1.0}


class PartialThatCannotTravel(ListMean):
    def partial(self) -> Any:
        return {**super().partial(), "self": self}


class LivePartial(ListMean):
    def partial(self) -> Any:
        return self

    def merge(self, partial: Any) -> None:
        super().merge(partial if isinstance(partial, dict) else ListMean.partial(partial))


class Widens(ListMean):
    def leaf(self, row: list[float], like: Any) -> Any:
        return super().leaf(row, "float64" if like == "float32" else like)


class Truncates(ListMean):
    def leaf(self, row: list[float], like: Any) -> Any:
        if like != "int64":
            return super().leaf(row, like)
        return FakeArray([int(x / self.weight) for x in row], like)


class ByPosition(ListMean):
    def leaves(self, tree: Any) -> list[Any]:
        super().leaves(tree)
        return flatten(tree)[0]


class FinishesWithNothing(ListMean):
    def finish(self) -> Any:
        return super().finish() if self.like else None


class ListsForTuples(ListMean):
    def finish(self) -> Any:
        def listed(tree: Any) -> Any:
            if isinstance(tree, dict):
                return {key: listed(item) for key, item in tree.items()}
            return [listed(item) for item in tree] if isinstance(tree, (list, tuple)) else tree

        return listed(super().finish())


class Shared(ListMean):
    everybody: ClassVar[list[Any]] = []

    def take(self, leaves: list[Any], dtypes: list[Any], weight: float) -> None:
        super().take(leaves, dtypes, weight)
        self.everybody.append(copy(leaves))
        self.sums[0][0] += len(self.everybody)


class Boasts(ListMean):
    capabilities = ListMean.capabilities | {"needs_all"}


def suite_of(aggregator: type[Aggregator]) -> type[AggregatorSuite]:
    class Suite(AggregatorSuite):
        def make(self) -> Aggregator:
            return aggregator()

    return Suite


def test_a_right_mean_passes() -> None:
    assert failing(suite_of(ListMean)) == {}


def test_an_aggregator_with_another_rule_passes_with_its_own_expectation() -> None:
    class MedianSuite(AggregatorSuite):
        def make(self) -> Aggregator:
            return Median()

        def expected(self, rows: Any, weights: Any) -> list[float]:
            return [Median.middle(column) for column in zip(*rows, strict=True)]

    assert failing(MedianSuite) == {}


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Unweighted, "test_the_result_is_what_the_rule_says"),
        (SumsIntoTheFirst, "test_what_is_not_owned_stays_as_it_was"),
        (KeepsAll, "test_contributions_are_let_go_at_once"),
        (ChecksTooLate, "test_nan_is_refused"),
        (ChecksNothing, "test_a_norm_above_the_limit_is_refused"),
        (ChecksEachLeafAlone, "test_a_norm_is_taken_over_all_leaves"),
        (PartialWithoutWeight, "test_merging_partials_equals_one_aggregation"),
        (PartialThatCannotTravel, "test_a_partial_can_travel"),
        (LivePartial, "test_a_partial_is_a_snapshot"),
        (Widens, "test_dtypes_are_kept"),
        (Truncates, "test_integers_are_rounded_to_the_nearest_and_half_to_even"),
        (ByPosition, "test_keys_in_another_order_are_the_same_contribution"),
        (FinishesWithNothing, "test_finishing_without_a_contribution_is_a_value_error"),
        (ListsForTuples, "test_structure_is_kept"),
        (Shared, "test_two_aggregations_do_not_know_each_other"),
        (Boasts, "test_its_capabilities_are_known_and_fit_together"),
    ],
)
def test_a_fault_is_named_by_its_test(faulty: type[Aggregator], test: str) -> None:
    suite = suite_of(faulty)()
    suite.setup_method()
    with pytest.raises(Exception):  # noqa: B017 - what it raises is the fault's
        getattr(suite, test)()
    suite.teardown_method()
