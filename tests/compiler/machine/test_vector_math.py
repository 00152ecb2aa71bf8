"""Vector mathematics against higher precision: float32 against NumPy in float64, float64 against mpmath with 60 digits.

mpmath is not always there; those tests are skipped without it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from dln.compiler.machine.native import NativeError, Target, compile_text, host_target, load_code
from dln.compiler.machine.vector_math import FUNCTIONS, definitions, function_name, functions

UNARY = [name for name in FUNCTIONS if name != "pow"]
_loaded: list[object] = []


@cache
def vector_function(
    name: str, lanes: int, precision: str, features: str = "", flush: bool = False
) -> Callable:
    """The function over NumPy arrays, `lanes` elements at a time. `flush`: with subnormal numbers switched off."""
    host = host_target()
    target = Target(host.triple, features or host.cpu, "" if features else host.features, host.vector_bits)
    element = "float" if precision == "float32" else "double"
    kind = element if lanes == 1 else f"<{lanes} x {element}>"
    size = lanes * (4 if element == "float" else 8)
    called = function_name(name, lanes, precision)
    arguments = f"{kind} %a" + (f", {kind} %b" if name == "pow" else "")
    state = "%saved = alloca i32\n %new = alloca i32\n call void @llvm.x86.sse.stmxcsr(ptr %saved)\n"
    state += " %old = load i32, ptr %saved\n %set = or i32 %old, 32832\n store i32 %set, ptr %new\n"
    state += " call void @llvm.x86.sse.ldmxcsr(ptr %new)\n"
    text = f"""{definitions([called])}
define void @over_array(ptr %x, ptr %y, ptr %out, i64 %count) {{
entry:
 {state if flush else ""}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %offset = mul i64 %i, {size}
  %at.x = getelementptr i8, ptr %x, i64 %offset
  %at.y = getelementptr i8, ptr %y, i64 %offset
  %at.out = getelementptr i8, ptr %out, i64 %offset
  %a = load {kind}, ptr %at.x, align 4
  %b = load {kind}, ptr %at.y, align 4
  %value = call {kind} @{called}({arguments})
  store {kind} %value, ptr %at.out, align 4
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  {"call void @llvm.x86.sse.ldmxcsr(ptr %saved)" if flush else ""}
  ret void
}}
"""
    library = load_code([compile_text(text, target)], ["over_array"])
    _loaded.append(library)
    native = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(library.addresses["over_array"])

    def over(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        count = -(-len(x) // lanes)
        padded = [np.ones(count * lanes, precision) for _ in range(3)]
        padded[0][: len(x)] = x
        padded[1][: len(x)] = x if y is None else y
        native(*(a.ctypes.data for a in padded), count)
        return padded[2][: len(x)]

    return over


def errors(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distances in units in the last place; `exact` in longdouble. Infinite where one is NaN or infinite and not the other."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(found.dtype)
        finite = np.isfinite(rounded) & np.isfinite(found)
        unit = np.spacing(np.abs(np.where(finite, rounded, 1))).astype(np.longdouble)
        distance = np.abs(found.astype(np.longdouble) - exact) / unit
        same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
        # Just beyond the largest number, rounding may go either way.
        largest = np.finfo(found.dtype).max
        edge = (np.abs(exact) > largest * (1 - 2 * np.finfo(found.dtype).eps)) & (np.abs(found) >= largest)
        return np.where(finite, distance, np.where(same | edge, 0, np.inf)).astype(float)


def wide(function: Callable) -> Callable:
    return lambda x: function(x.astype(np.float64)).astype(np.longdouble)


_erf = np.frompyfunc(math.erf, 1, 1)
SINGLE_ORACLES = {
    "exp": wide(np.exp),
    "expm1": wide(np.expm1),
    "log": wide(np.log),
    "log1p": wide(np.log1p),
    "sin": wide(np.sin),
    "cos": wide(np.cos),
    "tanh": wide(np.tanh),
    "sigmoid": wide(lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x)))),
    "erf": wide(lambda x: _erf(x).astype(float)),
}


def sample_of_all_floats(step: int) -> np.ndarray:
    """Every `step`-th bit pattern: all exponents, subnormal numbers, infinities and NaNs."""
    return np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


SPECIAL = np.array(
    [0.0, -0.0, 1, -1, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38,
     88.72, 88.73, -87.33, -87.34, -103.9, -104.1, 17, -17, np.pi, 1e10, -1e10, 2.0**32, 2.0**127],
    np.float32,
)  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_float32_within_two_units_everywhere(name: str) -> None:
    x = np.concatenate([SPECIAL, sample_of_all_floats(7919 if name == "erf" else 1999)])
    with np.errstate(all="ignore"):
        exact = SINGLE_ORACLES[name](x)
    found = vector_function(name, 16, "float32")(x)
    distance = errors(found, exact)
    worst = int(np.argmax(distance))
    assert distance[worst] <= 2, (x[worst], found[worst], exact[worst])
    if name not in ("log", "cos", "exp", "sigmoid"):
        zero = vector_function(name, 16, "float32")(np.array([0.0, -0.0], np.float32))
        assert list(np.signbit(zero)) == [False, True]


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "sin", "erf"])
def test_float32_dense_where_networks_live(name: str) -> None:
    x = np.linspace(-20 if name != "log" else 1e-3, 20, 1_000_003).astype(np.float32)
    if name == "erf":
        x = x[::10]
    distance = errors(vector_function(name, 16, "float32")(x), SINGLE_ORACLES[name](x))
    assert distance.max() <= 2


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits_at_every_width(name: str, precision: str) -> None:
    random = np.random.default_rng(5)
    x = np.concatenate([SPECIAL, random.normal(0, 3, 3000), 10 ** random.uniform(-37, 37, 3000), [1e300]])
    with np.errstate(over="ignore"):
        x = x.astype(precision)
    y = random.permutation(x) if name == "pow" else None
    kind = np.uint32 if precision == "float32" else np.uint64
    reference = vector_function(name, 1, precision)(x, y)
    for lanes in (2, 4, 8, 16, 32):
        found = vector_function(name, lanes, precision)(x, y)
        different = (found.view(kind) != reference.view(kind)) & ~(np.isnan(found) & np.isnan(reference))
        assert not different.any(), (lanes, x[different][:3])


@pytest.mark.skipif(host_target().architecture != "x86_64", reason="names processors of one architecture")
@pytest.mark.parametrize("name", ["exp", "tanh", "log", "sin", "pow"])
def test_same_bits_on_older_processors(name: str) -> None:
    """One without fused multiply-add calls the C library's, which rounds once as well."""
    x = np.linspace(0.01, 30, 2001).astype(np.float32)
    reference = vector_function(name, 16, "float32")(x)
    for processor in ("x86-64-v3", "x86-64"):
        assert (vector_function(name, 8, "float32", processor)(x) == reference).all()


