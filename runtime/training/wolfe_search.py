"""How far to go in a direction: the search of Moré and Thuente for a step that satisfies the strong Wolfe conditions.

In: the value and the slope along the direction at 0, a first guess, and a function that tells both at any step.
Out: a step with

    f(t) ≤ f(0) + µ t f'(0)        it goes down by a share of what the slope promised
    |f'(t)| ≤ η |f'(0)|            most of the slope is used up

J. Moré and D. Thuente, Line search algorithms with guaranteed sufficient decrease (1994), ACM Transactions on Mathematical
Software 20; the constants, and the names of the four cases, are those of MINPACK-2's dcsrch, which L-BFGS-B uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...compiler.record import record

#: µ, η, and the relative width of an interval that is not divided any more.
DECREASE, CURVATURE, WIDTH = 1e-3, 0.9, 0.1
#: Between these multiples of the last advance the next trial lies, as long as no minimum is enclosed.
LEAST_ADVANCE, MOST_ADVANCE = 1.1, 4.0
#: An enclosing interval that does not shrink to this share in two trials is halved.
SHRINKS = 0.66
LARGEST_STEP = 1e10
#: Trials after which the search gives up.
TRIALS = 20


@record(frozen=False)
class _Point:
    step: float
    value: float
    slope: float


def wolfe_step(
    value: float, slope: float, guess: float, at: Callable[[float], tuple[float, float]]
) -> float | None:
    """The step, or None where none is found; `at(step)` is called last with the step that is returned.

    value, slope   at 0; the slope is negative
    at             step → value and slope there; a value that is not finite is one that is too far
    """
    best, other = _Point(0.0, value, slope), _Point(0.0, value, slope)
    promised = DECREASE * slope
    enclosed, first_stage = False, True
    width, width_before = LARGEST_STEP, 2 * LARGEST_STEP
    low, high, step = 0.0, guess + MOST_ADVANCE * guess, guess
    for _ in range(TRIALS):
        here = _Point(step, *at(step))
        if not (math.isfinite(here.value) and math.isfinite(here.slope)):
            step = best.step + WIDTH * (step - best.step)
            continue
        enough = value + step * promised
        if first_stage and here.value <= enough and here.slope >= 0:
            first_stage = False
        if here.value <= enough and abs(here.slope) <= -CURVATURE * slope:
            return step
        exhausted = enclosed and (step <= low or step >= high or high - low <= WIDTH * high)
        if exhausted or (step == LARGEST_STEP and here.value <= enough and here.slope <= promised):
            return step  # the best that this precision, or this range, has
        if first_stage and enough < here.value <= best.value:
            # Of the function less its promised decrease: a minimum of it satisfies the conditions.
            lowered = [
                _Point(p.step, p.value - p.step * promised, p.slope - promised) for p in (best, other, here)
            ]
            step, best, other, enclosed = _next(lowered[0], lowered[1], lowered[2], enclosed, low, high)
            best, other = (
                _Point(p.step, p.value + p.step * promised, p.slope + promised) for p in (best, other)
            )
        else:
            step, best, other, enclosed = _next(best, other, here, enclosed, low, high)
        if enclosed:
            if abs(other.step - best.step) >= SHRINKS * width_before:
                step = best.step + 0.5 * (other.step - best.step)
            width, width_before = abs(other.step - best.step), width
            low, high = sorted((best.step, other.step))
        else:
            low = step + LEAST_ADVANCE * (step - best.step)
            high = step + MOST_ADVANCE * (step - best.step)
        step = min(max(step, 0.0), LARGEST_STEP)
        if enclosed and (step <= low or step >= high or high - low <= WIDTH * high):
            step = best.step
    return None


def _next(
    best: _Point, other: _Point, here: _Point, enclosed: bool, low: float, high: float
) -> tuple[float, _Point, _Point, bool]:
    """The next trial by cubic and quadratic interpolation, the interval with the new point in it, whether it has a minimum."""
    turned = here.slope * math.copysign(1.0, best.slope) < 0
    ahead = here.step - best.step
    if here.value > best.value:  # case 1: too far, a minimum lies between
        cubic = _cubic(best, here)
        chord = (best.value - here.value) / ahead
        quadratic = best.step + best.slope / (chord + best.slope) / 2 * ahead
        near = abs(cubic - best.step) < abs(quadratic - best.step)
        step, enclosed = (cubic if near else cubic + (quadratic - cubic) / 2), True
    elif turned:  # case 2: lower, but past the minimum
        cubic, secant = _cubic(here, best), _secant(here, best)
        step, enclosed = (cubic if abs(cubic - here.step) > abs(secant - here.step) else secant), True
    elif abs(here.slope) < abs(best.slope):  # case 3: lower, and flatter
        cubic, secant = _cubic_ahead(best, here, low, high), _secant(here, best)
        near = abs(cubic - here.step) < abs(secant - here.step)
        if enclosed:
            step, limit = cubic if near else secant, here.step + SHRINKS * (other.step - here.step)
            step = min(limit, step) if ahead > 0 else max(limit, step)
        else:
            step = min(max(secant if near else cubic, low), high)
    elif enclosed:  # case 4: lower, and steeper
        step = _cubic(here, other)
    else:
        step = high if ahead > 0 else low
    if here.value > best.value:
        return step, best, here, enclosed
    return step, here, (best if turned else other), enclosed


def _cubic(one: _Point, two: _Point) -> float:
    """The minimum of the cubic with these values and slopes, seen from the first point."""
    theta = 3 * (one.value - two.value) / (two.step - one.step) + one.slope + two.slope
    size = max(abs(theta), abs(one.slope), abs(two.slope))
    gamma = size * math.sqrt(max(0.0, (theta / size) ** 2 - one.slope / size * (two.slope / size)))
    gamma = -gamma if two.step < one.step else gamma
    share = ((gamma - one.slope) + theta) / (((gamma - one.slope) + gamma) + two.slope)
    return one.step + share * (two.step - one.step)


def _cubic_ahead(best: _Point, here: _Point, low: float, high: float) -> float:
    """The minimum of the cubic beyond the new point; the end of the range where the cubic falls for ever."""
    theta = 3 * (best.value - here.value) / (here.step - best.step) + best.slope + here.slope
    size = max(abs(theta), abs(best.slope), abs(here.slope))
    gamma = size * math.sqrt(max(0.0, (theta / size) ** 2 - best.slope / size * (here.slope / size)))
    gamma = -gamma if here.step > best.step else gamma
    share = ((gamma - here.slope) + theta) / ((gamma + (best.slope - here.slope)) + gamma)
    if share < 0 and gamma != 0:
        return here.step + share * (best.step - here.step)
    return high if here.step > best.step else low


def _secant(here: _Point, best: _Point) -> float:
    """Where the slope would be 0 if it changed evenly."""
    return here.step + here.slope / (here.slope - best.slope) * (best.step - here.step)
