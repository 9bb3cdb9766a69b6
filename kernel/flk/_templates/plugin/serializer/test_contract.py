"""The serializer of vectors keeps its contract."""

from collections.abc import Callable
from typing import Any

from flk.testing.serializer import SerializerSuite
from flk_role_acme import AcmeSerializer, Vector


class TestAcme(SerializerSuite):
    def make(self) -> AcmeSerializer:
        return AcmeSerializer()

    def examples(self) -> list[Vector]:
        return [Vector([]), Vector([1.5]), Vector([0.0, -1e300, 2.0])]

    def equal(self, a: Vector, b: Vector) -> bool:
        return a.tolist() == b.tolist()

    def changeable(self) -> tuple[Vector, Callable[[Any], None]]:
        return Vector(map(float, range(2000))), lambda vector: vector.memory.__setitem__(7, -1.0)
