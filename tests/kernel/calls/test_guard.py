"""The guard admits what was declared and refuses the rest in one clear sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from flk.calls.guard import Guard, split
from flk.errors import ContributionRefused
from flk.model import FLModel
from flk.testing.fake_arrays import FakeArray, fake_arrays


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_arrays():
        yield


def model(value: float = 1.0, **changed: Any) -> dict[str, Any]:
    parts = {
        "layer1": {"weight": FakeArray([value] * 6, shape=(2, 3)), "bias": FakeArray([value] * 2)},
        "steps": FakeArray([3], "int64"),
        "loss": 0.5,
    }
    return {**parts, **changed}


def refusal(guard: Guard, value: Any, site: str = "site-3") -> ContributionRefused:
    with pytest.raises(ContributionRefused) as caught:
        guard.admit(site, value)
    assert caught.value.site == site
    assert str(caught.value).startswith(f"the contribution of {site} was refused: ")
    return caught.value


# weights


@pytest.mark.parametrize(
    ("value", "weight"),
    [
        (1.5, 1.0),
        ((1.5, 20), 20),
        ((1.5, Fraction(1, 2)), Fraction(1, 2)),
        (FLModel(params=1.5), 1.0),
        (FLModel(params=1.5, meta={"weight": 7}), 7),
        ((FLModel(params=1.5, meta={"weight": 7}), 20), 20),
    ],
)
def test_a_contribution_splits_into_tree_and_weight(value: Any, weight: Any) -> None:
    assert split(value) == (1.5, weight)


def test_a_pair_of_arrays_is_a_tree() -> None:
    pair = (FakeArray([1.0]), FakeArray([2.0]))
    assert split(pair) == (pair, 1.0)


def test_an_admitted_weight_is_a_float() -> None:
    tree, weight = Guard().admit("site-1", (2.5, 600))
    assert (tree, weight) == (2.5, 600.0)
    assert type(weight) is float


@pytest.mark.parametrize(
    "weight", [0, -1, -0.0, math.nan, math.inf, -math.inf, True, False, 1e13, 10**400, 2j]
)
def test_a_weight_is_a_number_above_zero_and_not_huge(weight: Any) -> None:
    assert refusal(Guard(), (1.5, weight)).reason == "weight"
    assert refusal(Guard(), FLModel(params=1.5, meta={"weight": weight})).reason == "weight"


def test_a_weight_of_a_model_is_not_text() -> None:
    assert refusal(Guard(), FLModel(params=1.5, meta={"weight": "5"})).reason == "weight"


def test_the_largest_weight_can_be_declared() -> None:
    guard = Guard(max_weight=100)
    guard.admit("site-1", (1.5, 100))
    assert "at most 100 and is 101" in str(refusal(guard, (1.5, 101)))


# keys, shapes, dtypes


def test_what_fits_the_reference_is_admitted() -> None:
    guard = Guard(model())
    for number in range(3):
        guard.admit(f"site-{number}", (model(number), 5))


def test_keys_may_come_in_another_order() -> None:
    Guard(model()).admit("site-1", dict(reversed(model().items())))


@pytest.mark.parametrize(
    ("value", "reason", "sentence"),
    [
        (model(layer1={}), "keys", "layer1 lacks the key 'weight'"),
        (model(evil=1.0), "keys", "the value has the unknown key 'evil'"),
        (model(loss=[0.5]), "keys", "loss should be an array or a number and is a list"),
        ([model()], "keys", "the value should be a dict and is a list"),
        (
            model(steps=FakeArray([3, 4], "int64")),
            "shape",
            "steps should have shape (1,) and has (2,)",
        ),
        (
            model(steps=FakeArray([3], "float32")),
            "dtype",
            "steps should have dtype int64 and has float32",
        ),
        (model(steps=3), "shape", "steps should have shape (1,) and has ()"),
        (model(loss=FakeArray([0.5])), "shape", "loss should have shape () and has (1,)"),
        (model(loss=1j), "dtype", "loss should have dtype number and has complex number"),
        (model(loss="0.5"), "type", "loss should be an array or a number and is a str"),
        (model(loss=None), "type", "loss should be an array or a number and is a NoneType"),
        (None, "keys", "the value should be a dict and is a NoneType"),
    ],
)
def test_what_differs_from_the_reference_is_told(value: Any, reason: str, sentence: str) -> None:
    error = refusal(Guard(model()), value)
    assert error.reason == reason
    assert str(error).endswith(f"was refused: {sentence}")


def test_a_transposed_layer_is_told_by_its_path() -> None:
    value = model()
    value["layer1"]["weight"] = FakeArray([1.0] * 6, shape=(3, 2))
    assert "layer1.weight should have shape (2, 3) and has (3, 2)" in str(
        refusal(Guard(model()), value)
    )


def test_numbers_of_python_may_be_whole_or_not() -> None:
    guard = Guard(model(loss=1))
    guard.admit("site-1", model(loss=0.25))
    guard.admit("site-2", model(loss=2))


class Masked(FakeArray):
    """Not listed by the arithmetic of FakeArray: its elements may mean something else."""


class Sly(float):
    def __abs__(self) -> float:
        return 0.0

    def __rmul__(self, other: Any) -> float:
        return math.nan


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("leaf", [Masked([2.0]), Sly(2.0)])
def test_a_subclass_that_its_arithmetic_does_not_list_is_refused(leaf: Any, declared: bool) -> None:
    plain = 1.0 if isinstance(leaf, float) else FakeArray([1.0])
    guard = Guard({"w": plain} if declared else None)
    error = refusal(guard, {"w": leaf})
    assert error.reason == "type"
    assert f"should be an array or a number and is a {type(leaf).__name__}" in str(error)
    guard.admit("site-3", {"w": plain})


def test_a_reference_that_could_not_be_contributed_is_an_error() -> None:
    with pytest.raises(TypeError, match="Masked"):
        Guard({"w": Masked([1.0])})


class Hostile:
    """Raises wherever it is looked at."""

    def _raise(self, *args: Any) -> Any:
        raise ZeroDivisionError("never")

    __float__ = __len__ = __iter__ = __contains__ = __eq__ = __hash__ = __abs__ = _raise
    items = keys = __getitem__ = _raise


class HostileNumber(Hostile, float):
    """A real number by its class."""


class HostileDict(Hostile, dict[Any, Any]):
    """A dict by its class."""


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        HostileDict(),
        HostileNumber(1.0),
        (1.5, HostileNumber(1.0)),
        FLModel(params=1.5, meta={"weight": HostileNumber(1.0)}),
        FLModel(params=1.5, meta={"weight": Hostile()}),
        FLModel(params=HostileDict()),
    ],
)
def test_what_raises_when_it_is_looked_at_is_refused(value: Any, declared: bool) -> None:
    guard = Guard(1.5 if declared else None)
    assert refusal(guard, value).reason in ("type", "keys", "weight")
    guard.admit("site-3", 2.5)


def test_a_model_serves_as_reference() -> None:
    guard = Guard(FLModel(params=model()))
    guard.admit("site-1", FLModel(params=model(2.0)))
    assert refusal(guard, FLModel(params={})).reason == "keys"


def test_without_a_reference_the_first_that_is_admitted_declares() -> None:
    guard = Guard()
    refusal(guard, {"w": FakeArray([math.nan, 1.0, 2.0])}, "site-1")
    guard.admit("site-2", {"w": FakeArray([1.0, 2.0])})
    assert refusal(guard, {"w": FakeArray([1.0])}).reason == "shape"


@pytest.mark.parametrize("value", ["text", None, {"w": "text"}, [object()], b"raw"])
def test_the_first_must_be_a_tree_of_arrays_and_numbers(value: Any) -> None:
    assert refusal(Guard(), value).reason == "type"


def test_a_bottomless_first_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    assert refusal(Guard(), value).reason == "keys"


def test_a_reference_that_is_no_tree_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="name should be an array or a number"):
        Guard({"name": "text"})


# elements


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_elements_are_finite(poison: float) -> None:
    value = model()
    value["layer1"]["bias"] = FakeArray([1.0, poison])
    error = refusal(Guard(model()), value)
    assert error.reason == "not_finite"
    assert "layer1.bias has elements that are NaN or infinite" in str(error)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_numbers_are_finite(poison: float) -> None:
    assert refusal(Guard(), model(loss=poison)).reason == "not_finite"


@pytest.mark.parametrize("poison", [1e19, -1e38, 1e308, 10**400])
def test_the_norm_has_a_limit(poison: Any) -> None:
    error = refusal(Guard(), {"w": poison})
    assert error.reason == "huge"
    assert "the L2 norm should be at most 1e+18" in str(error)


def test_the_norm_counts_all_leaves() -> None:
    guard = Guard(max_norm=5.0)
    guard.admit("site-1", [3.0, 3.9])
    assert refusal(guard, [3.0, 4.1]).reason == "huge"


def test_values_that_are_not_finite_can_be_declared() -> None:
    Guard(finite=False).admit("site-1", [math.nan, math.inf, 1e300])


def test_elements_are_left_alone_where_the_aggregator_checks_them() -> None:
    guard = Guard()
    guard.check("site-1", [math.nan], norms=False)


# rounds and repetitions


def test_a_site_contributes_once() -> None:
    guard = Guard()
    guard.admit("site-1", 1.0)
    guard.admit("site-2", 1.0)
    error = refusal(guard, 1.0, "site-1")
    assert error.reason == "duplicate"


def test_a_site_that_was_refused_may_contribute() -> None:
    guard = Guard()
    refusal(guard, math.nan, "site-1")
    guard.admit("site-1", 1.0)


def test_a_check_alone_counts_nobody() -> None:
    guard = Guard()
    guard.check("site-1", {"w": 1.0})
    guard.admit("site-1", [1.0])


@pytest.mark.parametrize("number", [4, 6, -1, True, "5", 5.0, 10**400])
def test_a_model_is_of_the_round(number: Any) -> None:
    guard = Guard(round=5)
    guard.admit("site-1", FLModel(params=1.0, current_round=5))
    error = refusal(guard, FLModel(params=1.0, current_round=number))
    assert error.reason == "stale"
    assert "the round should be 5" in str(error)
    assert refusal(guard, (FLModel(params=1.0, current_round=number), 3)).reason == "stale"


def test_staleness_admits_earlier_rounds() -> None:
    guard = Guard(round=5, staleness=2)
    guard.admit("site-1", FLModel(params=1.0, current_round=3))
    assert refusal(guard, FLModel(params=1.0, current_round=2)).reason == "stale"
    assert refusal(guard, FLModel(params=1.0, current_round=6)).reason == "stale"


def test_a_model_that_names_no_round_is_of_any() -> None:
    guard = Guard(round=5)
    guard.admit("site-1", FLModel(params=1.0))
    guard.admit("site-2", 1.0)
