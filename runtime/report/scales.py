"""Axes: numbers to places, and the round numbers that stand beside them.

In: the values that are to be drawn.  Out: `Scale`.

    scale = Scale.of([0.013, 2.4])
    scale.at(0.5)                                    0 at the lowest, 1 at the highest value
    scale.ticks()                                    [(0.0, "0"), (0.2, "0.5"), …]: places and texts

Positive values that span two powers of ten are drawn on a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: How far apart positive values are drawn logarithmically.
SPAN = 100.0
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, which are logarithms to base 10 where it is logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def of(
        cls,
        values: Iterable[float],
        *,
        logarithmic: bool | None = None,
        zero: bool = False,
        room: float = 0.04,
    ) -> Scale:
        """Room for all finite values, and a little more. `zero`: the axis begins at 0; `logarithmic` None: where it helps."""
        finite = [float(v) for v in values if math.isfinite(v)]
        positive = [v for v in finite if v > 0]
        if logarithmic is None:
            logarithmic = bool(positive) and len(positive) == len(finite)
            logarithmic = logarithmic and max(positive) > SPAN * min(positive)
        if logarithmic and positive:
            low, high = math.log10(min(positive)), math.log10(max(positive))
            if high - low < 0.1:
                low, high = low - 0.5, high + 0.5
        else:
            logarithmic = False
            low, high = min(finite, default=0.0), max(finite, default=1.0)
            if zero:
                low, high = min(low, 0.0), max(high, 0.0)
            if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
                half = 0.5 * abs(low) or 0.5
                low, high = low - half * (not zero), high + half
        more = room * (high - low)
        return cls(low - (0 if zero and low == 0 else more), high + more, logarithmic)

    def at(self, value: float) -> float:
        """The place of a value; what is not positive lies at the bottom of a logarithmic axis."""
        if self.logarithmic:
            value = math.log10(value) if value > 0 else self.low
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Round numbers within the axis, not more than about `most`."""
        if self.logarithmic:
            return self._decades(most)
        step = round_step((self.high - self.low) / max(most, 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(self.at(k * step), number_text(k * step, step)) for k in range(first, last + 1)]

    def _decades(self, most: int) -> list[tuple[float, str]]:
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        every = max(1, -(-(last - first + 1) // most))
        exponents = [k for k in range(first, last + 1) if k % every == 0]
        marks = [(float(10.0**k), k) for k in exponents]
        if len(marks) >= 2:
            return [(self.at(v), power_text(k)) for v, k in marks]
        values = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5)]
        inside = [v for v in values if -1e-9 <= self.at(v) <= 1 + 1e-9]
        return [(self.at(v), number_text(v, v)) for v in inside]


def whole_scale(last: int, first: int = 0) -> Scale:
    """From one whole number to another: epochs, steps of time."""
    return Scale(float(first), float(max(last, first + 1)))


def whole_ticks(scale: Scale, most: int = 6) -> list[tuple[float, str]]:
    """Ticks at whole numbers only."""
    step = max(1, round(round_step((scale.high - scale.low) / most)))
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [(scale.at(k * step), f"{k * step:,}") for k in range(first, last + 1)]


def round_step(wish: float) -> float:
    """1, 2 or 5 times a power of ten, not below the wish."""
    power = 10.0 ** math.floor(math.log10(wish))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= wish * (1 - 1e-9))


def number_text(value: float, step: float) -> str:
    """A tick as text, with as many digits as its neighbours need: 0.05, 1,000, 2·10⁻⁶."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4 or (abs(step) < 1e-4 and abs(value) < 1e-2):
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        digits = max(0, exponent - math.floor(math.log10(abs(step)) + 1e-9))
        mantissa = f"{value / 10.0**exponent:.{digits}f}"
        power = power_text(exponent)
        return {"1": power, "-1": f"−{power}"}.get(mantissa, f"{mantissa}·{power}".replace("-", "−"))
    digits = max(0, -math.floor(math.log10(abs(step)) + 1e-9))
    return f"{value:,.{digits}f}".replace("-", "−")


def power_text(exponent: int) -> str:
    """A power of ten: 0.01, 1, 100, 10⁻⁵."""
    if -3 <= exponent <= 4:
        return f"{10**exponent:,}" if exponent >= 0 else f"{10.0**exponent:.{-exponent}f}"
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def figure_text(value: float) -> str:
    """A figure in running text or a table: four significant digits."""
    if not math.isfinite(value):
        return "NaN" if value != value else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return text.replace("-", "−")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")
