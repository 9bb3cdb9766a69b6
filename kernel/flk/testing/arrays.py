"""Conformance suite of the role *arrays*: copies are copies, checks miss nothing, sums are right
and leave alone what is not theirs."""

from __future__ import annotations

import math
import threading
from typing import Any

from flk.spi.arrays import Arrays

__all__ = ["ArraysSuite"]

_NAN, _INF = math.nan, math.inf
_LARGE = 1_100_000  # elements: more than a block of anybody


class ArraysSuite:
    """Override `make`, `array` and `flat`; the dtypes say what the family has."""

    floats: tuple[str, ...] = ("float32", "float64")
    integers: tuple[str, ...] = ("int32", "int64")
    unsigned: tuple[tuple[str, int], ...] = (("uint8", 8),)
    summed_in: tuple[tuple[str, str], ...] = (
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("int64", "float64"),
        ("bool", "float64"),
    )

    def make(self) -> Arrays:
        """The plugin under test."""
        raise NotImplementedError

    def array(self, values: Any, dtype: str) -> Any:
        """A new writable, contiguous array of nested lists of numbers."""
        raise NotImplementedError

    def flat(self, x: Any) -> list[Any]:
        """All elements as Python numbers, in order of the last index first."""
        raise NotImplementedError

    # description ---------------------------------------------------------------------------------

    def test_an_array_is_of_the_listed_types(self) -> None:
        assert isinstance(self.array([1.0], self.floats[0]), self.make().types)

    def test_shape_and_bytes_are_those_of_the_elements(self) -> None:
        a = self.make()
        x = self.array([[1, 2, 3], [4, 5, 6]], "float32")
        assert (a.shape(x), a.nbytes(x)) == ((2, 3), 24)
        assert type(a.shape(x)) is tuple
        scalar = self.array(1, "float64")
        assert (a.shape(scalar), a.nbytes(scalar)) == ((), 8)

    def test_names_of_types_are_those_of_the_contract(self) -> None:
        for dtype in self.floats + self.integers + ("bool",):
            assert self.make().dtype(self.array([0, 1], dtype)) == dtype

    def test_only_floating_point_numbers_are_floats(self) -> None:
        a = self.make()
        assert all(a.is_float(self.array([1], dtype)) for dtype in self.floats)
        assert not any(a.is_float(self.array([1], dtype)) for dtype in (*self.integers, "bool"))

    # copies --------------------------------------------------------------------------------------

    def test_a_copy_equals_the_original_in_content_type_and_class(self) -> None:
        a = self.make()
        for dtype in self.floats + self.integers + ("bool",):
            x = self.array([[0, 1], [1, 0]], dtype)
            copy = a.copy(x)
            assert type(copy) is type(x)
            assert self.flat(copy) == self.flat(x)
            assert (a.dtype(copy), a.shape(copy)) == (a.dtype(x), a.shape(x))

    def test_a_copy_shares_no_memory(self) -> None:
        for dtype in self.floats:
            x = self.array([1, 2], dtype)
            copy = self.make().copy(x)
            self.make().scale(copy, 2.0)
            assert self.flat(x) == [1, 2]
            assert self.flat(copy) == [2, 4]

    def test_memory_is_the_range_of_the_elements(self) -> None:
        a = self.make()
        for dtype in self.floats + self.integers:
            x = self.array([[1, 2], [3, 4]], dtype)
            place = a.memory(x)
            if place is not None:
                space, start, stop = place
                assert type(space) is str
                assert stop - start == a.nbytes(x)
                assert a.memory(x) == place

    def test_the_memory_of_a_copy_is_elsewhere(self) -> None:
        a = self.make()
        x = self.array([1.0, 2.0], "float64")
        copy = a.copy(x)
        here, there = a.memory(x), a.memory(copy)
        if here is not None and there is not None:
            assert here[0] != there[0] or here[2] <= there[1] or there[2] <= here[1]

    # checks --------------------------------------------------------------------------------------

    def test_nan_and_infinity_are_found_wherever_they_are(self) -> None:
        a = self.make()
        for dtype in self.floats:
            for bad in (_NAN, _INF, -_INF):
                for place in range(3):
                    values = [1.0, 2.0, 3.0]
                    values[place] = bad
                    assert not a.finite(self.array(values, dtype))
                    assert not math.isfinite(a.norm2(self.array(values, dtype)))

    def test_nan_is_found_at_the_end_of_a_large_array(self) -> None:
        for dtype in self.floats:
            x = self.array([0.5] * (_LARGE - 1) + [_NAN], dtype)
            assert not self.make().finite(x)
            assert not math.isfinite(self.make().norm2(x))

    def test_large_and_tiny_numbers_are_finite(self) -> None:
        a = self.make()
        assert a.finite(self.array([3e38, -3e38, 1e-38] * 7, "float32"))
        assert a.finite(self.array([1e308, -1e308], "float64"))

    def test_integers_and_empty_arrays_are_finite(self) -> None:
        a = self.make()
        assert all(a.finite(self.array([1, 0], dtype)) for dtype in (*self.integers, "bool"))
        for dtype in self.floats:
            assert a.finite(self.array([], dtype))
            assert a.norm2(self.array([], dtype)) == 0

    def test_the_norm_is_the_sum_of_squares(self) -> None:
        a = self.make()
        for dtype in self.floats + self.integers:
            assert math.isclose(a.norm2(self.array([[3, 4], [0, 1]], dtype)), 26, rel_tol=1e-4)
        assert math.isclose(
            a.norm2(self.array([0.5] * _LARGE, "float32")), _LARGE / 4, rel_tol=1e-4
        )

    def test_the_norm_does_not_overflow_in_a_narrow_type(self) -> None:
        assert math.isclose(
            self.make().norm2(self.array([1e25] * 100, "float32")), 1e52, rel_tol=1e-4
        )

    # casts ---------------------------------------------------------------------------------------

    def test_a_cast_to_an_integer_rounds_half_to_even(self) -> None:
        a = self.make()
        x = self.array([0.5, 1.5, 2.5, -0.5, -1.5, 1.2, 1.8], "float64")
        cast = a.cast(x, "int64")
        assert self.flat(cast) == [0, 2, 2, 0, -2, 1, 2]
        assert a.dtype(cast) == "int64"
        assert self.flat(x)[0] == 0.5
        scalar = self.array(2.5, "float64")
        assert type(a.cast(scalar, "int64")) is type(scalar)

    def test_a_cast_to_the_same_type_is_the_array_itself(self) -> None:
        x = self.array([1, 2], "float32")
        assert self.make().cast(x, "float32") is x

    # sums ----------------------------------------------------------------------------------------

    def test_an_accumulator_is_zero_in_a_type_that_holds_sums(self) -> None:
        a = self.make()
        for dtype, wide in self.summed_in:
            acc = a.accumulator(self.array([[1, 0, 1]], dtype))
            assert (a.dtype(acc), a.shape(acc)) == (wide, (1, 3))
            assert self.flat(acc) == [0, 0, 0]

    def test_axpy_adds_a_multiple_and_leaves_its_argument(self) -> None:
        a = self.make()
        for dtype, _ in self.summed_in:
            x = self.array([[0, 1], [1, 1]], dtype)
            acc = a.accumulator(x)
            a.axpy(acc, x, 2.0)
            a.axpy(acc, x, 0.5)
            assert self.flat(acc) == [0, 2.5, 2.5, 2.5]
            assert self.flat(x) == [0, 1, 1, 1]

    def test_axpy_reaches_every_element_of_a_large_array(self) -> None:
        a = self.make()
        for dtype, _ in self.summed_in:
            x = self.array([1] * _LARGE, dtype)
            acc = a.accumulator(x)
            a.axpy(acc, x, 3.0)
            assert set(self.flat(acc)) == {3}

    def test_absorb_gives_what_axpy_gives_and_the_norm(self) -> None:
        a = self.make()
        for dtype in self.floats:
            for values in ([[1, 2], [3, 4]], [0.5] * _LARGE):
                x, acc = self.array(values, dtype), self.array(values, dtype)
                a.scale(acc, 3.0)
                expected, norm = a.copy(acc), a.norm2(x)
                a.axpy(expected, x, 0.25)
                assert a.can_absorb(acc, x)
                total, norm2 = a.absorb(acc, x, 0.25)
                assert self.flat(total) == self.flat(expected)
                assert math.isclose(norm2, norm, rel_tol=1e-4)

    def test_absorb_leaves_the_accumulator_as_it_was(self) -> None:
        a = self.make()
        for dtype in self.floats:
            for values in ([1.0, 2.0], [1.0, _NAN], [1.0, _INF], [0.5] * _LARGE):
                x, acc = self.array(values, dtype), self.array([7.0] * len(values), dtype)
                a.absorb(acc, x, 2.0)
                assert set(self.flat(acc)) == {7}

    def test_absorb_writes_into_the_memory_of_the_contribution(self) -> None:
        a = self.make()
        for dtype in self.floats:
            x, acc = self.array([1.0, 2.0], dtype), self.array([10.0, 20.0], dtype)
            a.absorb(acc, x, 1.0)
            assert self.flat(x) == [11, 22]

    def test_absorb_reports_what_is_not_finite(self) -> None:
        a = self.make()
        for dtype in self.floats:
            for values in ([1.0, _NAN], [-_INF, 1.0], [0.5] * (_LARGE - 1) + [_INF]):
                x = self.array(values, dtype)
                _, norm2 = a.absorb(a.accumulator(x), x, 1.0)
                assert not math.isfinite(norm2)

    def test_absorb_is_not_offered_for_another_type_or_shape(self) -> None:
        a = self.make()
        acc = self.array([1, 2], "float64")
        assert not a.can_absorb(acc, self.array([1, 2], "float32"))
        assert not a.can_absorb(acc, self.array([1, 2], "int64"))
        assert not a.can_absorb(acc, self.array([1, 2, 3], "float64"))
        assert not a.can_absorb(acc, self.array([[1, 2]], "float64"))

    def test_scale_multiplies_in_place(self) -> None:
        for dtype in self.floats:
            x = self.array([[1, 2], [3, 4]], dtype)
            self.make().scale(x, 0.5)
            assert self.flat(x) == [0.5, 1, 1.5, 2]

    def test_sums_modulo_a_power_of_two_are_exact(self) -> None:
        for dtype, width in self.unsigned:
            top = (1 << width) - 1
            x, y = self.array([top, top, 1], dtype), self.array([1, top, 2], dtype)
            assert self.flat(self.make().add_modulo(x, y, width)) == [0, top - 1, 3]
            narrow = width - 3
            mask = (1 << narrow) - 1
            result = self.flat(self.make().add_modulo(x, y, narrow))
            assert result == [0, (2 * top) & mask, 3 & mask]
            assert self.flat(x) == [top, top, 1]

    def test_it_serves_many_threads_at_once(self) -> None:
        a = self.make()
        right: list[int] = []

        def work(number: int) -> None:
            x = self.array([float(number)] * (_LARGE // 10), "float32")
            acc = a.accumulator(x)
            for _ in range(10):
                a.axpy(acc, x, 1.0)
            if set(self.flat(acc)) == {10.0 * number}:
                right.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(right) == [1, 2, 3, 4]
