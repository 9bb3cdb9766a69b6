import numpy as np
import pytest
from flk_serializer_numpy import NumpyArrays


@pytest.fixture
def arrays():
    return NumpyArrays()


LAYOUTS = {
    "contiguous": lambda a: a,
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1],
    "big_endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 4), (7, 20011)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "int32", "bool"])
def test_axpy_adds_a_multiple_whatever_the_layout(arrays, layout, shape, dtype):
    x = LAYOUTS[layout](np.random.default_rng(1).uniform(0, 2, shape).astype(dtype))
    acc = arrays.accumulator(x)
    arrays.axpy(acc, x, 0.5)
    arrays.axpy(acc, x, 1.0)
    assert np.allclose(acc, x.astype(acc.dtype) * 1.5)


@pytest.mark.parametrize("shape", [(3, 4), (7, 20011)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_absorb_writes_the_sum_into_the_contribution(arrays, shape, order, alpha):
    x = np.asarray(np.random.default_rng(1).normal(size=shape), order=order)
    acc = np.ones_like(x)
    expected, norm = acc + alpha * x, float((x * x).sum())
    assert arrays.can_absorb(acc, x)
    result, norm2 = arrays.absorb(acc, x, alpha)
    assert result is x
    assert np.array_equal(x, expected)
    assert np.all(acc == 1)
    assert norm2 == pytest.approx(norm)


def test_a_large_float32_is_told_apart_from_infinity(arrays):
    x = np.full(100_000, 1e30, np.float32)
    assert arrays.finite(x)
    assert arrays.norm2(x) == pytest.approx(1e65)
    x[99_999] = np.inf
    assert not arrays.finite(x)
    assert arrays.norm2(x) == np.inf


def test_a_large_float64_is_finite_though_its_norm_is_not(arrays):
    x = np.full(3, 1e300)
    assert arrays.finite(x)
    assert arrays.norm2(x) == np.inf


def test_a_structured_array_is_searched_field_by_field(arrays):
    x = np.zeros(3, [("a", "i4"), ("b", "f4", (2,))])
    assert arrays.finite(x)
    x["b"][1, 1] = np.nan
    assert not arrays.finite(x)


@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]", "U3", "S3", object, [("a", "f8")]])
def test_what_holds_no_numbers_cannot_be_summed(arrays, dtype):
    for method in (arrays.norm2, arrays.accumulator):
        with pytest.raises(TypeError, match="holds no numbers"):
            method(np.zeros(3, dtype))


@pytest.mark.parametrize("scalar", [np.float16(1), np.float64(1), np.int8(1), np.bool_(True)])
def test_scalars_are_listed_by_their_own_class(arrays, scalar):
    assert type(scalar) in arrays.types
    assert np.ma.MaskedArray not in arrays.types


def test_a_copy_keeps_the_order_and_drops_the_rest_of_the_memory(arrays):
    x = np.asfortranarray(np.arange(12.0).reshape(3, 4))[:2]
    copy = arrays.copy(x)
    assert np.array_equal(copy, x)
    assert copy.strides == (8, 16)
    assert copy.flags.owndata


@pytest.mark.parametrize("layout", ["contiguous", "fortran", "strided", "reversed"])
def test_memory_covers_every_element_and_nothing_beside(arrays, layout):
    x = LAYOUTS[layout](np.zeros((3, 4)))
    _, start, stop = arrays.memory(x)
    element = [x[i, j, ...].__array_interface__["data"][0] for i in range(3) for j in range(4)]
    assert (start, stop) == (min(element), max(element) + 8)


def test_a_copy_of_objects_shares_none_of_them(arrays):
    x = np.array([[1], [2]], dtype=object)
    x[0, 0] = inner = [3]
    assert arrays.copy(x)[0, 0] is not inner


def test_sums_beyond_the_width_wrap_without_a_warning(arrays):
    x = np.array([200, 255], np.uint8)
    assert arrays.add_modulo(x, x, 8).tolist() == [144, 254]
    assert arrays.add_modulo(x, x, 4).tolist() == [0, 14]
    with pytest.raises(ValueError, match="unsigned"):
        arrays.add_modulo(x.astype("i4"), x, 8)
