"""sin and cos over vectors, for arguments of any size.

In: an argument as a `Value`, and the format.  Out: the result; `REDUCTION`, the text of the function that both call for huge
arguments.

The argument is reduced to |r| ≤ π/4 and a quadrant. Up to 2³² in float32 and 2²⁷ in float64 by subtracting a multiple of π/2 that
is known to 107 and 160 binary digits; beyond, by multiplying with just those digits of 2/π that matter (M. Payne and R. Hanek,
"Radian reduction for trigonometric functions", SIGNUM 18, 1983). The second way is taken lane by lane, and only in vectors
that hold a huge lane; each lane's result depends on that lane alone, so the bits do not depend on the vectors' width.

    y = sine(text, x, SINGLE)
"""

from __future__ import annotations

from . import vector_math_tables as tables
from .vector_format import DOUBLE, SINGLE, Format, round_to_integer
from .vector_text import LaneText, Value

_LARGEST = {"f32": 2.0**32, "f64": 2.0**27}  # of what is reduced by subtraction
_P1, _P2, _P3 = tables.HALF_PI
Pair = tuple[Value, Value]


def sine(t: LaneText, x: Value, f: Format) -> Value:
    y = _sine_of_magnitude(t, x, f, 0)
    return t.real(t.bits(y) ^ (t.bits(x) & f.sign_bit))


def cosine(t: LaneText, x: Value, f: Format) -> Value:
    return _sine_of_magnitude(t, x, f, 1)


def _sine_of_magnitude(t: LaneText, x: Value, f: Format, quarters: int) -> Value:
    """sin(|x| + quarters·π/2)"""
    a = t.absolute(x)
    a = t.convert(a, "double") if f is SINGLE else a
    high, low, quadrant = _reduce_any(t, a, f)
    quadrant = quadrant + quarters
    if f is SINGLE:
        r, quadrant = t.convert(high, "float"), t.convert(quadrant, "i32")
        z = r * r
        sin = t.fma(r * z, t.polynomial(z, tables.SIN_SINGLE), r)
        cos = t.fma(z * z, t.polynomial(z, tables.COS_SINGLE), t.fma(z, -0.5, 1.0))
    else:
        sin, cos = _sine_double(t, high, low), _cosine_double(t, high, low)
    y = t.select((quadrant & 1).equal(0), sin, cos)
    return t.select((quadrant & 2).equal(0), y, -y)


def _sine_double(t: LaneText, high: Value, low: Value) -> Value:
    """sin(high + low) as in FDLIBM's k_sin.c (Sun Microsystems, 1993)."""
    z = high * high
    cube = z * high
    tail = t.polynomial(z, tables.SIN_DOUBLE[1:])
    correction = (z * (low * 0.5 - cube * tail) - low) - cube * tables.SIN_DOUBLE[0]
    return high - correction


def _cosine_double(t: LaneText, high: Value, low: Value) -> Value:
    """cos(high + low) as in FDLIBM's k_cos.c."""
    z = high * high
    half = z * 0.5
    w = 1.0 - half
    tail = z * z * t.polynomial(z, tables.COS_DOUBLE) - high * low
    return w + (((1.0 - w) - half) + tail)


def _two_sum(a: Value, b: Value) -> Pair:
    """a + b as rounded sum and error, exactly (D. Knuth, The Art of Computer Programming, volume 2, 4.2.2)."""
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def _quick_two_sum(a: Value, b: Value) -> Pair:
    """The same for |a| ≥ |b|."""
    total = a + b
    return total, b - (total - a)


def _reduce_by_subtraction(t: LaneText, a: Value, f: Format) -> tuple[Value, Value, Value]:
    """a − n·π/2 as high + low, and n."""
    n, quadrant = round_to_integer(t, t.fma(a, 2 / 3.141592653589793, DOUBLE.magic), DOUBLE)
    if f is SINGLE:  # one double holds enough
        high = t.fma(n, -_P2, t.fma(n, -_P1, a))
        return high, high, quadrant
    first = n * _P1
    first_error = t.fma(n, _P1, -first)
    second = n * _P2
    second_error = t.fma(n, _P2, -second)
    s, s_error = _two_sum(
        a - first, -first_error
    )  # a − first is exact: they differ by less than a factor of two
    u, u_error = _two_sum(s, -second)
    high, low = _quick_two_sum(u, (s_error + u_error) - t.fma(n, _P3, second_error))
    return high, low, quadrant


def _reduce_any(t: LaneText, a: Value, f: Format) -> tuple[Value, Value, Value]:
    """The reduced argument as high + low, and the quadrant as an i64, for 0 ≤ a < ∞; NaN for others."""
    quick = _reduce_by_subtraction(t, a, f)
    reals, integers = t.type("double"), t.type("i64")
    huge = t.instruction(
        "i1", f"and {t.type('i1')} {a.greater(_LARGEST[f.name]).name}, {a.less(float('inf')).name}"
    )
    t.lines.insert(0, f"  %memory = alloca [4 x {reals}], align 64")
    some = huge.name
    if t.lanes > 1:
        t.lines.append(f"  %some = call i1 @llvm.vector.reduce.or.v{t.lanes}i1({t.type('i1')} {some})")
        some = "%some"
    t.lines += ["  br label %decide", "decide:", f"  br i1 {some}, label %huge, label %reduced", "huge:"]
    safe = t.select(huge, a, 2.0**60)
    t.lines += [
        f"  store {reals} {safe.name}, ptr %memory",
        f"  call void @dln_reduce_huge(ptr %memory, i64 {t.lanes})",
    ]
    slow = []
    for k, kind in ((1, reals), (2, reals), (3, integers)):
        t.lines.append(f"  %place{k} = getelementptr double, ptr %memory, i64 {k * t.lanes}")
        element = "i64" if k == 3 else "double"
        loaded = t.instruction(element, f"load {kind}, ptr %place{k}, align 8")
        slow.append(t.select(huge, loaded, quick[k - 1]))
    t.lines += ["  br label %reduced", "reduced:"]
    high, low, quadrant = (
        t.instruction(q.element, f"phi {t.type(q.element)} [ {q.name}, %decide ], [ {s.name}, %huge ]")
        for q, s in zip(quick, slow, strict=True)
    )
    return high, low, quadrant


