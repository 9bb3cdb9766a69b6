"""The suite accepts a right serializer and names the fault of each wrong one."""

from __future__ import annotations

import pickle
import random

import pytest
from flk.errors import DecodeError, EncodeError
from flk.spi.serializer import Serializer
from flk.testing import failing
from flk.testing.serializer import SerializerSuite


class Blob:
    """What the serializers here carry: a name and some memory."""

    def __init__(self, name, data):
        self.name, self.data = name, data


class RightSerializer(Serializer):
    types = {Blob: "acme.Blob/1"}  # noqa: RUF012

    def encode(self, obj, sink):
        if obj.name is None:
            raise EncodeError("a blob without a name cannot travel")
        return [obj.name, len(obj.data), sink.add(obj.data, key=("acme", id(obj.data)))]

    def decode(self, name, meta, source):
        if name != "acme.Blob/1" or type(meta) is not list or len(meta) != 3:
            raise DecodeError("this is no blob")
        text, size, number = meta
        if type(text) is not str or type(size) is not int:
            raise DecodeError("a blob has a wrong description")
        data = source.get(number)
        if data.nbytes != size:
            raise DecodeError("a blob has another size than its memory")
        return Blob(text, data)


class RightSuite(SerializerSuite):
    serializer = RightSerializer

    def make(self):
        return self.serializer()

    def examples(self):
        return [Blob("a", bytearray(b"some bytes")), Blob("empty", bytearray())]

    def equal(self, a, b):
        return type(a) is type(b) and a.name == b.name and bytes(a.data) == bytes(b.data)

    def refused(self):
        return [Blob(None, bytearray(b"x"))]

    def changeable(self):
        return Blob("large", bytearray(10_000)), overwrite

    def sharing(self):
        data = bytearray(b"shared")
        return Blob("one", data), Blob("two", data), overwrite


def overwrite(blob):
    blob.data[0] = 7


class Unversioned(RightSerializer):
    types = {Blob: "acme.Blob"}  # noqa: RUF012


class Copying(RightSerializer):
    def encode(self, obj, sink):
        return [obj.name, len(obj.data), sink.add(bytes(obj.data))]


class CopyingOnReceipt(RightSerializer):
    def decode(self, name, meta, source):
        blob = super().decode(name, meta, source)
        return Blob(blob.name, bytearray(blob.data))


class Trusting(RightSerializer):
    def decode(self, name, meta, source):
        return Blob(meta[0], source.get(meta[2]))


class Careless(RightSerializer):
    def decode(self, name, meta, source):
        if name != "acme.Blob/1":
            raise DecodeError("this is no blob")
        text, size, number = meta
        data = source.get(number)
        if data.nbytes != size:
            raise DecodeError("a blob has another size than its memory")
        return Blob(text, data)


class Greedy(RightSerializer):
    def decode(self, name, meta, source):
        if type(meta) is list and len(meta) == 3 and type(meta[1]) is int:
            bytearray(min(max(meta[1], 0), 1 << 28))
        return super().decode(name, meta, source)


class Importing(RightSerializer):
    def decode(self, name, meta, source):
        try:
            import acme_is_not_installed  # noqa: F401
        except ImportError:
            pass
        return super().decode(name, meta, source)


class Rambling(RightSerializer):
    def encode(self, obj, sink):
        return {"name": obj.name, "data": bytes(obj.data)}


class Fickle(RightSerializer):
    def encode(self, obj, sink):
        sink.add(random.randbytes(8))
        return super().encode(obj, sink)


class Spoiling(RightSerializer):
    def encode(self, obj, sink):
        if obj.data:
            obj.data[0] ^= 1
        return super().encode(obj, sink)


class Silent(RightSerializer):
    def encode(self, obj, sink):
        return super().encode(Blob(obj.name or "", obj.data), sink)


class Keyless(RightSerializer):
    def encode(self, obj, sink):
        return [obj.name, len(obj.data), sink.add(obj.data)]


class Pickling(RightSerializer):
    def encode(self, obj, sink):
        return [pickle.dumps(obj.name), bytes(obj.data)]

    def decode(self, name, meta, source):
        if name != "acme.Blob/1":
            raise DecodeError("this is no blob")
        return Blob(pickle.loads(meta[0]), meta[1])


def test_a_right_serializer_passes():
    assert failing(RightSuite) == {}


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (Unversioned, "test_types_are_named_in_the_name_space_of_their_package"),
        (Copying, "test_memory_is_not_copied_on_its_way_out"),
        (CopyingOnReceipt, "test_memory_is_not_copied_on_its_way_in"),
        (Trusting, "test_a_buffer_that_is_too_short_is_refused"),
        (Trusting, "test_a_buffer_that_is_too_long_is_refused"),
        (Trusting, "test_an_unknown_name_is_refused"),
        (Careless, "test_meta_of_another_kind_is_refused"),
        (Careless, "test_changed_meta_is_refused_or_harmless"),
        (Greedy, "test_sizes_that_lie_allocate_nothing"),
        (Importing, "test_decoding_imports_nothing"),
        (Rambling, "test_meta_is_plain_data"),
        (Fickle, "test_equal_objects_give_equal_bytes"),
        (Spoiling, "test_encoding_and_decoding_leave_the_object_as_it_was"),
        (Silent, "test_what_cannot_travel_raises_an_encode_error"),
        (Keyless, "test_memory_that_was_shared_travels_once_and_is_shared_again"),
        (Pickling, "test_changed_meta_is_refused_or_harmless"),
    ],
)
def test_a_planted_fault_is_named_by_its_test(wrong, test):
    suite = type("WrongSuite", (RightSuite,), {"serializer": wrong})
    assert test in failing(suite)
