"""Objects to a skeleton plus buffers and back: what travels, what is stored, what is refused. No
sockets."""

from flk.wire.codecs import Codecs
from flk.wire.container import pack, unpack
from flk.wire.limits import Limits
from flk.wire.objects import Encoded, decode, encode, type_names

__all__ = ["Codecs", "Encoded", "Limits", "decode", "encode", "pack", "type_names", "unpack"]
