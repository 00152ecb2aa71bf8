"""pow over vectors.

In: base and exponent as `Value`s, and the format.  Out: a^b by exp(b·log a), with the logarithm to more digits than the format
has: in double precision for float32, as an unevaluated sum of two doubles for float64 (T. J. Dekker, "A floating-point
technique for extending the available precision", Numerische Mathematik 18, 1971).

    y = power(text, a, b, SINGLE)
"""

from __future__ import annotations

from . import vector_math_tables as tables
from .vector_exponential import LOG2_E
from .vector_format import DOUBLE, SINGLE, Format, power_of_two, round_to_integer, scale, split
from .vector_text import LaneText, Value

INFINITY, NAN = float("inf"), float("nan")
_LN2 = (
    0.6931471805598903,
    5.497923018708371e-14,
)  # the first has 42 bits: its product with an exponent is exact
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def power(t: LaneText, a: Value, b: Value, f: Format) -> Value:
    """a^b as in C99, Annex F: a^0 = 1^b = 1 whatever the other is; NaN for a negative finite a and no integer b."""
    magnitude = t.absolute(a)
    y = (_single if f is SINGLE else _double)(t, magnitude, b)
    y = t.select(magnitude.equal(1.0), 1.0, y)
    odd = _both(t, _is_integer(t, b, f), _not(t, _is_integer(t, b * 0.5, f)))
    sign_bit = t.bits(a).less(0)
    y = t.select(_both(t, odd, sign_bit), -y, y)
    no_power = _both(t, a.less(0.0), _not(t, _is_integer(t, b, f)))
    y = t.select(_both(t, no_power, a.greater(-INFINITY)), NAN, y)
    y = t.select(a.equal(a), t.select(b.equal(b), y, b), a)  # NaN
    return t.select(a.equal(1.0), 1.0, t.select(b.equal(0.0), 1.0, y))


def _both(t: LaneText, p: Value, q: Value) -> Value:
    return t.instruction("i1", f"and {t.type('i1')} {p.name}, {q.name}")


def _not(t: LaneText, p: Value) -> Value:
    true = t.constant(1, "i1").name if t.lanes > 1 else "true"
    return t.instruction("i1", f"xor {t.type('i1')} {p.name}, {true}")


def _is_integer(t: LaneText, x: Value, f: Format) -> Value:
    """Whether x is an integer (infinities are, NaN is not)."""
    a = t.absolute(x)
    large = 2.0**f.mantissa
    return t.select(a.less(large), (a + large) - large, a).equal(a)


def _extremes(t: LaneText, logarithm: Value, a: Value) -> Value:
    """The logarithm of a ≥ 0, also for 0, ∞ and NaN."""
    logarithm = t.select(a.less(INFINITY), logarithm, a)
    return t.select(a.equal(0.0), -INFINITY, logarithm)


def _real_exponent(t: LaneText, e: Value) -> Value:
    """An i64 as a double, by the magic number: few machines convert 64-bit integers."""
    return t.real(e + t.bits(t.constant(DOUBLE.magic, "double"))) - DOUBLE.magic


def _single(t: LaneText, a: Value, b: Value) -> Value:
    wide, exponent = t.convert(a, "double"), t.convert(b, "double")
    e, m = split(t, wide, DOUBLE)
    s = (m - 1.0) / (m + 1.0)
    logarithm = t.fma(s, t.polynomial(s * s, tables.POW_LOG2_SINGLE), _real_exponent(t, e))
    product = t.clamp(exponent * _extremes(t, logarithm, wide), -160.0, 136.0)
    n, integer = round_to_integer(t, product + DOUBLE.magic, DOUBLE)
    y = t.polynomial(product - n, tables.POW_EXP2_SINGLE) * power_of_two(t, integer, DOUBLE)
    return t.convert(y, "float")


def _double(t: LaneText, a: Value, b: Value) -> Value:
    high, low = _double_logarithm(t, a)
    product = b * _extremes(t, high, a)
    rest = t.fma(b, low, t.fma(b, high, -product))
    inside = t.absolute(product).less(800.0)  # elsewhere the result is 0 or infinite, and the rest may be NaN
    rest = t.select(inside, rest, 0.0)
    product = t.clamp(product, *DOUBLE.exp_range)
    n, integer = round_to_integer(t, t.fma(product, LOG2_E, DOUBLE.magic), DOUBLE)
    r = t.fma(n, -DOUBLE.ln2[0], product) + t.fma(n, -DOUBLE.ln2[1], rest)
    return scale(t, t.polynomial(r, (1.0, 1.0, *tables.EXP_DOUBLE)), integer, DOUBLE)


def _double_logarithm(t: LaneText, a: Value) -> tuple[Value, Value]:
    """log a as high + low, with a relative error of about 2⁻⁶⁵, for 0 < a < ∞.

    log m = 2 artanh s = 2s + s·(2/3 s² + s⁴·P(s²)) with s = (m − 1)/(m + 1), the first terms in double-double.
    """
    tiny = a.less(DOUBLE.smallest_normal)
    e, m = split(t, t.select(tiny, a * 2.0**DOUBLE.mantissa, a), DOUBLE)
    e = _real_exponent(t, t.select(tiny, e - DOUBLE.mantissa, e))
    numerator, denominator = m - 1.0, m + 1.0
    denominator_rest = m - (denominator - 1.0)
    s = numerator / denominator
    s_rest = (t.fma(-s, denominator, numerator) - s * denominator_rest) / denominator
    z = s * s
    z_rest = t.fma(s, s, -z) + (s * s_rest) * 2.0
    third = z * _TWO_THIRDS[0]
    third_rest = t.fma(z, _TWO_THIRDS[0], -third) + (z * _TWO_THIRDS[1] + z_rest * _TWO_THIRDS[0])
    tail = z * z * t.polynomial(z, tables.POW_LOG_DOUBLE)
    v = third + tail
    v_rest = ((third - v) + tail) + third_rest
    y = s * v
    y_rest = t.fma(s, v, -y) + (s * v_rest + s_rest * v)
    double_s = s * 2.0
    first = e * _LN2[0]
    total = first + double_s
    error = double_s - (total - first)
    high = total + y
    error = error + (y - (high - total))
    low = error + (s_rest * 2.0 + y_rest + e * _LN2[1])
    result = high + low
    return result, low - (result - high)