def _reduction_body() -> str:
    """The text of `dln_reduce_huge_one`: reduce one double at %place, see REDUCTION."""
    t = LaneText(1)
    window = 6  # limbs of 32 bits: 2 for the quadrant, 62 that may cancel, 53 + 11 for the result, 53 for the product

    def load(element: str, pointer: str) -> Value:
        return t.instruction(element, f"load {element}, ptr {pointer}")

    bits = t.bits(load("double", "%place"))
    exponent = t.logical_right_shift(bits, 52) - 1075
    significand = (bits & ((1 << 52) - 1)) | (1 << 52)
    # x = significand·2^exponent; a digit of weight 2^−i counts modulo 4 if exponent − i ≤ 1: the first has i = exponent − 1.
    position = exponent + (64 - 2)
    limb, shift = t.logical_right_shift(position, 5), 32 - (position & 31)
    raw = []
    for k in range(window + 1):
        address = t.instruction("ptr", f"getelementptr i32, ptr @dln_two_over_pi, i64 {(limb + k).name}")
        word = load("i32", address.name)
        raw.append(t.instruction("i64", f"zext i32 {word.name} to i64"))
    mask = (1 << 32) - 1
    digits = [
        t.instruction("i64", f"lshr i64 {((raw[k] << 32) | raw[k + 1]).name}, {shift.name}") & mask
        for k in range(window)
    ]
    digits.reverse()  # least significant first
    product: list[Value] = []
    carry = t.constant(0, "i64")
    for digit in digits:
        total = (significand & mask) * digit + carry
        product.append(total & mask)
        carry = t.logical_right_shift(total, 32)
    carry = t.constant(0, "i64")
    for k in range(1, window):
        total = t.logical_right_shift(significand, 32) * digits[k - 1] + product[k] + carry
        product[k] = total & mask
        carry = t.logical_right_shift(total, 32)
    # The two leading bits are the quadrant; the fraction behind them is taken in [−½, ½).
    fraction = [(product[0] << 2) & mask] + [
        ((product[k] << 2) | t.logical_right_shift(product[k - 1], 30)) & mask for k in range(1, window)
    ]
    upper_half = t.logical_right_shift(fraction[-1], 31)
    quadrant = (t.logical_right_shift(product[-1], 30) + upper_half) & 3
    fraction[-1] = fraction[-1] - (upper_half << 32)
    high, low = t.convert(fraction[-1], "double") * 2.0**-32, t.constant(0.0, "double")
    for k in range(2, window + 1):
        high, error = _two_sum(high, t.convert(fraction[-k], "double") * 2.0 ** (-32 * k))
        high, low = _quick_two_sum(high, low + error)
    top = high * _P1
    rest = t.fma(high, _P1, -top) + (t.fma(high, _P2, low * _P1))
    top, rest = _quick_two_sum(top, rest)
    for k, value in enumerate((top, rest, quadrant), 1):
        t.lines.append(f"  %out{k}.offset = mul i64 %lanes, {k}")
        t.lines.append(f"  %out{k} = getelementptr double, ptr %place, i64 %out{k}.offset")
        t.lines.append(f"  store {value.element} {value.name}, ptr %out{k}")
    return "\n".join(t.lines)


def _two_over_pi() -> str:
    """The digits of 2/π in 32-bit limbs, most significant first, behind two limbs of zeros and before one."""
    text = "0" * 16 + tables.TWO_OVER_PI + "0" * 8
    return ", ".join(f"i32 {int(text[k : k + 8], 16)}" for k in range(0, len(text), 8))


#: `void dln_reduce_huge(ptr memory, i64 lanes)`: memory holds `lanes` doubles from 2²⁷ on; behind them, as many each, come the
#: reduced arguments' high and low parts and their quadrants (i64).
REDUCTION = f"""
@dln_two_over_pi = internal constant [{len(tables.TWO_OVER_PI) // 8 + 3} x i32] [{_two_over_pi()}]
define internal void @dln_reduce_huge_one(ptr %place, i64 %lanes) noinline nounwind {{
{_reduction_body()}
  ret void
}}
define internal void @dln_reduce_huge(ptr %memory, i64 %lanes) noinline nounwind {{
  br label %next
next:
  %lane = phi i64 [ 0, %0 ], [ %following, %next ]
  %place = getelementptr double, ptr %memory, i64 %lane
  call void @dln_reduce_huge_one(ptr %place, i64 %lanes)
  %following = add i64 %lane, 1
  %more = icmp slt i64 %following, %lanes
  br i1 %more, label %next, label %done
done:
  ret void
}}
"""
