"""What is encoded comes back the same."""

from __future__ import annotations

import dataclasses
import enum
import math
import struct
from collections import Counter, OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID

import pytest
from flk.errors import CallError, CallTimeout, EncodeError, QuorumError, UnknownType, UsageError
from flk.model import FLModel, ParamsType
from flk.wire import Codecs, Limits, decode, encode, pack, type_names, unpack
from hypothesis import given
from hypothesis import strategies as st


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: object = None


@dataclasses.dataclass
class Checked:
    size: int

    def __post_init__(self):
        if self.size < 0:
            raise RuntimeError("a size is not negative")


Pair = namedtuple("Pair", "left right")


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Ways(enum.IntFlag):
    IN = 1
    OUT = 2


@pytest.fixture
def codecs():
    codecs = Codecs()
    codecs.register(Point, "acme.Point/1")
    codecs.register(Pair, "acme.Pair/1")
    codecs.register(Color, "acme.Color/1")
    codecs.register(Ways, "acme.Ways/1")
    return codecs


def travelled(value, codecs):
    """Out, through a container, and back."""
    data = b"".join(pack(encode(value, codecs)))
    return decode(*unpack(memoryview(data)), codecs)


def same(a, b):
    return type(a) is type(b) and a == b


VALUES = [
    None, True, False, 0, -1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63), -(1 << 63) - 1,
    1 << 5000, -(1 << 5000), 0.0, -0.0, math.inf, 1e-320, 1 + 2j, "", "å\U0001f600\0", b"", b"\xff",
    b"x" * 100_000, bytearray(b"small"), bytearray(b"y" * 100_000),
    [], [[]], (), (1,), {}, set(), frozenset(), {1, 2}, frozenset({"a", "b"}), {(1, "a"), (2,)},
    {"a": 1, "b": [2]}, {1: 2, None: 3, (1, 2): 4, b"k": 5, 2.5: 6, frozenset({1}): 7},
    [1, 1 << 64, 2.5, "x", b"y", None], {1 << 70: 1 << 80}, [[1, 2], [3.5]] * 3,
    datetime(2024, 2, 29, 12, 30, 15, 999_999), datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), date(1, 1, 1),
    time(23, 59, 59, 1), time(1, tzinfo=UTC), timedelta(days=-1, microseconds=1),
    timedelta.max, Decimal("1.10"), Decimal("-Infinity"), UUID(int=5), Path("a/b"),
    PurePosixPath("/x"), PureWindowsPath("c:\\y"), Point(1, [Point(2)]), Pair(1, (2,)), Color.RED,
    Ways.IN, Ways.IN | Ways.OUT, {Color.RED: Point(3)}, ParamsType.DIFF,
    FLModel(params={"w": [1.0]}, params_type=ParamsType.DIFF, metrics={"loss": 0.5},
            current_round=1, total_rounds=3, meta={"weight": 3}, extra={"k": (1,)}),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_a_plain_value_comes_back_the_same(value, codecs):
    assert same(travelled(value, codecs), value)


def test_not_a_number_keeps_its_bits(codecs):
    odd = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))[0]
    assert struct.pack("<d", travelled([odd], codecs)[0]) == struct.pack("<d", odd)


def test_a_dict_keeps_its_order(codecs):
    assert list(travelled({"b": 1, "a": 2, 3: 3}, codecs)) == ["b", "a", 3]


def test_kinds_of_dict_arrive_as_dict(codecs):
    for value in (OrderedDict(a=1), defaultdict(list, a=1), Counter(a=1)):
        assert same(travelled(value, codecs), {"a": 1})


def test_a_memoryview_arrives_as_a_view_of_the_same_bytes(codecs):
    for view in (
        memoryview(b"abc"),
        memoryview(bytearray(9000)),
        memoryview(b"abcdef" * 2000)[::2],
    ):
        back = travelled(view, codecs)
        assert type(back) is memoryview
        assert back.tobytes() == view.tobytes()


def test_large_bytes_are_not_copied_to_encode_them(codecs):
    data = bytearray(10_000)
    encoded = encode({"data": data}, codecs)
    data[5] = 7
    assert encoded.buffers[0][5] == 7
    assert len(encoded.skeleton) < 50


def test_owned_buffers_are_apart_from_the_objects(codecs):
    data = bytearray(10_000)
    owned = encode(data, codecs).owned()
    data[5] = 7
    assert owned.buffers[0][5] == 0
    assert not owned.buffers[0].readonly


def test_an_exception_arrives_as_the_call_error_it_stands_for(codecs):
    try:
        raise KeyError("weights")
    except KeyError as error:
        back = travelled(error, codecs)
    assert same(back.kind, "KeyError")
    assert type(back) is CallError
    assert "weights" in back.what
    assert "Traceback" in back.remote_traceback


