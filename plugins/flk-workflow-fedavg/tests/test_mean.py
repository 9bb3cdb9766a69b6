"""What the weighted mean promises beyond the contract: exactness, extremes and memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from flk.calls.guard import Guard
from flk.calls.reduction import Reduction
from flk.errors import ContributionRefused
from flk.testing.fake_arrays import FakeArray, FakeArrays, fake_arrays
from flk_workflow_fedavg import Mean

LARGE = 16_500


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_arrays():
        yield


def fail_with(error: Exception) -> Any:
    raise error


def mean_of(*pairs: tuple[Any, float], owned: bool = False, max_norm: float = 1e18) -> Any:
    mean = Mean()
    mean.init(None, max_norm=max_norm)
    for contribution, weight in pairs:
        mean.add(contribution, weight, owned=owned)
    return mean.finish()


def test_it_is_registered_under_its_name() -> None:
    reduction = Reduction("mean")
    reduction.add("site-1", ({"w": FakeArray([1.0])}, 1))
    reduction.add("site-2", ({"w": FakeArray([4.0])}, 2))
    assert reduction.finish()["w"].tolist() == [3.0]


@pytest.mark.parametrize("weight", [1e-300, 5e-324, 1e-40, 1.0, 1e12, 1e100])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equal_contributions_give_themselves_whatever_the_weight(dtype: str, weight: float) -> None:
    values = [65504.0, -65504.0, 6.0e-8, 0.0] if dtype == "float16" else [1e17, -1e-30, 0.0, 1.0]
    result = mean_of(*[(FakeArray(values, dtype), weight)] * 7).tolist()
    for got, right in zip(result, FakeArray(values, dtype).tolist(), strict=True):
        assert math.isclose(got, right, rel_tol=1e-6)


@pytest.mark.parametrize("max_norm", [3e38, math.inf])
def test_a_sum_does_not_overflow_where_its_mean_does_not(max_norm: float) -> None:
    value = 2.5e38
    pairs = [(FakeArray([value]), weight) for weight in (1.0, 600.0, 1e12, 1e-12, 3.0)]
    (result,) = mean_of(*pairs, max_norm=max_norm).tolist()
    assert math.isclose(result, value, rel_tol=1e-6)


def test_a_heavy_contribution_after_a_light_one_takes_over() -> None:
    pairs = [(FakeArray([1.0]), 1e-300), (FakeArray([3.0]), 1e12)]
    assert mean_of(*pairs).tolist() == [3.0]
    assert mean_of(*reversed(pairs)).tolist() == [3.0]


def test_weights_that_are_powers_of_two_are_exact() -> None:
    assert mean_of((FakeArray([1.0]), 256.0), (FakeArray([2.0]), 256.0)).tolist() == [1.5]


def test_step_counters_that_agree_stay_as_they_are() -> None:
    steps = FakeArray([3, 2**31 - 1, -(2**31)], "int32")
    assert mean_of(*[(steps, w) for w in (1.0, 3.0, 7.0)]).tolist() == steps.tolist()


def test_a_mask_goes_with_the_majority() -> None:
    masks = [([True, False, True], 2.0), ([True, True, False], 1.0)]
    result = mean_of(*[(FakeArray(mask, "bool"), weight) for mask, weight in masks])
    assert result.tolist() == [True, False, True]


def test_complex_numbers_are_averaged() -> None:
    assert mean_of((1 + 1j, 1.0), (3 - 1j, 1.0)) == 2 + 0j


def test_the_result_has_the_keys_of_the_reference() -> None:
    mean = Mean()
    mean.init({1: 0.0, "b": 0.0}, max_norm=1e18)
    mean.add({"b": 2.0, True: 1.0}, 1.0)
    assert [type(key) for key in mean.finish()] == [int, str]


@pytest.mark.parametrize("method", ["norm2", "accumulator"])
def test_what_cannot_be_summed_is_refused_and_leaves_the_sum(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean = Mean()
    mean.init(None, max_norm=1e18)
    with monkeypatch.context() as broken:
        broken.setattr(FakeArrays, method, lambda self, x: fail_with(TypeError("no numbers")))
        with pytest.raises(ContributionRefused, match="w cannot be summed: TypeError: no numbers"):
            mean.add({"w": FakeArray([9.0])}, 1.0)
    mean.add({"w": FakeArray([1.0])}, 1.0)
    assert mean.finish()["w"].tolist() == [1.0]


@pytest.mark.parametrize("leaves", [1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_contribution_that_changes_after_the_look_at_it_gives_no_mean(
    value: float, leaves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean = Mean()
    mean.init(None, max_norm=1e18)
    mean.add([FakeArray([1.0])] * leaves, 1.0)
    late = [FakeArray([1.0]) for _ in range(leaves)]
    honest = FakeArrays.norm2

    def look_and_change(self: FakeArrays, x: FakeArray) -> float:
        norm2 = honest(self, x)
        if x is late[-1]:
            x.set([value])
        return norm2

    monkeypatch.setattr(FakeArrays, "norm2", look_and_change)
    mean._norms = [arrays.norm2 for arrays in mean._arrays]
    mean.add(late, 1.0)
    with pytest.raises(ContributionRefused, match="changed while it was added"):
        mean.finish()


def test_a_large_contribution_that_is_owned_becomes_the_sum() -> None:
    contribution = FakeArray([1.0] * LARGE)
    assert mean_of((contribution, 2.0), owned=True) is contribution


def test_large_arrays_in_shared_memory_are_not_written_into() -> None:
    def pair(value: float) -> list[FakeArray]:
        array = FakeArray([value] * LARGE)
        return [array, array.view()]

    one, other = mean_of((pair(1.0), 1.0), (pair(4.0), 2.0), owned=True)
    assert one.tolist()[:2] == [3.0, 3.0]
    assert other.tolist()[:2] == [3.0, 3.0]


def test_a_refusal_at_the_last_leaf_leaves_every_leaf() -> None:
    def model(value: float, last: float) -> dict[str, Any]:
        parts = {f"l{i}": FakeArray([value] * LARGE) for i in range(3)}
        return {"n": FakeArray([2], "int64"), **parts, "last": FakeArray([last] * LARGE)}

    reduction = Reduction("mean", guard=Guard(max_norm=1e6))
    reduction.add("site-1", model(1.0, 1.0), owned=True)
    for site, last, reason in (("site-2", math.nan, "not_finite"), ("site-3", 1e5, "huge")):
        with pytest.raises(ContributionRefused) as caught:
            reduction.add(site, model(5.0, last), owned=True)
        assert caught.value.reason == reason
    with pytest.raises(ContributionRefused, match="last has elements"):
        reduction.add("site-2", model(5.0, math.nan), owned=True)
    reduction.add("site-2", model(3.0, 3.0), owned=True)
    result = reduction.finish()
    assert {name: set(array.tolist()) for name, array in result.items()} == {
        name: {2.0} for name in result
    }


@pytest.mark.parametrize(
    "change",
    [
        {"weight": -1.0},
        {"weight": math.nan},
        {"weight": math.inf},
        {"weight": 3},
        {"weight": True},
        {"dtypes": ["float64", "int64"]},
        {"dtypes": ["float32"]},
        {"dtypes": "float32"},
        {"dtypes": [1, 2]},
        {"mean": {"w": 1.0, "n": 2.0}},
        {"mean": {"w": FakeArray([1.0])}},
        {"mean": {"w": "text", "n": "text"}},
        {"mean": {"w": FakeArray([1.0] * 3), "n": FakeArray([1.0], "float64")}},
        {"mean": {"w": FakeArray([1.0] * 2), "n": FakeArray([1.0])}},
        {"mean": {"w": FakeArray([1.0, math.nan]), "n": FakeArray([1.0], "float64")}},
    ],
)
def test_a_partial_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    model = {"w": FakeArray([1.0] * 2), "n": FakeArray([1], "int64")}
    top, below = Mean(), Mean()
    for mean in (top, below):
        mean.init(None, max_norm=1e18)
        mean.add(model, 1.0)
    with pytest.raises(ContributionRefused):
        top.merge({**below.partial(), **change})
    assert top.finish()["w"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("garbage", [None, 3, [], {}, {"mean": 1.0, "weight": 1.0}, "text"])
def test_what_is_no_partial_is_refused(garbage: Any) -> None:
    mean = Mean()
    mean.init(None, max_norm=1e18)
    with pytest.raises(ContributionRefused):
        mean.merge(garbage)
    with pytest.raises(ValueError, match="nothing was added"):
        mean.finish()
    with pytest.raises(ValueError, match="nothing was added"):
        mean.partial()


def test_parameters_of_torch_give_tensors_without_history() -> None:
    pytest.importorskip("flk_serializer_torch")
    import torch

    pairs = [(torch.nn.Parameter(torch.full((200, 200), float(i))), 1.0) for i in range(3)]
    result = mean_of(*pairs, owned=True)
    assert not result.requires_grad
    assert bool((result == 1.0).all())
