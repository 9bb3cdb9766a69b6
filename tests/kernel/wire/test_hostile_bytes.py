"""Whatever is received, decoding gives a value or a DecodeError, soon and in little memory."""

from __future__ import annotations

import dataclasses
import sys
import tracemalloc
from time import perf_counter

import msgpack
import pytest
from flk.errors import DecodeError, LimitError, UnknownType
from flk.spi.serializer import Serializer
from flk.wire import Codecs, Limits, decode, encode, pack, unpack
from hypothesis import given
from hypothesis import strategies as st


@dataclasses.dataclass
class Checked:
    size: int

    def __post_init__(self):
        if self.size < 0:
            raise RuntimeError("a size is not negative")


class Doubling:
    """What `DoublingSerializer` carries."""


class DoublingSerializer(Serializer):
    """Asks for as much memory as it is told."""

    types = {Doubling: "acme.Doubling/1"}  # noqa: RUF012

    def encode(self, obj, sink):
        return 1

    def decode(self, name, meta, source):
        source.claim(meta)
        return Doubling()


@pytest.fixture
def codecs():
    codecs = Codecs()
    codecs.register(Checked, "acme.Checked/1")
    codecs.add(DoublingSerializer())
    return codecs


def skeleton(tree, names=(), version=1):
    return msgpack.packb([version, list(names), tree])


def raw(tree):
    """A skeleton around bytes that may be anything."""
    return b"\x93\x01\x90" + tree


class Watched:
    """How long a block took and what it allocated at most."""

    def __enter__(self):
        tracemalloc.start()
        self.started = perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = perf_counter() - self.started
        self.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


LIST, TUPLE, DICT, SET, FROZENSET, INT, MEMORY, OBJECT = range(8)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc1", b"\x90", b"\xc0", skeleton(None, version=2), skeleton(None) + b"\xc0",
        msgpack.packb([1, [], None, None]), msgpack.packb([1, None, None]),
        msgpack.packb([1, [5], None]), msgpack.packb({}), raw(b"\xa1\xff"), raw(b"\xd9"),
        raw(b"\x80"), raw(b"\x81\x01\x02"), raw(b"\xd4\x05\x00"), raw(b"\xc7\x00\x05"),
        raw(b"\xd6\xff\x00\x00\x00\x00"), raw(b"\xdd\xff\xff\xff\xff"),
        raw(b"\xc6\xff\xff\xff\xff"),
        raw(b"\xdb\xee\x6b\x28\x00abc"), raw(b"\xdf\xff\xff\xff\xff"),
    ],
)  # fmt: skip
def test_what_is_no_skeleton_is_refused(data, codecs):
    with pytest.raises(DecodeError):
        decode(data, [], codecs)


@pytest.mark.parametrize(
    "tree",
    [
        [], [None], ["x"], [-1], [8], [True], [[]], [1.0], [DICT, 1], [DICT, [LIST], 1],
        [DICT, "a", 1, "a", 2], [DICT, 1, 1, 1.0, 2], [SET, 1, True], [SET, [LIST]], [INT],
        [INT, "x"], [INT, 5], [INT, b"", b""], [MEMORY, 0], [MEMORY, 0, 0], [MEMORY, 9, b""],
        [MEMORY, 0, "x"], [MEMORY, 0, -1], [MEMORY, "x", b""], [MEMORY, 0, True],
        [MEMORY, [LIST], b""], [OBJECT], [OBJECT, 0], [OBJECT, -1, None], [OBJECT, 99, None],
        [OBJECT, "x", None], [OBJECT, True, None], [OBJECT, 0, None, None],
    ],
    ids=repr,
)  # fmt: skip
def test_a_tree_that_nobody_wrote_is_refused(tree, codecs):
    with pytest.raises(DecodeError):
        decode(skeleton(tree, ["flk.uuid/1"]), [], codecs)


