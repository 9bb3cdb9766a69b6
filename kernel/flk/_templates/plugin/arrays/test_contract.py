"""The arithmetic of tables keeps its contract."""

from typing import Any

from flk.testing.arrays import ArraysSuite
from flk_role_acme import AcmeArrays, Table


class TestAcme(ArraysSuite):
    summed_in = (
        ("float32", "float32"),
        ("float64", "float64"),
        ("int64", "float64"),
        ("bool", "float64"),
    )

    def make(self) -> AcmeArrays:
        return AcmeArrays()

    def array(self, values: Any, dtype: str) -> Table:
        shape: tuple[int, ...] = ()
        numbers = [values]
        while isinstance(values, list):
            shape = (*shape, len(values))
            numbers = [one for row in numbers for one in row]
            values = values[0] if values else 0
        return Table(numbers, shape, dtype)

    def flat(self, x: Table) -> list[Any]:
        return list(x)