@pytest.mark.skipif(host_target().architecture != "x86_64", reason="sets a register of one architecture")
@pytest.mark.parametrize("name", UNARY)
def test_flushing_subnormals_changes_only_them(name: str) -> None:
    x = np.concatenate([SPECIAL, sample_of_all_floats(99991)])
    plain, flushed = (vector_function(name, 16, "float32", "", f)(x) for f in (False, True))
    tiny = np.finfo(np.float32).tiny
    ordinary = ~(np.abs(x) < 2 * tiny) & ~(np.abs(plain) < 2 * tiny)
    assert ((plain == flushed) | (np.isnan(plain) & np.isnan(flushed)))[ordinary].all()


INTERVALS = {
    "exp": [(-745.2, 709.8), (-1, 1), (-1e-5, 1e-5)],
    "expm1": [(-40, 709.8), (-1, 1), (-1e-5, 1e-5)],
    "log": [(0.5, 2), (0.99, 1.01), (1e-9, 1e9)],
    "log1p": [(-0.9999, 10), (-0.5, 0.5), (-1e-9, 1e-9), (1e3, 1e18)],
    "sin": [(-10, 10), (-1e8, 1e8), (-1e22, 1e22), (1e299, 1e300)],
    "cos": [(-10, 10), (-1e8, 1e8), (-1e22, 1e22), (1e299, 1e300)],
    "tanh": [(-20, 20), (-1, 1), (-1e-5, 1e-5)],
    "sigmoid": [(-745, 40), (-3, 3)],
    "erf": [(-6, 6), (-1.1, 1.1), (-1e-8, 1e-8)],
}


def with_mpmath(function: Callable, *arguments: np.ndarray) -> np.ndarray:
    """A function of mpmath with 60 digits, as longdouble."""
    mpmath = pytest.importorskip("mpmath")
    out = np.zeros(len(arguments[0]), np.longdouble)
    with mpmath.workdps(60):
        for k, values in enumerate(zip(*arguments, strict=True)):
            value = function(mpmath, *(mpmath.mpf(float(v)) for v in values))
            high = float(value)
            out[k] = high
            if np.isfinite(high):
                out[k] += np.longdouble(float(value - high))
    return out