@pytest.mark.parametrize(
    ("name", "meta"),
    [
        ("flk.datetime/1", "yesterday"), ("flk.datetime/1", 5), ("flk.date/1", "2024-13-01"),
        ("flk.time/1", None), ("flk.timedelta/1", [1, 2]), ("flk.timedelta/1", [1 << 62, 0, 0]),
        ("flk.timedelta/1", [1.5, 0, 0]), ("flk.decimal/1", "one"), ("flk.decimal/1", 1),
        ("flk.uuid/1", b"short"), ("flk.uuid/1", "x" * 16), ("flk.path/1", 5),
        ("flk.complex/1", [1, 2]), ("flk.paramstype/1", "HALF"), ("flk.error/1", ["x"]),
        ("flk.error/1", [1, 2, 3, 4, 5, 6, 7, 8]), ("flk.error/1", None), ("flk.path/1", None),
    ],
)  # fmt: skip
def test_plain_data_that_a_type_does_not_have_is_refused(name, meta, codecs):
    with pytest.raises(DecodeError):
        decode(skeleton([OBJECT, 0, meta], [name]), [], codecs)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [None, None, [DICT], None, None, [DICT], [DICT]],
        [None, "FULL", [DICT], None, None, [DICT], [DICT]],
        [None, [OBJECT, 1, "FULL"], [LIST], None, None, [DICT], [DICT]],
        [None, [OBJECT, 1, "FULL"], [DICT], "1", None, [DICT], [DICT]],
        [None, [OBJECT, 1, "FULL"], [DICT], None, None, [DICT]],
    ],
)
def test_a_model_with_other_fields_is_refused(parts, codecs):
    with pytest.raises(DecodeError):
        decode(skeleton([OBJECT, 0, *parts], ["flk.model/1", "flk.paramstype/1"]), [], codecs)


def test_an_object_that_its_class_refuses_is_a_decode_error(codecs):
    for parts in ([-1], [], [1, 2]):
        with pytest.raises(DecodeError):
            decode(skeleton([OBJECT, 0, *parts], ["acme.Checked/1"]), [], codecs)


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "", "a" * 10_000, "flk/1", "x.y/1x"]
)
def test_a_class_path_instead_of_a_type_is_refused(name, codecs):
    with pytest.raises(DecodeError):
        decode(skeleton([OBJECT, 0, None], [name]), [], codecs)


def test_an_unknown_type_says_what_to_install_and_imports_nothing(codecs):
    class Watch:
        def find_spec(self, name, path=None, target=None):
            raise AssertionError(f"{name} was looked for")

    watch = Watch()
    sys.meta_path.insert(0, watch)
    try:
        with pytest.raises(UnknownType, match="flk-serializer-colorsys"):
            decode(skeleton([OBJECT, 0, None], ["colorsys.Thing/1"]), [], codecs)
    finally:
        sys.meta_path.remove(watch)


