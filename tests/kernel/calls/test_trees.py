"""Trees come apart and together again, and a copy is the callee's own."""

from __future__ import annotations

import datetime
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

import pytest
from flk.calls.trees import MAX_DEPTH, arrays_of, copy, flatten, holds_arrays, unflatten
from flk.model import FLModel, ParamsType
from flk.testing.fake_arrays import FakeArray, fake_arrays


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_arrays():
        yield


class Pair(NamedTuple):
    weight: Any
    bias: Any


class Colour(Enum):
    RED = 1


def array(*values: float) -> FakeArray:
    return FakeArray(values)


# taking apart and putting together


def test_leaves_come_in_the_order_of_the_tree() -> None:
    leaves, _ = flatten({"b": [1, (2.0, True)], "a": 3j})
    assert leaves == [1, 2.0, True, 3j]


def test_a_tree_is_built_again_from_its_structure() -> None:
    tree = {"b": [1, (2, {})], "a": Pair(3, [4]), "o": OrderedDict(x=5), "empty": []}
    leaves, structure = flatten(tree)
    built = unflatten([leaf * 10 for leaf in leaves], structure)
    assert built == {
        "b": [10, (20, {})], "a": Pair(30, [40]), "o": OrderedDict(x=50), "empty": [],
    }  # fmt: skip
    assert type(built["a"]) is Pair
    assert type(built["o"]) is OrderedDict
    assert list(built) == ["b", "a", "o", "empty"]


def test_a_bare_array_is_a_tree() -> None:
    w = array(1.0)
    leaves, structure = flatten(w)
    assert leaves == [w]
    assert unflatten(["x"], structure) == "x"


def test_structures_are_equal_whatever_the_order_of_keys() -> None:
    _, one = flatten({"a": 1, "b": {"c": 2, "d": 3}})
    _, other = flatten({"b": {"d": 0, "c": 0}, "a": 0})
    assert one == other


@pytest.mark.parametrize(
    "other", [{"a": 1}, {"a": 1, "b": [2]}, {"a": 1, "b": (2,)}, {"a": 1, "b": [2, 3], "c": 4}, 5]
)
def test_structures_with_other_containers_or_keys_differ(other: Any) -> None:
    _, one = flatten({"a": 1, "b": [2, 3]})
    assert one != flatten(other)[1]


def test_leaves_are_found_in_the_order_of_the_structure() -> None:
    _, structure = flatten({"a": 1, "b": {"c": 2, "d": 3}})
    assert list(structure.leaves({"b": {"d": 30, "c": 20}, "a": 10})) == [10, 20, 30]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": 1}, "the value lacks the key 'b'"),
        ({"a": 1, "b": {}}, "b lacks the key 'c'"),
        ({"a": 1, "b": {"c": [1, 2], "e": 2}}, "b has the unknown key 'e'"),
        ({"a": 1, "b": {"c": (1, 2)}}, "b.c should be a list and is a tuple"),
        ({"a": 1, "b": {"c": [1]}}, "b.c should have 2 items and has 1"),
        ({"a": 1, "b": 7}, "b should be a dict and is a int"),
    ],
)
def test_a_tree_that_differs_is_told_by_its_path(tree: Any, message: str) -> None:
    _, structure = flatten({"a": 1, "b": {"c": [1, 2]}})
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.")):
        structure.leaves(tree)


def test_leaves_have_dotted_names() -> None:
    _, structure = flatten({"layer1": {"weight": 1, "bias": [2, 3]}, 7: 4})
    assert structure.paths() == ["layer1.weight", "layer1.bias.0", "layer1.bias.1", "7"]


@pytest.mark.parametrize("leaf", ["text", None, b"raw", object(), {1, 2}])
def test_what_is_no_leaf_is_named_by_its_path(leaf: Any) -> None:
    with pytest.raises(TypeError, match=r"layer1\.weight should be an array or a number"):
        flatten({"layer1": {"weight": leaf}})


