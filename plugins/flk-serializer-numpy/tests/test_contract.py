import warnings

import numpy as np
import pytest
from flk.testing.arrays import ArraysSuite
from flk.testing.serializer import SerializerSuite
from flk_serializer_numpy import NumpyArrays, NumpySerializer


class TestNumpyArrays(ArraysSuite):
    floats = ("float16", "float32", "float64")[1:]
    integers = ("int8", "int32", "int64", "uint16")
    unsigned = (("uint8", 8), ("uint16", 16), ("uint32", 32), ("uint64", 64))
    summed_in = (
        *ArraysSuite.summed_in,
        ("uint8", "float64"),
        ("complex64", "complex64"),
        ("complex128", "complex128"),
    )

    def make(self):
        return NumpyArrays()

    def array(self, values, dtype):
        return np.array(values, dtype)

    def flat(self, x):
        return x.ravel().tolist()


SCALARS = [
    "?", "i1", "u2", "<i4", ">i8", "f2", "<f4", ">f8", "F", ">c16", "S3", "U4", ">U2", "V5",
    "M8[ns]", "<M8[D]", ">m8[25s]", "M8", "S0", "U0", "V0",
]  # fmt: skip
RECORD = np.dtype(
    {
        "names": ["id", "é", "inner"],
        "formats": ["<i4", (">f8", (2, 3)), [("flag", "?"), ("text", "U3"), ("when", "M8[s]")]],
        "offsets": [0, 8, 64],
        "itemsize": 100,
    }
)


def sample(dtype, shape):
    """An array whose bytes count up where any bytes will do."""
    dtype = np.dtype(dtype)
    array = np.zeros(shape, dtype)
    if dtype.kind in "iufcmM" and array.nbytes:
        array.reshape(-1)[...] = np.arange(array.size).astype(dtype)
    return array


class TestNumpySerializer(SerializerSuite):
    def make(self):
        return NumpySerializer()

    def examples(self):
        grid = sample("f4", (4, 6))
        locked = sample("f8", (3,))
        locked.flags.writeable = False
        record = np.zeros((2, 2), RECORD)
        record["é"] = 1.5
        record["inner"]["text"] = "åb"
        return [
            *(sample(dtype, shape) for dtype in SCALARS for shape in ((), (0, 3), (2, 3))),
            *(np.zeros((), dtype)[()] for dtype in SCALARS),
            grid.T, grid[::2], grid[:, 1:3], grid[::-1], np.broadcast_to(grid[0], (3, 6)),
            np.asfortranarray(grid), locked, record, record[0, 0], record["é"],
            np.array(["", "a", "\U0010ffff"]), np.array([True, False]), np.float32(2.5),
            np.array([np.nan, np.inf, -0.0]),
        ]  # fmt: skip

    def equal(self, a, b):
        return (
            type(a) is type(b)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and np.asarray(a).tobytes() == np.asarray(b).tobytes()
        )

    def refused(self):
        return [
            np.array([object()]),
            np.zeros(2, [("a", "O")]),
            np.zeros(2, [(("title", "a"), "i4")]),
            np.zeros(2, {"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]}),
            np.ma.masked_array([1, 2], [True, False]),
            np.zeros(2, np.longdouble),
            np.longdouble(1),
        ]

    def changeable(self):
        return np.zeros(2048, "f4"), _overwrite

    def sharing(self):
        array = np.zeros((40, 50))
        return array, array.T, _overwrite


def _overwrite(array):
    array[...] = 7


@pytest.fixture
def serializer():
    return NumpySerializer()


def travelled(serializer, array):
    from flk.testing.serializer import Sink, Source

    sink = Sink()
    meta = serializer.encode(array, sink)
    name = "numpy.ndarray/1" if isinstance(array, np.ndarray) else "numpy.generic/1"
    return serializer.decode(name, meta, Source([bytearray(b) for b in sink.buffers]))


def test_fortran_order_is_kept(serializer):
    assert travelled(serializer, np.asfortranarray(np.ones((3, 4)))).flags.f_contiguous


def test_a_subclass_arrives_as_its_base(serializer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = np.matrix([[1, 2]])
    assert type(travelled(serializer, matrix)) is np.ndarray


def test_what_arrives_in_memory_of_its_own_can_be_written(serializer):
    array = np.zeros(3)
    array.flags.writeable = False
    assert travelled(serializer, array).flags.writeable


def test_a_buffer_serves_an_array_only_with_the_declared_type(serializer):
    from flk.errors import DecodeError
    from flk.testing.serializer import Source

    meta = ["<f8", [3], "C", 0]
    assert serializer.decode("numpy.ndarray/1", meta, Source([bytes(24)])).tolist() == [0, 0, 0]
    for dtype in ("|O", "O", "<f4", "=f8", "f8,f8", "<f16", ">O8", "longdouble", "T", "<V3"):
        with pytest.raises(DecodeError):
            serializer.decode("numpy.ndarray/1", [dtype, [3], "C", 0], Source([bytes(24)]))
    for shape in (
        [1 << 62] * 100_000,
        [1] * 65,
        [-3],
        [3, -1],
        [1 << 62, 4],
        [1 << 64, 3],
        [3.0],
        ["3"],
        3,
        [2],
        [True],
    ):
        with pytest.raises(DecodeError):
            serializer.decode("numpy.ndarray/1", ["<f8", shape, "C", 0], Source([bytes(24)]))


@pytest.mark.parametrize(
    "dtype",
    [
        [24, *[[f"f{n}", 0, [], "|b1"] for n in range(30)]],
        [8, ["a", 0, [1 << 62] * 64, "<i4"]],
        [8, ["a", -4, [], "<i4"]],
        [8, ["a", 6, [], "<i4"]],
        [8, ["a", 0, [], "|O8"]],
        [8, ["a", 0, [], "<i4"], ["a", 4, [], "<i4"]],
        [8, ["a", 0, "<i4"]],
        [-8, ["a", 0, [], "<i4"]],
        [1 << 40, ["a", 0, [], "<i4"]],
        [8, [5, 0, [], "<i4"]],
        [[8], ["a", 0, [], "<i4"]],
    ],
)
def test_a_record_that_does_not_fit_is_refused(serializer, dtype):
    from flk.errors import DecodeError
    from flk.testing.serializer import Source

    with pytest.raises(DecodeError):
        serializer.decode("numpy.ndarray/1", [dtype, [1], "C", 0], Source([bytes(24)]))
