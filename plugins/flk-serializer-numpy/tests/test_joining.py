"""How the kernel comes to this plugin: from an array in hand, never from what was received."""

import subprocess
import sys

import numpy as np
import pytest
from flk.errors import UnknownType
from flk.wire import Codecs, decode, encode


def test_the_first_array_brings_the_plugin():
    codecs = Codecs()
    before = codecs.types()
    encoded = encode({"w": np.arange(3)}, codecs).owned()
    assert set(codecs.types()) - set(before) == {"numpy.ndarray/1", "numpy.generic/1"}
    assert decode(encoded.skeleton, encoded.buffers, codecs)["w"].tolist() == [0, 1, 2]


def test_it_can_be_added_by_name():
    codecs = Codecs()
    codecs.add("numpy")
    codecs.freeze()
    encoded = encode([np.float32(2.5), np.zeros(0)], codecs)
    scalar, empty = decode(encoded.skeleton, encoded.buffers, codecs)
    assert (scalar, empty.shape) == (2.5, (0,))


def test_frozen_codecs_without_it_say_what_to_list():
    codecs = Codecs()
    codecs.freeze()
    with pytest.raises(UnknownType, match="List the serializer 'numpy'"):
        encode(np.zeros(3), codecs)


def test_a_received_array_imports_nothing():
    encoded = encode(np.arange(3), Codecs())
    code = f"""
import sys
from flk.errors import UnknownType
from flk.wire import Codecs, decode
try:
    decode({encoded.skeleton!r}, [bytes(24)], Codecs())
except UnknownType as error:
    assert "flk-serializer-numpy" in str(error)
else:
    raise SystemExit("it was decoded")
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
