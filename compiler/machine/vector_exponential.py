"""exp, expm1, tanh, sigmoid, erf, log and log1p over vectors.

In: an argument as a `Value`, and the format.  Out: the result. Straight-line code: reduce the argument, evaluate a polynomial,
put the result together; special values by selection.

    y = tanh(text, x, SINGLE)
"""

from __future__ import annotations

from . import vector_math_tables as tables
from .vector_format import SINGLE, Format, power_of_two, round_to_integer, scale, split
from .vector_text import LaneText, Value

LOG2_E = 1.4426950408889634
INFINITY, NAN = float("inf"), float("nan")
_EXP = {"f32": tables.EXP_SINGLE, "f64": tables.EXP_DOUBLE}
_EXPM1 = {"f32": tables.EXPM1_SINGLE, "f64": tables.EXP_DOUBLE}


def reduce_exponent(t: LaneText, x: Value, f: Format) -> tuple[Value, Value]:
    """x = n·ln 2 + r with |r| ≤ ln 2 / 2: the integer n and r (W. J. Cody and W. Waite, 1980)."""
    n, integer = round_to_integer(t, t.fma(x, LOG2_E, f.magic), f)
    return integer, t.fma(n, -f.ln2[1], t.fma(n, -f.ln2[0], x))


def exp(t: LaneText, x: Value, f: Format) -> Value:
    n, r = reduce_exponent(t, t.clamp(x, *f.exp_range), f)
    return scale(t, t.polynomial(r, (1.0, 1.0, *_EXP[f.name])), n, f)


def exponential_less_one(t: LaneText, x: Value, f: Format) -> tuple[Value, Value]:
    """n and e^r − 1 of the reduced argument."""
    n, r = reduce_exponent(t, x, f)
    return n, t.fma(r * r, t.polynomial(r, _EXPM1[f.name]), r)


def expm1(t: LaneText, x: Value, f: Format) -> Value:
    # e^x − 1 = 2^n (e^r − 1) + (2^n − 1), one power of two less where 2^n would be infinite
    n, p = exponential_less_one(t, t.clamp(x, -0.9 * f.mantissa, f.exp_range[1]), f)
    too_large = n.greater(f.bias)
    s = power_of_two(t, t.select(too_large, f.bias, n), f)
    y = t.fma(s, p, s - 1.0)
    return t.copy_sign(t.select(too_large, y + y, y), x)


def tanh(t: LaneText, x: Value, f: Format) -> Value:
    # With u = e^2|x|: 1 − 2/(u + 1) from about tanh = ½ on; below, a polynomial, or in float64, which is not as fast anyway,
    # (u − 1)/(u + 1), both from e^r − 1 so that nothing cancels.
    a = t.absolute(x)
    n, p = exponential_less_one(t, t.clamp(a * 2.0, None, float(f.mantissa)), f)
    s = power_of_two(t, n, f)
    large = a.greater(0.55)
    if f is SINGLE:
        square = x * x
        small = t.fma(a * square, t.polynomial(square, tables.TANH_SINGLE), a)
        return t.copy_sign(t.select(large, 1.0 - 2.0 / t.fma(s, p, s + 1.0), small), x)
    ratio = t.select(large, 2.0, t.fma(s, p, s - 1.0)) / t.fma(s, p, s + 1.0)
    return t.copy_sign(t.select(large, 1.0 - ratio, ratio), x)


def sigmoid(t: LaneText, x: Value, f: Format) -> Value:
    # 1/(1 + 2^n e^r) = c/(c + c·2^n + c·2^n (e^r − 1)), where the power of two c keeps 2^n from overflowing
    limit = (f.bias + 1) // 2
    n, p = exponential_less_one(t, t.clamp(-x, -1.3 * f.mantissa, -f.exp_range[0]), f)
    large = n.greater(limit)
    c = t.select(large, t.constant(2.0**-limit, f.element), 1.0)
    s = power_of_two(t, t.select(large, n - limit, n), f)
    apart = n.greater(f.mantissa)  # s + c would be rounded: the smaller one goes with the small product
    total = t.fma(s, p, t.select(apart, c, 0.0)) + t.select(apart, s, s + c)
    return (1.0 / total) * c


def log_tail(t: LaneText, x: Value, f: Format) -> Value:
    """log(1 + x) − x for 1 + x in [√½, √2]."""
    if f is SINGLE:
        return (x * x) * t.fma(x, t.polynomial(x, tables.LOG_SINGLE), -0.5)
    s = x / (x + 2.0)
    z, half_square = s * s, x * x * 0.5
    return s * (half_square + z * t.polynomial(z, tables.LOG_DOUBLE)) - half_square


def assemble_log(t: LaneText, e: Value, x: Value, f: Format) -> Value:
    """log(2^e (1 + x))"""
    # By the magic number, since few machines convert 64-bit integers.
    e = t.real(e + t.bits(t.constant(f.magic, f.element))) - f.magic
    return t.fma(e, f.ln2[0], x + t.fma(e, f.ln2[1], log_tail(t, x, f)))


def log(t: LaneText, x: Value, f: Format) -> Value:
    tiny = x.less(f.smallest_normal)
    e, m = split(t, t.select(tiny, x * 2.0**f.mantissa, x), f)
    y = assemble_log(t, t.select(tiny, e - f.mantissa, e), m - 1.0, f)
    y = t.select(x.less(INFINITY), y, x)  # +∞ and NaN
    return t.select(x.less(0.0), NAN, t.select(x.equal(0.0), -INFINITY, y))


def log1p(t: LaneText, x: Value, f: Format) -> Value:
    u = x + 1.0
    e, m = split(t, u, f)
    # 2^−e (1 + x) − 1, rounded once: the rounding of u does no harm. From 2^(mantissa + 2) on, u = x.
    large = e.greater(f.mantissa + 2)
    s = power_of_two(t, -t.select(large, 0, e), f)
    y = assemble_log(t, e, t.select(large, m - 1.0, t.fma(x, s, s - 1.0)), f)
    y = t.select(x.less(INFINITY), t.copy_sign(y, x), x)
    return t.select(x.less(-1.0), NAN, t.select(x.equal(-1.0), -INFINITY, y))


def erf(t: LaneText, x: Value, f: Format) -> Value:
    # For small |x| a polynomial in x². Else 1 − erfc(x): in float32 with erfc^¼ as a polynomial (erfc is small, so the errors
    # of its root count little, though four times), in float64 by the scaled complement exp(x²) erfc(x) as one in (x − 3)/(x + 3).
    a = t.absolute(x)
    square = x * x
    if f is SINGLE:
        small = t.fma(x, t.polynomial(square, tables.ERF_SMALL_SINGLE), x)
        root = t.polynomial(t.clamp(a, None, 4.0), (1.0, *tables.ERF_ROOT_SINGLE))
        squared = root * root
        large = t.fma(-squared, squared, 1.0)
        return t.select(a.less(0.925), small, t.copy_sign(large, x))
    small = t.fma(x, t.polynomial(square, tables.ERF_SMALL_DOUBLE), x)
    bounded = t.clamp(a, None, 6.0)
    ratio = t.polynomial((bounded - 3.0) / (bounded + 3.0), tables.ERF_LARGE_DOUBLE)
    large = 1.0 - exp(t, -(bounded * bounded), f) * ratio
    return t.select(a.less(1.0), small, t.copy_sign(large, x))
