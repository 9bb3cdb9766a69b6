"""What every aggregator must do, by its capabilities. What the right result is, the plugin says in
`expected`; the suite holds it to that whatever the order, the ownership and the way there.
"""

from __future__ import annotations

import gc
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from flk.errors import ContributionRefused
from flk.spi.aggregator import Aggregator
from flk.testing.fake_arrays import FakeArray, FakeSerializer, fake_arrays

__all__ = ["AggregatorSuite"]

CAPABILITIES = frozenset({"streaming", "mergeable", "needs_all", "staged", "checks"})
ROWS = ([1.0, -2.0, 0.5], [3.0, 4.0, -1.5], [5.0, 0.25, 2.0], [-7.0, 1.0, 8.0])
WEIGHTS = (1.0, 3.0, 600.0, 0.5)
LARGE = 16_500
"""Elements of an array that is worth summing in place."""
MAX_NORM = 1e18


class AggregatorSuite(ABC):
    """Override `make`, and `expected` unless the result is the weighted mean. Arrays are FakeArray;
    to run with those of a library override `array`, `values` and `codecs`."""

    tolerance = 1e-5
    """Of a result in float32, relative to the largest value."""

    @abstractmethod
    def make(self) -> Aggregator:
        """A new aggregator, before `init`."""

    def expected(self, rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
        """The right result for contributions of one row each, in float64."""
        total = math.fsum(weights)
        return [
            math.fsum(w * x for w, x in zip(weights, column, strict=True)) / total
            for column in zip(*rows, strict=True)
        ]

    def array(self, values: Sequence[Any], dtype: str = "float32") -> Any:
        """A new array of one dimension in memory of its own."""
        return FakeArray(values, dtype)

    def values(self, array: Any) -> list[Any]:
        """Its elements as Python numbers."""
        return list(array.tolist())

    def dtype(self, array: Any) -> str:
        """The name of its dtype."""
        return str(array.dtype)

    def codecs(self) -> Any:
        """A `flk.wire.Codecs` for arrays as `array` makes them."""
        from flk.wire import Codecs

        codecs = Codecs()
        codecs.add(FakeSerializer())
        return codecs

    def setup_method(self) -> None:
        self._fakes = fake_arrays()
        self._fakes.__enter__()

    def teardown_method(self) -> None:
        self._fakes.__exit__(None, None, None)

    # the result -----------------------------------------------------------------------------------

    def test_its_capabilities_are_known_and_fit_together(self) -> None:
        capabilities = self.make().capabilities
        assert capabilities <= CAPABILITIES
        assert not {"streaming", "needs_all"} <= capabilities

    def test_the_result_is_what_the_rule_says(self) -> None:
        self._check(self._sum(ROWS, WEIGHTS), ROWS, WEIGHTS)

    def test_one_contribution_alone_gives_what_the_rule_says(self) -> None:
        for weight in (1.0, 3.0, 1e-6, 1e12):
            self._check(self._sum(ROWS[:1], [weight]), ROWS[:1], [weight])

    def test_weights_far_apart_give_what_the_rule_says(self) -> None:
        for weights in ((1e-12, 1.0), (1e12, 1e-9), (1e-9, 1e12), (1e-30, 1e-30)):
            self._check(self._sum(ROWS[:2], weights), ROWS[:2], weights)

    def test_the_order_of_contributions_does_not_matter(self) -> None:
        self._check(self._sum(ROWS[::-1], WEIGHTS[::-1]), ROWS, WEIGHTS)

    def test_two_aggregations_do_not_know_each_other(self) -> None:
        first, second = self._begun(), self._begun()
        first.add(self.array(ROWS[0]), 1.0)
        second.add(self.array(ROWS[1]), 1.0)
        self._check(first.finish(), ROWS[:1], [1.0])
        self._check(second.finish(), ROWS[1:2], [1.0])

    def test_finishing_without_a_contribution_is_a_value_error(self) -> None:
        try:
            result = self._begun().finish()
        except ValueError:
            return
        raise AssertionError(f"finish() returned {result!r} though nothing was added")

    def test_structure_is_kept(self) -> None:
        tree = {"a": [self.array([1.0]), (self.array([2.0]), {"b": self.array([3.0])})], "c": {}}
        aggregator = self._begun()
        aggregator.add(tree, 1.0)
        result = aggregator.finish()
        assert list(result) == ["a", "c"]
        assert type(result["a"]) is list
        assert type(result["a"][1]) is tuple
        self._check(result["a"][1][1]["b"], [[3.0]], [1.0])
        assert result["c"] == {}

    def test_an_empty_dict_stays_one(self) -> None:
        aggregator = self._begun()
        aggregator.add({}, 1.0)
        aggregator.add({}, 2.0)
        assert aggregator.finish() == {}

    def test_keys_in_another_order_are_the_same_contribution(self) -> None:
        aggregator = self._begun()
        aggregator.add({"a": self.array([1.0]), "b": self.array([10.0])}, 1.0)
        aggregator.add({"b": self.array([30.0]), "a": self.array([3.0])}, 1.0)
        result = aggregator.finish()
        self._check(result["a"], [[1.0], [3.0]], [1.0, 1.0])
        self._check(result["b"], [[10.0], [30.0]], [1.0, 1.0])

    def test_dtypes_are_kept(self) -> None:
        dtypes = ("float16", "float32", "float64", "int32", "int64", "bool")
        aggregator = self._begun()
        for weight in (1.0, 2.0):
            aggregator.add({name: self.array([1, 0], name) for name in dtypes}, weight)
        result = aggregator.finish()
        assert {name: self.dtype(result[name]) for name in dtypes} == {n: n for n in dtypes}
        for name in ("int32", "int64", "bool"):
            assert self.values(result[name]) == [round(v) for v in self.expected([[1, 0]], [1.0])]

    def test_integers_are_rounded_to_the_nearest_and_half_to_even(self) -> None:
        rows = ([1, 2, 5, -3], [2, 3, 6, -4])
        aggregator = self._begun()
        for row in rows:
            aggregator.add(self.array(row, "int64"), 1.0)
        wanted = [round(value) for value in self.expected(rows, [1.0, 1.0])]
        assert self.values(aggregator.finish()) == wanted

    def test_numbers_of_python_are_leaves(self) -> None:
        aggregator = self._begun()
        aggregator.add({"loss": 1, "bias": 0.5}, 1.0)
        aggregator.add({"loss": 2, "bias": 1.5}, 3.0)
        result = aggregator.finish()
        wanted = self.expected([[1, 0.5], [2, 1.5]], [1.0, 3.0])
        assert math.isclose(result["loss"], wanted[0], rel_tol=1e-9)
        assert math.isclose(result["bias"], wanted[1], rel_tol=1e-9)

    def test_large_values_do_not_overflow_on_the_way(self) -> None:
        for dtype, value in (("float16", 65504.0), ("float32", 1e17), ("float64", 1e17)):
            aggregator = self._begun()
            for _ in range(40):
                aggregator.add(self.array([value, -value], dtype), 1e12)
            result = self.values(aggregator.finish())
            wanted = self.expected([[value, -value]] * 40, [1e12] * 40)
            for got, right in zip(result, wanted, strict=True):
                assert math.isclose(got, right, rel_tol=1e-3), (dtype, got, right)

    # whose memory ---------------------------------------------------------------------------------

    def test_the_reference_stays_as_it_was(self) -> None:
        reference = self.array(ROWS[0])
        aggregator = self.make()
        aggregator.init(reference, max_norm=MAX_NORM)
        aggregator.add(self.array(ROWS[1]), 2.0, owned=True)
        aggregator.finish()
        assert self.values(reference) == ROWS[0]

    def test_what_is_not_owned_stays_as_it_was(self) -> None:
        for size in (1, LARGE):
            rows = [row[:1] * size for row in ROWS]
            contributions = [self.array(row) for row in rows]
            aggregator = self._begun()
            for contribution, weight in zip(contributions, WEIGHTS, strict=True):
                aggregator.add(contribution, weight)
            result = aggregator.finish()
            assert result is not contributions[0]
            for contribution, row in zip(contributions, rows, strict=True):
                assert self.values(contribution) == row

    def test_owned_contributions_give_the_same_result(self) -> None:
        for size in (1, LARGE):
            rows = [row[:1] * size for row in ROWS]
            for owned in ((True,) * 4, (False, True, False, True), (True, False, True, False)):
                aggregator = self._begun()
                for row, weight, own in zip(rows, WEIGHTS, owned, strict=True):
                    aggregator.add(self.array(row), weight, owned=own)
                self._check(aggregator.finish(), rows, WEIGHTS)

    def test_an_array_that_stands_at_two_places_counts_at_both(self) -> None:
        rows = [row[:1] * LARGE for row in ROWS]
        aggregator = self._begun()
        for row, weight in zip(rows, WEIGHTS, strict=True):
            tied = self.array(row)
            aggregator.add({"encoder": tied, "decoder": tied}, weight, owned=True)
        result = aggregator.finish()
        self._check(result["encoder"], rows, WEIGHTS)
        self._check(result["decoder"], rows, WEIGHTS)

    def test_contributions_are_let_go_at_once(self) -> None:
        self._need("streaming")
        aggregator = self._begun()
        given: list[weakref.ref[Any]] = []
        for number in range(8):
            contribution = self.array([float(number)] * LARGE)
            given.append(weakref.ref(contribution))
            aggregator.add({"w": contribution}, 1.0, owned=number % 2 == 0)
            del contribution
            gc.collect()
            kept = sum(reference() is not None for reference in given)
            assert kept <= 1, f"{kept} of {number + 1} contributions are kept"

    # partials -------------------------------------------------------------------------------------

    def test_merging_partials_equals_one_aggregation(self) -> None:
        self._need("mergeable")
        top = self._begun()
        top.merge(self._partial(ROWS[:1], WEIGHTS[:1]))
        top.merge(self._partial(ROWS[1:], WEIGHTS[1:]))
        self._check(top.finish(), ROWS, WEIGHTS)

    def test_partials_and_contributions_can_be_mixed(self) -> None:
        self._need("mergeable")
        for merge_first in (True, False):
            top, partial = self._begun(), self._partial(ROWS[1:], WEIGHTS[1:])
            if merge_first:
                top.merge(partial)
            top.add(self.array(ROWS[0]), WEIGHTS[0], owned=True)
            if not merge_first:
                top.merge(partial)
            self._check(top.finish(), ROWS, WEIGHTS)

    def test_a_partial_keeps_dtypes(self) -> None:
        self._need("mergeable")
        below = self._begun()
        below.add({"steps": self.array([3, 4], "int32"), "half": self.array([0.5], "float16")}, 2.0)
        top = self._begun()
        top.merge(below.partial())
        result = top.finish()
        assert self.dtype(result["steps"]) == "int32"
        assert self.dtype(result["half"]) == "float16"

    def test_a_partial_can_travel(self) -> None:
        self._need("mergeable")
        from flk.wire import decode, encode

        below = self._begun()
        for row, weight in zip(ROWS, WEIGHTS, strict=True):
            below.add({"w": [self.array(row)], "n": 1}, weight)
        codecs = self.codecs()
        sent = encode(below.partial(), codecs).owned()
        top = self._begun()
        top.merge(decode(sent.skeleton, sent.buffers, codecs))
        self._check(top.finish()["w"][0], ROWS, WEIGHTS)

    def test_a_partial_is_a_snapshot(self) -> None:
        self._need("mergeable")
        below = self._begun()
        below.add(self.array(ROWS[0]), WEIGHTS[0])
        early = below.partial()
        for row, weight in zip(ROWS[1:], WEIGHTS[1:], strict=True):
            below.add(self.array(row), weight)
        top = self._begun()
        top.merge(early)
        self._check(top.finish(), ROWS[:1], WEIGHTS[:1])
        self._check(below.finish(), ROWS, WEIGHTS)

    # checks ---------------------------------------------------------------------------------------

    def test_nan_is_refused(self) -> None:
        self._refuses(math.nan, "not_finite")

    def test_infinity_is_refused(self) -> None:
        self._refuses(math.inf, "not_finite")
        self._refuses(-math.inf, "not_finite")

    def test_a_norm_above_the_limit_is_refused(self) -> None:
        self._refuses(2e18, "huge")
        self._refuses(3e38, "huge")

    def test_a_partial_with_nan_is_refused(self) -> None:
        self._need("checks", "mergeable")
        below = self.make()
        below.init(None, max_norm=math.inf)
        below.add(self.array([1.0, math.nan, 1.0]), 1.0)
        top = self._begun()
        top.add(self.array(ROWS[0]), 1.0)
        self._refused(lambda: top.merge(below.partial()), "not_finite")
        self._check(top.finish(), ROWS[:1], [1.0])

    def test_a_norm_is_taken_over_all_leaves(self) -> None:
        self._need("checks")
        aggregator = self.make()
        aggregator.init(None, max_norm=5.0)
        aggregator.add([self.array([3.0]), self.array([3.9])], 1.0)
        self._refused(lambda: aggregator.add([self.array([3.0]), self.array([4.1])], 1.0), "huge")

    def test_without_a_limit_nothing_is_refused(self) -> None:
        self._need("checks")
        for size in (3, LARGE):
            tree = {"small": self.array([1.0]), "w": self.array([1.0, math.nan] + [1.0] * size)}
            aggregator = self.make()
            aggregator.init(None, max_norm=math.inf)
            aggregator.add(tree, 1.0, owned=True)
            got = self.values(aggregator.finish()["w"])
            assert [math.isnan(value) for value in got[:3]] == [False, True, False]

    # helpers --------------------------------------------------------------------------------------

    def _refuses(self, poison: float, reason: str) -> None:
        """The poison is refused, first or later, owned or not, and no bit of the result moves."""
        self._need("checks")
        for size in (3, LARGE):
            for owned in (True, False):
                clean, stained = self._begun(), self._begun()
                self._refused(lambda: stained.add(self._poisoned(size, poison), 2.0), reason)  # noqa: B023
                for number, row in enumerate(ROWS):
                    for aggregator in (clean, stained):
                        aggregator.add(self._tree(row, size), WEIGHTS[number], owned=owned)
                    bad = self._poisoned(size, poison)
                    self._refused(lambda: stained.add(bad, 2.0, owned=owned), reason)  # noqa: B023
                one, other = clean.finish(), stained.finish()
                for key in one:
                    assert self.values(one[key]) == self.values(other[key]), (
                        f"the refused contribution left its trace in {key!r}"
                    )

    def _tree(self, row: Sequence[float], size: int) -> dict[str, Any]:
        return {
            "large": self.array([row[0]] * size),
            "steps": self.array([int(row[1])] * 2, "int64"),
            "more": self.array([row[2]] * size),
        }

    def _poisoned(self, size: int, poison: float) -> dict[str, Any]:
        tree = self._tree([1.0, 2.0, 3.0], size)
        tree["more"] = self.array([3.0] * (size - 1) + [poison])
        return tree

    def _refused(self, act: Any, reason: str) -> None:
        try:
            act()
        except ContributionRefused as refusal:
            assert refusal.reason == reason, f"refused as {refusal.reason!r}, not {reason!r}"
            return
        raise AssertionError(f"what is {reason} was not refused")

    def _begun(self) -> Aggregator:
        aggregator = self.make()
        aggregator.init(None, max_norm=MAX_NORM)
        return aggregator

    def _sum(self, rows: Sequence[Sequence[float]], weights: Sequence[float]) -> Any:
        aggregator = self._begun()
        for row, weight in zip(rows, weights, strict=True):
            aggregator.add(self.array(row), weight)
        return aggregator.finish()

    def _partial(self, rows: Sequence[Sequence[float]], weights: Sequence[float]) -> Any:
        below = self._begun()
        for row, weight in zip(rows, weights, strict=True):
            below.add(self.array(row), weight)
        return below.partial()

    def _check(
        self, result: Any, rows: Sequence[Sequence[float]], weights: Sequence[float]
    ) -> None:
        got, wanted = self.values(result), self.expected(rows, weights)
        slack = self.tolerance * max(map(abs, wanted))
        assert len(got) == len(wanted)
        for value, right in zip(got, wanted, strict=True):
            assert abs(value - right) <= slack, f"{got[:8]} should be {wanted[:8]}"

    def _need(self, *capabilities: str) -> None:
        lacking = set(capabilities) - self.make().capabilities
        if lacking:
            import pytest

            pytest.skip(f"not {', '.join(sorted(lacking))}")