def test_a_call_error_keeps_what_it_says(codecs):
    error = CallTimeout(
        "too late", site="site-1", function="train", kind="Slow", may_have_run=False, cure="Wait"
    )
    back = travelled(error, codecs)
    assert type(back) is CallTimeout
    assert (back.what, back.site, back.function) == ("too late", "site-1", "train")
    assert (back.kind, back.may_have_run, back.cure) == ("Slow", False, "Wait")


def test_an_error_of_flk_arrives_with_sentence_and_cure(codecs):
    back = travelled(QuorumError("too few", failures={}, cure="Ask more"), codecs)
    assert (back.kind, back.what, back.cure) == ("QuorumError", "too few", "Ask more")


def test_an_exception_whose_text_is_broken_travels_too(codecs):
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError

    assert travelled(Broken(), codecs).kind == "Broken"


def test_equal_values_give_equal_bytes(codecs):
    one, two = ({"s": set(order), "d": {"k": 1}} for order in ([1, 9, 17, 33], [33, 17, 9, 1]))
    assert encode(one, codecs) == encode(two, codecs)


def test_the_names_of_types_can_be_read_without_decoding(codecs):
    skeleton = encode([Point(1), Color.RED, Point(2)], codecs).skeleton
    assert type_names(skeleton) == ("acme.Point/1", "acme.Color/1")


# what cannot travel ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [object(), lambda: 1, int, ..., range(3), iter([]), math], ids=lambda v: repr(v)[:20]
)
def test_what_nobody_handles_is_an_unknown_type(value, codecs):
    with pytest.raises(UnknownType):
        encode([value], codecs)


def test_unregistered_classes_are_refused_with_the_line_that_registers_them():
    for value in (Point(1), Pair(1, 2), Color.RED, Ways.IN):
        with pytest.raises(UnknownType, match="types="):
            encode(value, Codecs())


def test_subclasses_of_plain_types_are_refused(codecs):
    for base in (dict, list, str, int, float, bytes, tuple, set):
        with pytest.raises(UnknownType):
            encode(type("Mine", (base,), {})(), codecs)


def test_text_that_is_not_unicode_is_refused(codecs):
    with pytest.raises(EncodeError):
        encode("\ud800", codecs)


def test_a_value_that_contains_itself_is_refused(codecs):
    ring = []
    ring.append(ring)
    wheel = {}
    wheel["a"] = wheel["b"] = [wheel] * 10
    for value in (ring, wheel):
        with pytest.raises(EncodeError):
            encode(value, codecs)


def test_the_deepest_value_that_is_allowed_comes_back(codecs):
    value = []
    for _ in range(31):
        value = [value]
    assert travelled(value, codecs) == value
    with pytest.raises(EncodeError, match="deeper than 32"):
        encode([value], codecs)


def test_more_values_than_allowed_are_refused(codecs):
    with pytest.raises(EncodeError, match="at most 10 values"):
        encode([0] * 10, codecs, Limits(nodes=10))


def test_what_was_encoded_at_a_limit_can_be_decoded_there(codecs):
    limits = Limits(nodes=1000)
    for size in range(400, 1001, 50):
        value = [b""] * size
        try:
            encoded = encode([value], codecs, limits)
        except EncodeError:
            continue
        assert decode(encoded.skeleton, encoded.buffers, codecs, limits) == [value]


def test_a_skeleton_that_is_too_long_is_refused(codecs):
    with pytest.raises(EncodeError, match="of at most 100"):
        encode("x" * 200, codecs, Limits(skeleton_bytes=100))


# registration ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Point", "acme.Point", "flk.Point/1", "acme.Point/0", "a b.c/1"])
def test_a_name_outside_a_name_space_is_refused(name):
    with pytest.raises(UsageError):
        Codecs().register(Point, name)


def test_a_name_serves_one_class(codecs):
    codecs.register(Point, "acme.Point/1")
    for cls, name in ((Checked, "acme.Point/1"), (Point, "acme.Other/1")):
        with pytest.raises(UsageError, match="registered already"):
            codecs.register(cls, name)


def test_a_class_of_no_known_kind_cannot_be_registered(codecs):
    with pytest.raises(UsageError, match="neither"):
        codecs.register(int, "acme.int/1")


def test_frozen_codecs_take_no_more(codecs):
    codecs.freeze()
    assert travelled(Point(1), codecs) == Point(1)
    with pytest.raises(UsageError, match="frozen"):
        codecs.register(Checked, "acme.Checked/1")
    with pytest.raises(UsageError, match="frozen"):
        codecs.add("numpy")


def test_the_known_types_are_listed_by_name(codecs):
    assert "acme.Point/1" in codecs.types()
    assert "flk.model/1" in codecs.types()


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=4)
        | st.sets(st.integers() | st.text(), max_size=4)
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_any_nesting_of_plain_values_comes_back_the_same(value):
    codecs = Codecs()
    codecs.register(Point, "acme.Point/1")
    assert same(travelled(value, codecs), value)
