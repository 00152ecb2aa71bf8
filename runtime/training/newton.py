"""Newton's method: the step that would end in the minimum if the loss were the parabola that it looks like from here.

In: live weights and an objective, as in outer_optimizers.py.  Out: changed weights.

    w ← w − α H⁻¹ g      g = ∂J/∂w,  H = ∂²J/∂w²

The loss of a linear model with the squared error is such a parabola, H = XᵀX and g = Xᵀ(Xw − t) but for a factor; so one step
from wherever it begins gives the direct solution w = (XᵀX)⁻¹Xᵀt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import InputError

#: Weights for which H is computed: it takes two gradients for each of them, and n² numbers.
LARGEST = 3000
#: Halvings after which the search for a step that makes J smaller gives up.
TRIALS = 30
#: The shift for the differences that H is made of, by the type of the weights. Large, since the differences of a parabola are
#: exact whatever the shift, and small ones lose digits.
SHIFTS = {np.dtype(np.float64): 1e-3, np.dtype(np.float32): 3e-2}


class Newton:
    """Damped Newton steps, one for every minibatch.

    Eigenvalues of H count by their size, so that the step goes downhill from a saddle too, and not at all where they are
    nothing but noise: of many minima the nearest is taken (Y. Dauphin et al., Identifying and attacking the saddle point
    problem in high-dimensional non-convex optimization, 2014). α is 1, ½, ¼, …, the first with J(w − α s) < J(w).

    damping     is added to every eigenvalue: K. Levenberg (1944)
    tolerance   the training ends where no entry of g is larger
    """

    def __init__(self, damping: float = 0.0, tolerance: float = 1e-5):
        if damping < 0 or tolerance < 0:
            raise InputError("newton needs damping ≥ 0 and tolerance ≥ 0")
        self.damping, self.tolerance = damping, tolerance

    def step(
        self,
        weights: dict[str, np.ndarray],
        objective: Callable[[], tuple[float, Mapping[str, np.ndarray]]],
    ) -> bool:
        """True where the slope is 0 as far as the tolerance or the precision can tell. Raises InputError."""
        size = sum(value.size for value in weights.values())
        if size > LARGEST:
            raise InputError(
                f"newton solves for all weights at once, and {size:,} are too many (the most is {LARGEST:,}); "
                "lbfgs needs less"
            )
        start = _joined(weights, weights)

        def at(point: np.ndarray) -> tuple[float, np.ndarray]:
            first = 0
            for value in weights.values():
                value[...] = point[first : first + value.size].reshape(value.shape)
                first += value.size
            loss, slope = objective()
            return loss, _joined(weights, slope)

        loss, slope = at(start)
        if np.abs(slope).max(initial=0.0) <= self.tolerance:
            return True
        kind = next(iter(weights.values())).dtype
        shift = SHIFTS[kind]
        # The entries of H have errors of this share, which grow to the size of eigenvalues as random ones do.
        noise = float(np.finfo(kind).eps) / shift * np.sqrt(size)
        change = self._change(slope, _curvature(lambda point: at(point)[1], start, shift), noise)
        for trial in range(TRIALS):
            if at(start - 0.5**trial * change)[0] < loss:
                return False
        at(start)
        return True

    def _change(self, slope: np.ndarray, curvature: np.ndarray, noise: float) -> np.ndarray:
        """|H|⁻¹ g."""
        values, vectors = np.linalg.eigh(curvature)
        sizes = np.abs(values)
        known = sizes > noise * sizes.max(initial=0.0)
        inverse = np.where(known, 1 / np.where(known, sizes + self.damping, 1.0), 0.0)
        change: np.ndarray = vectors @ (inverse * (vectors.T @ slope))
        return change


def _joined(weights: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in weights]).astype(np.float64)


def _curvature(slope: Callable[[np.ndarray], np.ndarray], point: np.ndarray, shift: float) -> np.ndarray:
    """H by central differences of the slope, made symmetric."""
    rows = np.empty((point.size, point.size))
    for k in range(point.size):
        h = shift * max(1.0, abs(float(point[k])))
        moved = point.copy()
        moved[k] = point[k] + h
        ahead = slope(moved)
        moved[k] = point[k] - h
        rows[k] = (ahead - slope(moved)) / (2 * h)
    return (rows + rows.T) / 2
