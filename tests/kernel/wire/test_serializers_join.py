"""How serializers and threads come to the types of a process."""

from __future__ import annotations

import threading

import pytest
from flk.errors import EncodeError, PluginConflict, UnknownType
from flk.spi.serializer import Serializer
from flk.wire import Codecs, decode, encode


class Blob:
    def __init__(self, data):
        self.data = data


class Special(Blob):
    """Travels as the base that is listed."""


class BlobSerializer(Serializer):
    types = {Blob: "acme.Blob/1"}  # noqa: RUF012

    def encode(self, obj, sink):
        return sink.add(obj.data, key=id(obj.data))

    def decode(self, name, meta, source):
        return Blob(source.get(meta))


class SecondSerializer(BlobSerializer):
    pass


@pytest.fixture
def codecs():
    codecs = Codecs()
    codecs.add(BlobSerializer())
    return codecs


def test_a_serializer_carries_its_types_and_their_subclasses(codecs):
    encoded = encode([Blob(b"a"), Special(b"b")], codecs)
    back = decode(encoded.skeleton, encoded.buffers, codecs)
    assert [type(blob) for blob in back] == [Blob, Blob]
    assert [bytes(blob.data) for blob in back] == [b"a", b"b"]


def test_memory_with_one_key_travels_once(codecs):
    data = bytearray(10)
    encoded = encode({"one": Blob(data), "two": Blob(data)}, codecs)
    assert len(encoded.buffers) == 1
    back = decode(encoded.skeleton, encoded.owned().buffers, codecs)
    back["one"].data[0] = 9
    assert back["two"].data[0] == 9


def test_a_serializer_sees_all_its_objects_of_a_message_at_once():
    seen = []

    class Batching(BlobSerializer):
        def encode_all(self, objs, sink):
            seen.append(len(objs))
            return super().encode_all(objs, sink)

    codecs = Codecs()
    codecs.add(Batching())
    encode({"a": [Blob(b"1"), Blob(b"2")], (1, 2): Blob(b"3")}, codecs)
    assert seen == [3]


def test_adding_a_serializer_twice_does_nothing(codecs):
    before = codecs.types()
    codecs.add(BlobSerializer())
    assert codecs.types() == before


def test_two_serializers_cannot_share_a_name(codecs):
    with pytest.raises(PluginConflict, match="two serializers"):
        codecs.add(SecondSerializer())


@pytest.mark.parametrize("name", ["flk.Blob/1", "Blob/1", "acme.Blob"])
def test_a_serializer_cannot_take_names_of_others(name):
    wrong = type("Wrong", (BlobSerializer,), {"types": {Blob: name}})
    with pytest.raises(PluginConflict):
        Codecs().add(wrong())


def test_frozen_codecs_do_not_look_for_plugins(codecs):
    codecs.freeze()
    with pytest.raises(UnknownType):
        encode(BlobSerializer(), codecs)
    encoded = encode(Special(b"x"), codecs)
    assert bytes(decode(encoded.skeleton, encoded.buffers, codecs).data) == b"x"


def test_a_serializer_that_fails_is_an_encode_error(codecs):
    with pytest.raises(EncodeError, match="BlobSerializer failed"):
        encode(Blob("no memory"), codecs)


def test_meta_that_is_not_plain_is_an_encode_error():
    class Wrong(BlobSerializer):
        def encode(self, obj, sink):
            return object()

    codecs = Codecs()
    codecs.add(Wrong())
    with pytest.raises(EncodeError):
        encode(Blob(b""), codecs)


def test_many_threads_use_one_registry(codecs):
    right = []

    def work(number):
        for _ in range(50):
            cls = type("Local", (Blob,), {})
            encoded = encode([cls(b"%d" % number), number], codecs)
            blob, same = decode(encoded.skeleton, encoded.buffers, codecs)
            assert (bytes(blob.data), same) == (b"%d" % number, number)
        right.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(right) == [0, 1, 2, 3]
