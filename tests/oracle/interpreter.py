"""A NumPy interpreter of the syntax tree: every family evaluated by definition, with exact derivatives.

In: a `syntax.Module`, weights and inputs as dicts of arrays.  Out: values of all layers, the loss, the metrics, gradients.

    net = Interpreter(module)
    net.run(weights={"w": w}, inputs={"x": x}).outputs["h"]      → array (batch, 3)
    net.gradient(weights, inputs)                                → (loss, {"w": array like w})

It shares nothing with the compiler but the tree: no graph, no elaborator, no pass. An expression is evaluated at once at
all points of a grid: dimension 0 is the batch (extent 1 where nothing depends on it), then one dimension per index in
force. Derivatives are carried forward by `Dual`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx
import numpy as np
from dln.compiler import syntax
from dln.compiler.parse import parse
from dln.compiler.source import Source

from .dual import Dual
from .evaluation import Evaluation
from .expansion import Expansion
from .extents import ExtentSolver
from .names import full_name
from .scope import Field, OracleError, Scope

PRELUDE = Path(__file__).resolve().parents[2] / "grammar" / "prelude"


@functools.cache
def prelude() -> tuple[syntax.Module, ...]:
    """The layers that every file may use, as trees."""
    return tuple(parse(Source(str(p), p.read_text())) for p in sorted(PRELUDE.glob("*.dln")))


@dataclass
class Result:
    """All values of one evaluation. Arrays have the batch first; extent 1 where a value does not depend on it."""

    values: dict[Field, Dual] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    loss: float | None = None
    loss_tangent: np.ndarray | None = None
    metrics: dict[str, float] = field(default_factory=dict)


class Interpreter:
    def __init__(
        self,
        module: syntax.Module,
        libraries: tuple[syntax.Module, ...] = (),
        settings: dict[str, Any] | None = None,
        folder: Path | None = None,
    ):
        library = Scope()
        root = Scope(library)
        self.expansion = Expansion(root, settings, folder or Path())
        for other in libraries:
            self.expansion.declare(other.declarations, library)
        self.expansion.declare(module.declarations, root)
        ExtentSolver(self.expansion).solve()
        self.fields = self.expansion.fields
        instances = self.expansion.instances
        self.weights = {full_name(f, instances): f for f in self.fields if f.kind == "weight"}
        self.inputs = {f.name: f for f in self.fields if f.kind == "input"}
        self.states = {full_name(f, instances): f for f in self.fields if f.kind == "state"}
        self.order = self._components()

    def _components(self) -> list[list[Field]]:
        """Fields in an order in which each comes after what it reads; a recurrence is one group."""
        graph = networkx.DiGraph()
        graph.add_nodes_from(self.fields)
        for field_, sources in self.expansion.dependencies.items():
            graph.add_edges_from((source, field_) for source in sources)
        condensed = networkx.condensation(graph)
        groups = [
            sorted(condensed.nodes[n]["members"], key=self.fields.index)
            for n in networkx.lexicographical_topological_sort(condensed)
        ]
        return [g for g in groups if g[0].kind == "family"]

    def _batch(self, inputs: dict[str, np.ndarray]) -> int:
        return next((np.asarray(v).shape[0] for v in inputs.values()), 1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: weight.extents for name, weight in self.weights.items()}

    # ------------------------------------------------------------------------------------- evaluation

    def run(
        self,
        weights: dict[str, np.ndarray],
        inputs: dict[str, np.ndarray],
        tangents: dict[str, np.ndarray] | None = None,
        batch: int | None = None,
        states: dict[str, np.ndarray] | None = None,
        training: bool = False,
    ) -> Result:
        """Evaluate everything. `tangents`: weight → array (*shape, directions) of its derivative in each direction.

        states      the value of every state of the network
        training    what `training` means
        """
        evaluation = Evaluation(self.expansion, batch or self._batch(inputs), training)
        evaluation.supply(self.inputs, inputs, self.weights, weights, tangents or {})
        evaluation.supply({}, {}, self.states, states or {}, {})
        for group in self.order:
            if len(group) == 1 and group[0] not in self.expansion.dependencies[group[0]]:
                evaluation.values[group[0]] = evaluation.family(group[0])
            else:
                evaluation.recurrence(group)
        if any(np.isnan(evaluation.values[f].value).any() for f in self.expansion.losses):
            raise OracleError("the loss depends on a random number")
        result = Result(evaluation.values)
        for f in self.fields:
            if f.layer:
                result.outputs[f.name] = evaluation.values[f].value
        if self.expansion.losses:
            parts = [evaluation.batch_mean(evaluation.values[f]) for f in self.expansion.losses]
            result.loss = float(sum(float(p.value) for p in parts))
            carried = [p.tangent for p in parts if p.tangent is not None]
            result.loss_tangent = np.sum(carried, axis=0) if carried else None
        for name, f in self.expansion.metrics.items():
            result.metrics[name] = float(evaluation.batch_mean(evaluation.values[f]).value)
        return result

    def gradient(
        self, weights: dict[str, np.ndarray], inputs: dict[str, np.ndarray], chunk: int = 64
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The loss and its derivative by every entry of every weight, `chunk` directions at a time."""
        names = list(self.weights)
        sizes = [int(np.prod(self.weights[n].extents, dtype=int)) for n in names]
        total = sum(sizes)
        starts = np.cumsum([0, *sizes])
        flat = np.zeros(total)
        loss: float | None = None
        for low in range(0, max(total, 1), chunk):
            high = min(low + chunk, total)
            tangents = {}
            for name, start, size in zip(names, starts, sizes, strict=False):
                seeds = np.zeros((size, high - low))
                for k in range(max(low, start), min(high, start + size)):
                    seeds[k - start, k - low] = 1.0
                tangents[name] = seeds.reshape(*self.weights[name].extents, high - low)
            result = self.run(weights, inputs, tangents)
            if result.loss is None:
                raise OracleError("there is no loss")
            loss = result.loss
            if result.loss_tangent is not None:
                flat[low:high] = result.loss_tangent
        assert loss is not None
        parts = {
            name: flat[start : start + size].reshape(self.weights[name].extents)
            for name, start, size in zip(names, starts, sizes, strict=False)
        }
        return loss, parts
