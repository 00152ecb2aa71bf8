"""What the vector functions share: the two formats of real numbers, and how their bits are taken apart and put together.

In: values of vector_text.py.  Out: `SINGLE` and `DOUBLE`, rounding to an integer, powers of two, significand and exponent.

    e, m = split(text, x, SINGLE)      # x = 2^e·m with √½ ≤ m < √2
"""

from __future__ import annotations

from ..record import record
from .vector_text import LaneText, Value


@record
class Format:
    """What differs between float32 and float64."""

    name: str
    element: str
    integer: str
    mantissa: int  # stored bits of the significand
    bias: int  # of the exponent
    ln2: tuple[float, float]  # ln 2 as a sum: rounded, and the rest
    exp_range: tuple[float, float]  # beyond it exp is 0 or infinite
    smallest_normal: float

    @property
    def sign_bit(self) -> int:
        """The integer with the bits of −0.0."""
        return -(1 << (self.mantissa + self.bias.bit_length() + 1))

    @property
    def magic(self) -> float:
        """1.5·2^mantissa: a number added to it is rounded to an integer, which then stands in its lowest bits."""
        return 1.5 * 2.0**self.mantissa


SINGLE = Format(
    "f32", "float", "i32", 23, 127, (0.6931471824645996, -1.9046542121259336e-09), (-104.0, 89.0),
    2.0**-126,
)  # fmt: skip
DOUBLE = Format(
    "f64", "double", "i64", 52, 1023, (0.6931471805599453, 2.3190468138462996e-17), (-746.0, 710.0),
    2.0**-1022,
)  # fmt: skip


def round_to_integer(t: LaneText, z: Value, f: Format) -> tuple[Value, Value]:
    """For z = magic + y, rounded: the integer nearest to y as a real and as an integer."""
    offset = int(f.magic.hex().split("p")[1])
    magic_bits = ((f.bias + offset) << f.mantissa) | (1 << (f.mantissa - 1))
    return z - f.magic, t.bits(z) - magic_bits


def power_of_two(t: LaneText, n: Value, f: Format) -> Value:
    """2^n for an integer n for which it is a normal number."""
    return t.real((n + f.bias) << f.mantissa)


def scale(t: LaneText, x: Value, n: Value, f: Format) -> Value:
    """x·2^n, rounded once where it is subnormal, infinite where it is too large. |n| < 2·bias."""
    half = n >> 1
    return x * power_of_two(t, half, f) * power_of_two(t, n - half, f)


def split(t: LaneText, x: Value, f: Format) -> tuple[Value, Value]:
    """x = 2^e·m with √½ ≤ m < √2, for a positive normal x: e as an integer, and m."""
    root_half = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E667F3BCD}[f.name]
    shifted = t.bits(x) - (root_half - (f.bias << f.mantissa))
    e = t.logical_right_shift(shifted, f.mantissa) - f.bias
    m = (shifted & ((1 << f.mantissa) - 1)) + root_half
    return e, t.real(m)
