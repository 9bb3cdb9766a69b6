"""A reduction puts the guard before an aggregator, and what is refused changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from flk.calls.guard import Guard
from flk.calls.reduction import Reduction
from flk.errors import ContributionRefused, PluginNotFound
from flk.model import FLModel, ParamsType
from flk.spi.aggregator import Aggregator
from flk.testing.fake_arrays import FakeArray, fake_arrays


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_arrays():
        yield


class MeanOfNumbers(Aggregator):
    """The mean of contributions `{"w": number}`. Notes how it was used."""

    capabilities = frozenset({"streaming"})

    def __init__(self) -> None:
        self.total = self.weight = 0.0
        self.owned: list[bool] = []

    def init(self, reference: Any, *, max_norm: float) -> None:
        self.reference, self.max_norm = reference, max_norm

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        self.owned.append(owned)
        self.total += weight * contribution["w"]
        self.weight += weight

    def finish(self) -> Any:
        if not self.weight:
            raise ValueError("nothing was added")
        return {"w": self.total / self.weight}


class Checking(MeanOfNumbers):
    """Looks at elements itself, as aggregators with `checks` do."""

    capabilities = frozenset({"streaming", "checks"})

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        if not math.isfinite(contribution["w"]):
            raise ContributionRefused("w is not finite", reason="not_finite")
        super().add(contribution, weight, owned=owned)


@pytest.fixture
def reduction() -> Reduction:
    return Reduction(MeanOfNumbers)


def test_contributions_become_one_value(reduction: Reduction) -> None:
    reduction.add("site-1", ({"w": 1.0}, 3))
    reduction.add("site-2", {"w": 5.0})
    assert reduction.count == 2
    assert reduction.weight == 4.0
    assert reduction.finish() == {"w": 2.0}


def test_without_contributions_there_is_no_value(reduction: Reduction) -> None:
    with pytest.raises(ValueError, match="nothing was added"):
        reduction.finish()


@pytest.mark.parametrize("aggregator", [MeanOfNumbers, Checking])
def test_a_refused_contribution_changes_nothing(aggregator: type[Aggregator]) -> None:
    reduction = Reduction(aggregator)
    with pytest.raises(ContributionRefused):
        reduction.add("site-0", {"w": math.nan, "evil": 1})
    reduction.add("site-1", {"w": 1.0})
    for value in ({"w": math.nan}, ({"w": 1.0}, -1), {"v": 1.0}, "text"):
        with pytest.raises(ContributionRefused) as caught:
            reduction.add("site-2", value)
        assert caught.value.site == "site-2"
        assert "the contribution of site-2 was refused" in str(caught.value)
    assert (reduction.count, reduction.weight) == (1, 1.0)
    reduction.add("site-2", {"w": 3.0})
    assert reduction.finish() == {"w": 2.0}


def test_a_refusal_by_the_aggregator_declares_no_keys() -> None:
    reduction = Reduction(Checking)
    with pytest.raises(ContributionRefused):
        reduction.add("site-1", {"w": math.nan, "evil": 1.0})
    reduction.add("site-1", {"w": 1.0})


def test_a_second_contribution_of_a_site_is_refused(reduction: Reduction) -> None:
    reduction.add("site-1", {"w": 1.0})
    with pytest.raises(ContributionRefused) as caught:
        reduction.add("site-1", {"w": 9.0})
    assert caught.value.reason == "duplicate"
    assert reduction.finish() == {"w": 1.0}


def test_the_reference_reaches_guard_and_aggregator() -> None:
    aggregator = MeanOfNumbers()
    reduction = Reduction(aggregator, FLModel(params={"w": 0.0}))
    assert aggregator.reference == {"w": 0.0}
    with pytest.raises(ContributionRefused):
        reduction.add("site-1", {"w": FakeArray([1.0])})


def test_a_guard_of_ones_own_decides() -> None:
    aggregator = MeanOfNumbers()
    reduction = Reduction(aggregator, guard=Guard(max_norm=2.0))
    assert aggregator.max_norm == 2.0
    with pytest.raises(ContributionRefused) as caught:
        reduction.add("site-1", {"w": 3.0})
    assert caught.value.reason == "huge"


def test_ownership_is_passed_on() -> None:
    aggregator = MeanOfNumbers()
    reduction = Reduction(aggregator)
    reduction.add("site-1", {"w": 1.0})
    reduction.add("site-2", {"w": 1.0}, owned=True)
    assert aggregator.owned == [False, True]


def test_an_error_of_the_aggregator_is_not_taken_for_a_refusal() -> None:
    class Broken(MeanOfNumbers):
        def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Reduction(Broken).add("site-1", {"w": 1.0})


def test_an_unknown_name_says_what_to_install() -> None:
    with pytest.raises(PluginNotFound, match="no aggregator 'no-such-mean'"):
        Reduction("no-such-mean")


# models


def model(w: float = 1.0, **fields: Any) -> FLModel:
    return FLModel(params={"w": w}, **fields)


def test_models_become_a_model(reduction: Reduction) -> None:
    for site, w, weight in (("site-1", 1.0, 1), ("site-2", 4.0, 2)):
        fields: dict[str, Any] = {"params_type": ParamsType.DIFF, "total_rounds": 9}
        fields["meta"] = {"weight": weight, "secret": 1}
        reduction.add(site, model(w, current_round=4, extra={"head": 1}, **fields))
    result = reduction.finish()
    assert result == FLModel(
        params={"w": 3.0}, params_type=ParamsType.DIFF, current_round=4, total_rounds=9,
        meta={"weight": 3.0},
    )  # fmt: skip


def test_metrics_are_averaged_by_weight_over_the_sites_that_have_them(
    reduction: Reduction,
) -> None:
    reduction.add("site-1", (model(metrics={"loss": 1.0, "auc": 0.5}), 1))
    reduction.add("site-2", (model(metrics={"loss": 4, "auc": math.nan}), 2))
    reduction.add("site-3", (model(), 100))
    assert reduction.finish().metrics == {"loss": 3.0, "auc": 0.5}


@pytest.mark.parametrize(
    "bad",
    [
        model(metrics={"loss": "low"}),
        model(metrics={3: 0.5}),
        FLModel(params={"w": 1.0}, metrics=None),  # type: ignore[arg-type]
        FLModel(params={"w": 1.0}, meta=[]),  # type: ignore[arg-type]
        FLModel(params={"w": 1.0}, params_type="DELTA"),  # type: ignore[arg-type]
        model(params_type=ParamsType.DIFF),
        {"w": 1.0},
    ],
)
def test_a_model_unlike_the_first_is_refused(reduction: Reduction, bad: Any) -> None:
    reduction.add("site-1", model())
    with pytest.raises(ContributionRefused) as caught:
        reduction.add("site-2", bad)
    assert caught.value.reason == "type"
    assert reduction.count == 1


def test_a_metric_that_cannot_be_read_is_refused_before_anything_is_added(
    reduction: Reduction,
) -> None:
    class Hostile(float):
        def __float__(self) -> float:
            raise ZeroDivisionError("never")

    reduction.add("site-1", (model(1.0), 1))
    with pytest.raises(ContributionRefused, match="ZeroDivisionError"):
        reduction.add("site-2", (model(9.0, metrics={"loss": Hostile(1.0)}), 1))
    assert reduction.count == 1
    assert reduction.finish().params == {"w": 1.0}


@pytest.mark.parametrize("metric", [1e300, 10**400])
def test_a_metric_beyond_bounds_is_left_out(reduction: Reduction, metric: Any) -> None:
    reduction.add("site-1", (model(metrics={"loss": metric}), 1e12))
    assert reduction.finish().metrics == {}


def test_the_round_of_the_guard_is_that_of_the_result() -> None:
    reduction = Reduction(MeanOfNumbers, guard=Guard(round=5, staleness=1))
    reduction.add("site-1", model(current_round=4))
    reduction.add("site-2", model(current_round=5))
    assert reduction.finish().current_round == 5
