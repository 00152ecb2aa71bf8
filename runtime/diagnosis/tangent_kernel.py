"""The neural tangent kernel: how much a step that changes the output for one sample changes it for another.

In: an elaborated network, weights, samples.  Out: `TangentKernel`, and what its matrices say.

    kernel = TangentKernel(elaborated, layer="score")
    theta = kernel(weights, {"image": images})       array[n·k, n·k]: n samples, k units of the layer, the unit running faster

    Θ(x, x') = Σ_w ∂f(x)/∂w · ∂f(x')/∂w

the sum over all weights that learn: A. Jacot, F. Gabriel and C. Hongler, Neural tangent kernel: convergence and generalization
in neural networks (2018). Under gradient descent of rate η on ½ Σ (f − t)² the errors r = f − t follow r ← r − η Θ r, as long as
the kernel stays what it is; it does so the better, the wider the layers are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compiler.mathematics.expression import Load
from ...compiler.mathematics.graph import Array, Family, Graph, Reduction
from ...compiler.source import did_you_mean
from ..arrays import check_samples
from ..errors import InputError
from ..execution import Execution

if TYPE_CHECKING:
    from ...compiler.elaborate import Network as Elaborated

#: Numbers in the matrix of all derivatives; 2 GB.
LARGEST = 1 << 28
#: An input and a family that no file can name.
PICK, PICKED = "picked unit", "picked value"


class TangentKernel:
    """A network compiled to give ∂f/∂w for one sample and one unit at a time, in double precision.

    layer   whose units f are; None: the last layer that the loss depends on

    Values of `training` are those of a network that does not learn: dropout lets all through, normalisation has its running
    statistics. Raises InputError.
    """

    def __init__(self, elaborated: Elaborated, layer: str | None = None):
        from ...compiler.pipeline import compile_network

        self.layer = _layer(elaborated.graph, layer)
        self.extents = elaborated.graph.families[self.layer].extents
        graph = _with_picked_loss(elaborated.graph, self.layer)
        self.inputs = graph.inputs
        changed = elaborated.with_graph(graph, f"with one unit of {self.layer} for its loss")
        self._execution = Execution(compile_network(changed, capacity=1, precision="float64"), 1)
        if "gradient" not in self._execution.program.routines:
            raise InputError(f"'{graph.name}' has no weight that learns, so it has no tangent kernel")
        self.weights = {
            name: self._execution.memory.view(family)
            for name, family in self._execution.compiled.graph.gradients.items()
        }

    @property
    def units(self) -> int:
        """Units of the layer."""
        return int(np.prod(self.extents))

    def derivatives(self, weights: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> np.ndarray:
        """∂f/∂w: array[n·k, number of weights], weight after weight. Other states and frozen weights go with `weights`."""
        execution = self._execution
        needed = [n for n in execution.program.routines["gradient"].inputs if n != PICK]
        samples = check_samples(inputs, self.inputs, "float64", needed=tuple(needed))
        count, units = samples.count, self.units
        size = sum(view.size for view in self.weights.values())
        if count * units * size > LARGEST:
            raise InputError(
                f"{count} samples × {units:,} units × {size:,} weights are too many derivatives;"
                f" {LARGEST // (units * size):,} samples are possible"
            )
        held = execution.program.placements
        execution.memory.put_back({n: v for n, v in weights.items() if n in held})
        arrays = {name: np.repeat(value, units, axis=0) for name, value in samples.arrays.items()}
        arrays[PICK] = np.tile(np.eye(units).reshape(units, *self.extents), (count, *[1] * len(self.extents)))
        found = np.empty((count * units, size))
        for row in range(count * units):
            execution.run("gradient", arrays, row, row + 1)
            np.concatenate([view.ravel() for view in self.weights.values()], out=found[row])
        return found

    def __call__(self, weights: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> np.ndarray:
        """Θ between all units of all samples: array[n·k, n·k]."""
        rows = self.derivatives(weights, inputs)
        theta: np.ndarray = rows @ rows.T
        return theta


@dataclass(frozen=True)
class Spectrum:
    """What a kernel says: eigenvalues, the largest first, and how far it is from another one."""

    eigenvalues: np.ndarray
    moved: float

    @classmethod
    def of(cls, theta: np.ndarray, first: np.ndarray) -> Spectrum:
        """`first`: the kernel before the training; `moved` is ‖Θ − Θ₀‖ / ‖Θ₀‖, in the norm of all entries."""
        values = np.linalg.eigvalsh(theta)[::-1]
        scale = float(np.linalg.norm(first))
        return cls(values, float(np.linalg.norm(theta - first)) / scale if scale > 0 else 0.0)

    @property
    def condition(self) -> float:
        """The largest eigenvalue over the smallest: how much slower than the first the last direction is learned."""
        least = float(self.eigenvalues[-1])
        return float(self.eigenvalues[0]) / least if least > 0 else float("inf")


def _layer(graph: Graph, layer: str | None) -> str:
    if layer is None:
        needed = graph.needed([graph.loss] if graph.loss else graph.outputs)
        if not (known := [name for name in graph.outputs if name in needed]):
            raise InputError(f"the loss of '{graph.name}' depends on no layer; name a family by its layer")
        layer = known[-1]
    elif layer not in graph.outputs:
        hint = did_you_mean(layer, graph.outputs) or f"there are {', '.join(graph.outputs)}"
        raise InputError(f"'{graph.name}' has no layer '{layer}'; {hint}")
    if not graph.families[layer].batched:
        raise InputError(f"the layer '{layer}' does not depend on the sample")
    return layer


def _with_picked_loss(graph: Graph, layer: str) -> Graph:
    """The same network, whose loss is Σ pick · layer: with one 1 in `pick`, one unit of one sample."""
    family = graph.families[layer]
    changed = graph.copy(outputs=(layer,), metrics={}, updates={}, loss=PICKED)
    changed.arrays[PICK] = Array(PICK, "input", family.extents, batched=True)
    body = Load(PICK, family.axes) * Load(layer, family.axes, family.type)
    changed.families[PICKED] = Family(PICKED, (), body, Reduction("sum", family.axes), role="loss")
    return changed