def test_a_pickle_is_no_skeleton(codecs):
    for data in (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x05.", b"cos\nsystem\n(S'x'\ntR."):
        with pytest.raises(DecodeError):
            decode(data, [], codecs)
        with pytest.raises(DecodeError):
            unpack(data)


@pytest.mark.parametrize(
    "opening", [b"\x91", b"\x92\x00", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"]
)
@pytest.mark.parametrize("depth", [33, 100, 600, 5000, 1_000_000])
def test_deep_nesting_is_beyond_a_limit(opening, depth, codecs):
    data = raw(opening * depth + b"\xc0")
    with Watched() as watched, pytest.raises(DecodeError):
        decode(data, [], codecs)
    assert watched.peak < 1 << 24


def test_nesting_by_one_more_than_allowed_is_beyond_the_limit(codecs):
    tree = [LIST]
    for _ in range(31):
        tree = [LIST, tree]
    decode(skeleton(tree), [], codecs)
    with pytest.raises(LimitError):
        decode(skeleton([LIST, tree]), [], codecs)


def test_millions_of_empty_containers_are_refused_unbuilt(codecs):
    flat = raw(b"\xdd" + (30_000_000).to_bytes(4, "big") + b"\x90" * 30_000_000)
    bushy = raw(b"\xdc\xff\xff" + (b"\xdc\x01\xff" + b"\x91\x00" * 511) * 65535)
    for data in (flat, bushy):
        with Watched() as watched, pytest.raises(LimitError):
            decode(data, [], codecs)
        assert watched.peak < 1 << 20


def test_claims_of_nested_arrays_reserve_little(codecs):
    small = raw(b"\xdc\x0f\x00" * 500 + b"\xc0" * 2000)
    with Watched() as watched, pytest.raises(DecodeError):
        decode(small, [], codecs)
    assert watched.peak < 1 << 25


def test_keys_that_all_have_one_hash_are_refused(codecs):
    modulus = sys.hash_info.modulus
    keys = [[INT, (n * modulus).to_bytes(16, "little")] for n in range(20_000)]
    for tree in ([SET, *keys], [DICT, *(part for key in keys for part in (key, 0))]):
        with pytest.raises(LimitError):
            decode(skeleton(tree), [], codecs)


def test_a_large_grid_of_keys_is_not_mistaken_for_an_attack(codecs):
    value = {(x, y): 1 for x in range(-50, 50) for y in range(-50, 50)}
    encoded = encode(value, codecs)
    assert decode(encoded.skeleton, encoded.buffers, codecs) == value


def test_buffers_are_all_there_and_all_used(codecs):
    encoded = encode([b"x" * 5000, b"y" * 6000], codecs)
    for buffers in ([], encoded.buffers[:1], [*encoded.buffers, b"more"]):
        with pytest.raises(DecodeError):
            decode(encoded.skeleton, buffers, codecs)


def test_copies_of_one_buffer_stay_within_the_memory_that_was_brought(codecs):
    tree = [LIST, *[[MEMORY, 0, 0]] * 1000]
    with Watched() as watched, pytest.raises(LimitError):
        decode(skeleton(tree), [bytes(1 << 20)], codecs, Limits(extra_bytes=1 << 20))
    assert watched.peak < 1 << 22


@pytest.mark.parametrize("size", [(64 << 20) + 1, -1])
def test_a_serializer_gets_no_more_memory_than_allowed(size, codecs):
    with pytest.raises(LimitError):
        decode(skeleton([OBJECT, 0, size], ["acme.Doubling/1"]), [], codecs)


@pytest.mark.parametrize(
    "limits", [Limits(skeleton_bytes=5), Limits(nodes=3), Limits(buffers=0), Limits(buffer_bytes=9)]
)
def test_each_limit_is_an_argument(limits, codecs):
    encoded = encode([1, 2, 3, b"x" * 5000], codecs)
    with pytest.raises(LimitError):
        decode(encoded.skeleton, encoded.buffers, codecs, limits)


# containers --------------------------------------------------------------------------------------


@pytest.fixture
def container(codecs):
    return b"".join(pack(encode({"a": b"x" * 5000, "b": bytearray(4097)}, codecs)))


def test_buffers_of_a_container_are_aligned_views_of_it(container):
    skeleton, buffers = unpack(container)
    base = memoryview(container)
    assert all(buffer.obj is base.obj for buffer in (skeleton, *buffers))
    assert bytes(buffers[0]) == b"x" * 5000
    assert container.index(b"x" * 5000) % 64 == 0


def test_a_container_cut_anywhere_or_extended_is_refused(container):
    for end in [*range(200), *range(200, len(container), 97), len(container) - 1]:
        with pytest.raises(DecodeError):
            unpack(container[:end])
    with pytest.raises(DecodeError):
        unpack(container + b"\0")


def test_lengths_of_a_container_that_lie_are_refused(container):
    for place in (8, 16, 24, 32):
        for claim in (0, 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1):
            data = bytearray(container)
            data[place : place + 8] = claim.to_bytes(8, "little")
            with Watched() as watched, pytest.raises(DecodeError):
                unpack(memoryview(data))
            assert watched.peak < 1 << 20


def test_gaps_of_a_container_hold_nothing(container):
    gap = container.index(b"x" * 5000) - 1
    assert container[gap] == 0
    data = bytearray(container)
    data[gap] = 1
    with pytest.raises(DecodeError):
        unpack(data)


def test_a_container_of_another_version_is_refused(container):
    with pytest.raises(DecodeError, match="version"):
        unpack(b"flk.obj\x02" + container[8:])


# anything at all ---------------------------------------------------------------------------------


def decoded_or_refused(data, buffers=()):
    codecs = Codecs()
    codecs.register(Checked, "acme.Checked/1")
    codecs.add(DoublingSerializer())
    try:
        decode(data, buffers, codecs)
    except DecodeError:
        pass


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.floats() | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=15,
)  # fmt: skip
NAMES = st.lists(st.sampled_from((*Codecs().types(), "acme.Checked/1", "acme.Doubling/1", "x")))


@given(st.binary(max_size=200))
def test_random_bytes_are_decoded_or_refused(data):
    decoded_or_refused(data)
    decoded_or_refused(raw(data))


@given(TREES, NAMES)
def test_random_trees_are_decoded_or_refused(tree, names):
    decoded_or_refused(skeleton(tree, names), [b"abc"])


@given(st.data())
def test_a_skeleton_with_a_changed_byte_is_decoded_or_refused(data):
    codecs = Codecs()
    codecs.register(Checked, "acme.Checked/1")
    value = {"a": [1, 2.5, ("x", b"y")], 3: {4, 1 << 70}, "c": Checked(5), "d": ValueError("e")}
    good = bytearray(encode(value, codecs).skeleton)
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] = data.draw(st.integers(0, 255))
    decoded_or_refused(bytes(good))


@given(st.binary(max_size=200))
def test_random_bytes_are_no_container(data):
    for candidate in (data, b"flk.obj\x01" + data):
        try:
            unpack(candidate)
        except DecodeError:
            pass
