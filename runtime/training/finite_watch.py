"""Whether the weights and states of a training are still finite.

In: an execution whose weights have their first values.  Out: the name of an array with a NaN or an infinity in it.

    watch = FiniteWatch(execution)
    watch.broken()                                   None, or "hidden.w"

A state may begin with an infinity, as a running minimum does; it is not watched.
"""

from __future__ import annotations

import numpy as np

from ..execution import Execution

#: Entries up to which a search for a byte is faster than a reduction.
SHORT = 8192


def told(value: float) -> str:
    """A number in a message, by its usual name where it is not finite."""
    if value != value:
        return "NaN"
    return f"{value:.4g}" if np.isfinite(value) else "∞" if value > 0 else "−∞"


class FiniteWatch:
    """Looks at all arrays in one go: a tiny network has an epoch in less time than NumPy takes for twenty short arrays."""

    def __init__(self, execution: Execution):
        self.memory = execution.memory
        self.names = [name for name in execution.kept if np.isfinite(self.memory.view(name)).all()]
        together = self.memory.covering(self.names)
        self._short = [(values, np.empty(values.size, bool)) for values in together if values.size <= SHORT]
        self._long = [values for values in together if values.size > SHORT]

    def broken(self) -> str | None:
        """The first of the arrays that is not finite."""
        good = True
        for values, flags in self._short:
            good = good and b"\0" not in np.isfinite(values, flags).tobytes()
        for values in self._long:
            good = good and bool(np.isfinite(values).all())
        if good:
            return None
        # What was found may lie in the padding between two arrays.
        return next((name for name in self.names if not np.isfinite(self.memory.view(name)).all()), None)