def test_a_bottomless_tree_is_refused() -> None:
    tree: list[Any] = []
    tree.append(tree)
    with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH}"):
        flatten(tree)


def test_names_of_leaves_are_short_and_printable() -> None:
    with pytest.raises(TypeError) as caught:
        flatten({"a\n\x1b[31m" + "b" * 10_000: "text"})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_type_without_arithmetic_has_none() -> None:
    assert arrays_of(str) is None


def test_a_value_holds_arrays_only_if_it_is_a_tree_of_them() -> None:
    assert holds_arrays({"w": array(1.0), "n": 3})
    assert holds_arrays(FLModel(params=[array(1.0)]))
    assert not holds_arrays({"lr": 0.1})
    assert not holds_arrays({"w": array(1.0), "name": "x"})
    assert not holds_arrays(None)


# copies


def test_arrays_and_containers_are_the_callees_own() -> None:
    value = {"w": array(1.0, 2.0), "l": [array(3.0)], "t": (array(4.0), 5)}
    other = copy(value)
    other["w"].set([9.0, 9.0])
    other["l"][0].set([9.0])
    other["l"].append(1)
    other["t"][0].set([9.0])
    assert value["w"].tolist() == [1.0, 2.0]
    assert len(value["l"]) == 1
    assert value["l"][0].tolist() == [3.0]
    assert value["t"][0].tolist() == [4.0]


def test_a_copy_equals_what_was_copied() -> None:
    value = {
        "a": [1, 2.5, True, None, "text", b"raw", 3j], "t": (1, [2]), "n": Pair(1, [2]),
        "s": {1, 2}, "o": OrderedDict(b=1, a=[2]), "d": defaultdict(list, x=[1]),
        "when": datetime.datetime(2026, 1, 2), "e": Colour.RED, "f": frozenset({1}),
        "b": bytearray(b"x"),
    }  # fmt: skip
    other = copy(value)
    assert other == value
    assert [type(item) for item in other.values()] == [type(item) for item in value.values()]


@pytest.mark.parametrize("mutable", [[1], {"a": 1}, {1}, bytearray(b"x"), defaultdict(list)])
def test_what_can_change_is_new(mutable: Any) -> None:
    other = copy(mutable)
    assert other == mutable
    assert other is not mutable


@pytest.mark.parametrize("plain", [None, 1, "text", b"raw", 2.5, Colour.RED, len, int, range(3)])
def test_what_cannot_change_is_passed_on(plain: Any) -> None:
    assert copy(plain) is plain


def test_tied_weights_stay_tied() -> None:
    tied = array(1.0)
    other = copy({"encoder": tied, "decoder": [tied]})
    assert other["encoder"] is other["decoder"][0]
    assert other["encoder"] is not tied


def test_two_copies_share_nothing() -> None:
    w = array(1.0)
    assert copy(w) is not copy(w)


def test_a_value_that_contains_itself_can_be_copied() -> None:
    value: dict[str, Any] = {"list": []}
    value["list"].append(value)
    other = copy(value)
    assert other["list"][0] is other
    assert other is not value


def test_a_model_is_copied_whole() -> None:
    model = FLModel(
        params={"w": array(1.0)}, params_type=ParamsType.DIFF, metrics={"loss": 1.0},
        current_round=3, total_rounds=9, meta={"weight": 2}, extra={"head": array(5.0)},
    )  # fmt: skip
    other = copy(model)
    other.params["w"].set([9.0])
    other.metrics["loss"] = 0.0
    other.extra["head"].set([9.0])
    assert model.params["w"].tolist() == [1.0]
    assert model.metrics == {"loss": 1.0}
    assert model.extra["head"].tolist() == [5.0]
    assert (other.params_type, other.current_round, other.total_rounds) == (ParamsType.DIFF, 3, 9)


def test_other_objects_are_copied_deeply() -> None:
    class Thing:
        def __init__(self) -> None:
            self.parts = [1]

    thing = Thing()
    other = copy([thing])[0]
    other.parts.append(2)
    assert thing.parts == [1]
