"""Contract of the role *arrays*: arithmetic on one family of arrays, so that the kernel can copy,
check and sum them.

A plugin is registered under the name of the top-level Python package whose types it handles
(`numpy`, `torch`): the kernel finds it from the type of an object in hand and imports nothing for
types that never appear.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

__all__ = ["Arrays"]


class Arrays(ABC):
    """Stateless arithmetic. Called from any thread, by many at once; may not block; keeps nothing
    between calls.

    `x` is an instance of one of `types`. Methods never change an argument unless they say so.
    Devices are respected: a result lies where its first argument lies. Integer and boolean arrays
    are arrays too (step counters, masks).
    """

    types: ClassVar[tuple[type, ...]]
    """Classes whose instances this plugin handles. Those of subclasses can be copied; into an
    aggregation come only instances of these very classes, since a subclass may mean something else
    by its elements (a mask)."""

    @abstractmethod
    def shape(self, x: Any) -> tuple[int, ...]:
        """The extent of each dimension; `()` for a scalar array."""

    @abstractmethod
    def dtype(self, x: Any) -> str:
        """A stable name of the element type, equal for equal types: `float32`, `bfloat16`,
        `int64`."""

    @abstractmethod
    def nbytes(self, x: Any) -> int:
        """Bytes of the elements."""

    @abstractmethod
    def is_float(self, x: Any) -> bool:
        """Whether elements are real or complex floating-point numbers (so that NaN and infinity can
        occur)."""

    @abstractmethod
    def copy(self, x: Any) -> Any:
        """A copy that shares no memory with `x` and is writable; same dtype, shape, device and
        class."""

    @abstractmethod
    def finite(self, x: Any) -> bool:
        """Whether no element is NaN or infinite; True for integers and for an empty array."""

    @abstractmethod
    def norm2(self, x: Any) -> float:
        """Sum of the squared absolute values, to four digits; NaN or infinite if some element is,
        or if float64 cannot hold it. Blocks may be summed in the type of `x`, their sums are added
        in float64; an overflow of the narrower type must not show. TypeError for elements that are
        no numbers (text, dates, records, Python objects)."""

    @abstractmethod
    def cast(self, x: Any, dtype: str) -> Any:
        """`x` with another element type; floats to integers round half to even. `x` itself if
        nothing changes."""

    @abstractmethod
    def accumulator(self, x: Any) -> Any:
        """Zeros of the shape of `x` in the type sums of its dtype are kept in: float16 and bfloat16
        in float32, integers and booleans in float64, others in their own. TypeError as norm2."""

    @abstractmethod
    def axpy(self, acc: Any, x: Any, alpha: float) -> None:
        """`acc += alpha * x` in place, where `acc` came from `accumulator(x)`. Needs no memory of
        the size of `x`."""

    @abstractmethod
    def absorb(self, acc: Any, x: Any, alpha: float) -> tuple[Any, float]:
        """The sum `acc + alpha * x` written into the memory of `x`, and `norm2(x)`, in one pass by
        blocks.

        `x` is writable, has the dtype of `acc`, and belongs to the caller, who discards it if the
        norm is not acceptable; nothing else that is still to be read shares its memory (tied
        weights do). `acc` is unchanged, so a refused contribution leaves no trace.
        Returns (sum, norm2); a norm that is not finite may leave the sum unfinished. Where this is
        impossible (`can_absorb` is False) the kernel checks first and calls `axpy`.
        """

    @abstractmethod
    def can_absorb(self, acc: Any, x: Any) -> bool:
        """Whether `absorb(acc, x, alpha)` may be called: same dtype and shape, writable,
        contiguous."""

    def memory(self, x: Any) -> tuple[str, int, int] | None:
        """Where the elements lie: the address space (`cpu`, `cuda:0`), the first byte and one past
        the last. Arrays whose ranges overlap may share elements, so that absorbing one would change
        the other. None if that cannot be told: such an array is never absorbed."""
        return None

    @abstractmethod
    def scale(self, x: Any, alpha: float) -> None:
        """`x *= alpha` in place, for an `x` of a floating-point type."""

    @abstractmethod
    def add_modulo(self, x: Any, y: Any, bits: int) -> Any:
        """`(x + y) mod 2**bits` for unsigned integer arrays, exact, as secure aggregation sums
        masked values."""