def exactly(name: str) -> Callable:
    if name == "sigmoid":
        return lambda m, x: 1 / (1 + m.exp(-x))
    if name == "log1p":
        return lambda m, x: m.log(1 + x)
    return lambda m, x: getattr(m, name)(x)


@pytest.mark.parametrize("name", UNARY)
def test_float64_within_four_units(name: str) -> None:
    random = np.random.default_rng(7)
    parts = [random.uniform(low, high, 400) for low, high in INTERVALS[name]]
    if name in ("sin", "cos"):
        # The multiples of π/2 that float64 comes closest to, among them the hardest of all: 5.319372648326541e+255.
        parts.append(
            np.array(
                [
                    5.319372648326541e255,
                    6381956970095103 * 2.0**797,
                    1e22,
                    3.141592653589793,
                    1.5707963267948966,
                ]
            )
        )
        parts.append(np.round(random.uniform(1, 1e7, 300)) * (np.pi / 2))
    x = np.concatenate(parts)
    distance = errors(vector_function(name, 8, "float64")(x), with_mpmath(exactly(name), x))
    worst = int(np.argmax(distance))
    assert distance[worst] <= 4, x[worst]


@pytest.mark.parametrize("name", UNARY)
def test_float64_special_values(name: str) -> None:
    x = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1, -1, 800, -800, 1e308, -1e308]
    )
    oracle = SINGLE_ORACLES[name]
    with np.errstate(all="ignore"):
        expected = oracle(x).astype(float)
    found = vector_function(name, 4, "float64")(x)
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-323)
    signed = np.isfinite(expected) & (name not in ("sin", "cos"))
    assert (np.signbit(found) == np.signbit(expected))[signed].all()


@pytest.mark.parametrize(("precision", "limit"), [("float32", 1), ("float64", 2)])
def test_power(precision: str, limit: float) -> None:
    random = np.random.default_rng(9)
    range_of_log = 85 if precision == "float32" else 700
    base = np.exp(random.uniform(-range_of_log, range_of_log, 1500)).astype(precision)
    exponent = (random.uniform(-range_of_log, range_of_log, 1500) / np.log(base.astype(float))).astype(
        precision
    )
    near_one = (1 + random.uniform(-1e-3, 1e-3, 500)).astype(precision)
    large = random.uniform(-8e4, 8e4, 500).astype(precision)
    small_base, small = (
        random.uniform(0, 10, 500).astype(precision),
        random.uniform(-4, 4, 500).astype(precision),
    )
    x, y = np.concatenate([base, near_one, small_base]), np.concatenate([exponent, large, small])
    exact = with_mpmath(lambda m, a, b: m.power(a, b), x, y)
    assert errors(vector_function("pow", 8, precision)(x, y), exact).max() <= limit


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_power_of_special_values(precision: str) -> None:
    """Every pair, also with its sign, as NumPy has it: 0^0 = 1, negative bases with integer exponents, infinities, NaN."""
    values = [0, 1, 2, 0.5, 3, 2.5, 1e30, 1e-40, 2.0**24 + 2, 2.0**53 + 2, 5e-324, np.inf]
    special = np.array([s * v for v in values for s in (1, -1)] + [np.nan]).astype(precision)
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = vector_function("pow", 8, precision)(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)
    ordered = ~np.isnan(expected)
    assert (np.signbit(found) == np.signbit(expected))[ordered].all()


def test_names() -> None:
    text = functions(["exp", "tanh"], 4, "float32")
    assert "@dln_exp_v4f32(<4 x float> %x)" in text
    assert "@dln_tanh_v4f32" in text
    assert "define internal double @dln_exp_v1f64(double %x)" in definitions(["dln_exp_v1f64"])
    assert definitions([]) == ""
    for wrong in ("dln_sinh_v4f32", "exp", "dln_exp_v0f32", "dln_exp_v4f16"):
        with pytest.raises(ValueError, match="no vector function"):
            definitions([wrong])


def test_all_functions_fit_into_one_module() -> None:
    names = [
        function_name(f, lanes, p) for f in FUNCTIONS for lanes in (1, 16) for p in ("float32", "float64")
    ]
    assert compile_text(definitions(names), host_target())
    with pytest.raises(NativeError):
        compile_text("define void @broken() { ret i32 }", host_target())
