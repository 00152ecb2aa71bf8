"""Find the polynomial coefficients that stand in compiler/machine/vector_math_tables.py.

In: nothing.  Out: the tables on standard output, in the form in which they stand there.

    python bench/fit_vector_math.py            # all of them, about a minute
    python bench/fit_vector_math.py EXP        # those whose name starts so

Method: the exchange algorithm of Remez for the weighted minimax problem, in 120 digits (E. W. Cheney, Introduction to
Approximation Theory, 1966, chapter 3). The coefficients must be machine numbers, so they are rounded one after the other,
highest power first, and the rest is fitted again each time (the greedy form of N. Brisebarre and S. Chevillard, "Efficient
polynomial L∞-approximations", ARITH 2007).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from mpmath import mp, mpf

mp.dps = 120
Function = Callable[[mpf], mpf]


def remez(
    target: Function, weight: Function, powers: list[int], low: mpf, high: mpf
) -> tuple[list[mpf], mpf]:
    """Coefficients c minimising max |target(x) − Σ c·x^power| / weight(x) over [low, high], and that maximum."""
    size = len(powers) + 1
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * k / 600) for k in range(601)]
    values = [(target(x), weight(x)) for x in grid]
    chosen = [round(600 * k / (size - 1)) for k in range(size)]
    coefficients, error = [], mpf(0)
    for _ in range(30):
        matrix, right = mp.matrix(size, size), mp.matrix(size, 1)
        for row, k in enumerate(chosen):
            for column, power in enumerate(powers):
                matrix[row, column] = grid[k] ** power
            matrix[row, size - 1] = (-1) ** row * values[k][1]
            right[row] = values[k][0]
        solution = mp.lu_solve(matrix, right)
        coefficients, error = list(solution[: size - 1]), abs(solution[size - 1])
        residual = [
            (v - sum(c * x**p for c, p in zip(coefficients, powers, strict=True))) / w
            for x, (v, w) in zip(grid, values, strict=True)
        ]
        # One extremum per run of equal sign; then the best alternating window of them.
        extrema: list[int] = []
        for k, r in enumerate(residual):
            if extrema and (residual[extrema[-1]] > 0) == (r > 0):
                if abs(r) > abs(residual[extrema[-1]]):
                    extrema[-1] = k
            else:
                extrema.append(k)
        while len(extrema) > size:
            extrema.pop(0 if abs(residual[extrema[0]]) < abs(residual[extrema[-1]]) else -1)
        worst = max(abs(r) for r in residual)
        if len(extrema) < size or worst < error * mpf("1.0001"):
            return coefficients, worst
        chosen = extrema
    return coefficients, worst


def machine_number(value: mpf, kind: type) -> mpf:
    """`value` rounded to float32 or float64."""
    return mpf(float(kind(float(value)))) if kind is np.float32 else mpf(float(value))


def fit(
    target: Function, weight: Function, powers: list[int], low: mpf, high: mpf, kind: type
) -> tuple[list[float], mpf]:
    """As `remez`, with coefficients that are numbers of `kind`."""
    fixed: dict[int, mpf] = {}
    for highest in reversed(powers):

        def remainder(x: mpf) -> mpf:
            return target(x) - sum(c * x**p for p, c in fixed.items())

        free, _ = remez(remainder, weight, [p for p in powers if p <= highest], low, high)
        fixed[highest] = machine_number(free[-1], kind)
    grid = [low + (high - low) * k / 1000 for k in range(1001)]
    error = max(abs(remainder(x) / weight(x)) for x in grid)
    return [float(fixed[p]) for p in powers], error


HALF_LN2 = mp.log(2) / 2 * mpf("1.0005")
LOW_LOG, HIGH_LOG = mp.sqrt(mpf("0.5")) - 1, mp.sqrt(2) - 1
QUARTER = (mp.pi / 4) * mpf("1.0001")
SMALL = mpf("1e-19")


def one(_: mpf) -> mpf:
    return mpf(1)


def relative_to(value: Function, power: int) -> Function:
    """The weight for a tail that enters as x^power · tail(x) into a result of the size of `value`; bounded near 0."""
    edge = mpf("0.03")
    return lambda x: abs(value(x if abs(x) > edge else edge) / (x if abs(x) > edge else edge) ** power)


def exp_tail(r: mpf) -> mpf:
    """(e^r − 1 − r) / r²"""
    return (mp.exp(r) - 1 - r) / r**2


def log_tail(f: mpf) -> mpf:
    """(log(1 + f) − f + f²/2) / f³"""
    return (mp.log(1 + f) - f + f * f / 2) / f**3


def away_from_zero(function: Function) -> Function:
    """The same function, not evaluated in the singularity that can be removed."""
    return lambda x: function(x if abs(x) > SMALL else SMALL)


def of_square(function: Function) -> Function:
    """An even function of x as a function of x²."""
    return away_from_zero(lambda s: function(mp.sqrt(s)))


def sin_tail(r: mpf) -> mpf:
    return (mp.sin(r) - r) / r**3


def cos_tail(r: mpf) -> mpf:
    return (mp.cos(r) - 1 + r * r / 2) / r**4


def atanh_tail(s: mpf) -> mpf:
    """(2 artanh(s) − 2 s) / s³"""
    return 2 * (mp.atanh(s) - s) / s**3


def atanh_tail_twice(s: mpf) -> mpf:
    """(2 artanh(s) − 2 s − 2 s³/3) / s⁵"""
    return (2 * mp.atanh(s) - 2 * s - 2 * s**3 / 3) / s**5


def erf_ratio(x: mpf) -> mpf:
    """erf(x)/x − 1"""
    return mp.erf(x) / x - 1


def erfc_root(x: mpf) -> mpf:
    """(1 − erf(x))^¼ as 1 + x · a polynomial"""
    return (mp.erfc(x) ** mpf("0.25") - 1) / x


def erfc_root_weight(x: mpf) -> mpf:
    """How much that may be wrong for erf to be wrong by itself: the derivative of the fourth power is in it."""
    return mp.erf(x) / (4 * mp.erfc(x) ** mpf("0.75") * x)


def scaled_erfc(x: mpf) -> mpf:
    """exp(x²) (1 − erf(x)); nearly a polynomial in t = (x − 3)/(x + 3)"""
    return mp.exp(x * x) * mp.erfc(x)


def exp2_value(r: mpf) -> mpf:
    return mp.power(2, r)


single, double = np.float32, np.float64
LARGEST_S = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
# name: (target, weight, number of powers, low, high, type). The weight is what the error is relative to.
# fmt: off
TABLES: dict[str, tuple[Function, Function, int, mpf, mpf, type]] = {
    "EXP_SINGLE": (away_from_zero(exp_tail), relative_to(mp.exp, 2), 5, -HALF_LN2, HALF_LN2, single),
    "EXPM1_SINGLE": (away_from_zero(exp_tail), relative_to(mp.expm1, 2), 5, -HALF_LN2, HALF_LN2, single),
    "LOG_SINGLE": (away_from_zero(log_tail), relative_to(lambda f: mp.log(1 + f), 3), 9, LOW_LOG, HIGH_LOG, single),
    "SIN_SINGLE": (of_square(sin_tail), one, 4, mpf(0), QUARTER**2, single),
    "COS_SINGLE": (of_square(cos_tail), one, 4, mpf(0), QUARTER**2, single),
    "TANH_SINGLE": (of_square(lambda x: (mp.tanh(x) - x) / x**3), one, 6, mpf(0), mpf("0.551") ** 2, single),
    "ERF_SMALL_SINGLE": (of_square(erf_ratio), one, 7, mpf(0), mpf("0.93") ** 2, single),
    "ERF_ROOT_SINGLE": (erfc_root, erfc_root_weight, 9, mpf("0.92"), mpf("4.0"), single),
    "POW_LOG2_SINGLE": (of_square(lambda s: (2 * mp.atanh(s) / s) / mp.log(2)), one, 6, mpf(0), LARGEST_S, double),
    "POW_EXP2_SINGLE": (exp2_value, one, 8, mpf("-0.5001"), mpf("0.5001"), double),
    "EXP_DOUBLE": (away_from_zero(exp_tail), one, 11, -HALF_LN2, HALF_LN2, double),
    "LOG_DOUBLE": (of_square(atanh_tail), one, 8, mpf(0), LARGEST_S, double),
    "POW_LOG_DOUBLE": (of_square(atanh_tail_twice), one, 9, mpf(0), LARGEST_S, double),
    "SIN_DOUBLE": (of_square(sin_tail), one, 6, mpf(0), QUARTER**2, double),
    "COS_DOUBLE": (of_square(cos_tail), one, 6, mpf(0), QUARTER**2, double),
    "ERF_SMALL_DOUBLE": (of_square(erf_ratio), one, 14, mpf(0), mpf(1), double),
    "ERF_LARGE_DOUBLE": (
        lambda t: scaled_erfc(3 * (1 + t) / (1 - t)),
        lambda t: mp.exp((3 * (1 + t) / (1 - t)) ** 2),  # relative to erf, which is nearly 1
        14, mpf(-2) / 4, mpf(3) / 9, double,
    ),
}
# fmt: on


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, (target, weight, count, low, high, kind) in TABLES.items():
        if not name.startswith(wanted):
            continue
        coefficients, error = fit(target, weight, list(range(count)), low, high, kind)
        print(
            f"# error {mp.nstr(error, 3)} = 2^{mp.nstr(mp.log(error, 2), 4)} on [{mp.nstr(low, 5)}, {mp.nstr(high, 5)}]"
        )
        print(f"{name} = (")
        for coefficient in coefficients:
            print(f"    {coefficient!r},")
        print(")")


if __name__ == "__main__":
    main()
