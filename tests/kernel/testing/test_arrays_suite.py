"""The suite accepts right arithmetic and names the fault of each wrong one."""

from __future__ import annotations

import math
import struct
from math import isfinite

import pytest
from flk.spi.arrays import Arrays
from flk.testing import arrays as suites
from flk.testing import failing
from flk.testing.arrays import ArraysSuite

FORMATS = {
    "float16": "e", "float32": "f", "float64": "d", "int32": "i", "int64": "q", "uint8": "B",
    "bool": "?",
}  # fmt: skip


class Vector:
    """An array in pure Python: a list of numbers, rounded to its type."""

    def __init__(self, values, dtype, shape):
        self.dtype, self.shape = dtype, shape
        self.values = [self.rounded(v) for v in values]

    def rounded(self, value):
        if self.dtype in ("float16", "float32"):
            code = FORMATS[self.dtype]
            return struct.unpack(code, struct.pack(code, value))[0]
        return {"float64": float, "bool": bool}.get(self.dtype, int)(value)


class RightArrays(Arrays):
    types = (Vector,)

    def shape(self, x):
        return x.shape

    def dtype(self, x):
        return x.dtype

    def nbytes(self, x):
        return len(x.values) * struct.calcsize(FORMATS[x.dtype])

    def is_float(self, x):
        return x.dtype.startswith("float")

    def copy(self, x):
        return Vector(list(x.values), x.dtype, x.shape)

    def finite(self, x):
        return all(map(isfinite, x.values))

    def norm2(self, x):
        return float(sum(v * v for v in x.values))

    def cast(self, x, dtype):
        if dtype == x.dtype:
            return x
        values = x.values if dtype.startswith("float") else map(round, x.values)
        return Vector(values, dtype, x.shape)

    def accumulator(self, x):
        dtype = {"float16": "float32", "float32": "float32"}.get(x.dtype, "float64")
        return Vector([0] * len(x.values), dtype, x.shape)

    def axpy(self, acc, x, alpha):
        acc.values[:] = [
            acc.rounded(a + acc.rounded(alpha * v))
            for a, v in zip(acc.values, x.values, strict=True)
        ]

    def absorb(self, acc, x, alpha):
        norm2 = self.norm2(x)
        total = self.copy(acc)
        self.axpy(total, x, alpha)
        x.values[:] = total.values
        return x, norm2

    def can_absorb(self, acc, x):
        return self.is_float(x) and (acc.dtype, acc.shape) == (x.dtype, x.shape)

    def scale(self, x, alpha):
        x.values[:] = [x.rounded(alpha * v) for v in x.values]

    def add_modulo(self, x, y, bits):
        values = [(a + b) % (1 << bits) for a, b in zip(x.values, y.values, strict=True)]
        return Vector(values, x.dtype, x.shape)


def flattened(values):
    if not isinstance(values, list):
        return [values], ()
    if values and isinstance(values[0], list):
        return [v for row in values for v in row], (len(values), len(values[0]))
    return values, (len(values),)


class RightSuite(ArraysSuite):
    arrays = RightArrays

    def make(self):
        return self.arrays()

    def array(self, values, dtype):
        flat, shape = flattened(values)
        return Vector(flat, dtype, shape)

    def flat(self, x):
        return list(x.values)


class Blind(RightArrays):
    def finite(self, x):
        return all(map(isfinite, x.values[:1000]))


class BlindToInfinity(RightArrays):
    def finite(self, x):
        return not any(v != v for v in x.values)


class Narrow(RightArrays):
    def norm2(self, x):
        total = super().norm2(x)
        return total if total < 3.4e38 or x.dtype == "float64" else math.inf


class Sharing(RightArrays):
    def copy(self, x):
        copy = Vector([], x.dtype, x.shape)
        copy.values = x.values
        return copy


class Truncating(RightArrays):
    def cast(self, x, dtype):
        return x if x.dtype == dtype else Vector(x.values, dtype, x.shape)


class RestlessCast(RightArrays):
    def cast(self, x, dtype):
        return Vector(map(round, x.values) if "int" in dtype else x.values, dtype, x.shape)


class Cramped(RightArrays):
    def accumulator(self, x):
        return Vector([0] * len(x.values), x.dtype, x.shape)


class Overwriting(RightArrays):
    def axpy(self, acc, x, alpha):
        self.scale(x, alpha)
        super().axpy(acc, x, 1.0)


class Greedy(RightArrays):
    def absorb(self, acc, x, alpha):
        norm2 = self.norm2(x)
        self.axpy(acc, x, alpha)
        return acc, norm2


class Unweighted(RightArrays):
    def absorb(self, acc, x, alpha):
        return super().absorb(acc, x, 1.0)


class Late(RightArrays):
    def absorb(self, acc, x, alpha):
        x, _ = super().absorb(acc, x, alpha)
        return x, self.norm2(x)


class Eager(RightArrays):
    def can_absorb(self, acc, x):
        return True


class Placeless(RightArrays):
    def memory(self, x):
        return "here", 0, 8


class Saturating(RightArrays):
    def add_modulo(self, x, y, bits):
        top = (1 << bits) - 1
        values = [min(a + b, top) for a, b in zip(x.values, y.values, strict=True)]
        return Vector(values, x.dtype, x.shape)


@pytest.fixture(autouse=True)
def small_large_arrays(monkeypatch):
    """Pure Python would take a minute for a million elements."""
    monkeypatch.setattr(suites, "_LARGE", 2000)


def test_right_arithmetic_passes():
    assert failing(RightSuite) == {}


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (Blind, "test_nan_is_found_at_the_end_of_a_large_array"),
        (BlindToInfinity, "test_nan_and_infinity_are_found_wherever_they_are"),
        (Narrow, "test_the_norm_does_not_overflow_in_a_narrow_type"),
        (Sharing, "test_a_copy_shares_no_memory"),
        (Truncating, "test_a_cast_to_an_integer_rounds_half_to_even"),
        (RestlessCast, "test_a_cast_to_the_same_type_is_the_array_itself"),
        (Cramped, "test_an_accumulator_is_zero_in_a_type_that_holds_sums"),
        (Overwriting, "test_axpy_adds_a_multiple_and_leaves_its_argument"),
        (Greedy, "test_absorb_leaves_the_accumulator_as_it_was"),
        (Unweighted, "test_absorb_gives_what_axpy_gives_and_the_norm"),
        (Late, "test_absorb_gives_what_axpy_gives_and_the_norm"),
        (Placeless, "test_memory_is_the_range_of_the_elements"),
        (Placeless, "test_the_memory_of_a_copy_is_elsewhere"),
        (Eager, "test_absorb_is_not_offered_for_another_type_or_shape"),
        (Saturating, "test_sums_modulo_a_power_of_two_are_exact"),
    ],
)
def test_a_planted_fault_is_named_by_its_test(wrong, test):
    suite = type("WrongSuite", (RightSuite,), {"arrays": wrong})
    assert test in failing(suite)
