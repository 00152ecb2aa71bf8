"""Minibatches that are too large to be computed in one piece: the gradient is gathered part by part, then one step is made.

In: an elaborated network, an optimizer.  Out: `GatheredExecution`, which trains as any other execution does.

    execution = gathered_execution(elaborated, optimizer, precision="float32", threads=2)
    execution.run("train", arrays, 0, 60_000, batch=60_000)

Two programs take part. One has the network with an optimizer that only notes slopes, for parts of `PART` samples. The other has
the optimizer with all else that the train section says, for a loss whose derivatives are the gathered ones: Σ w · G(w).
Where the loss is a mean over the samples, the mean of the parts' slopes weighted by their samples is the slope of the whole.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.mathematics.expression import Expression, Load, new_axis, real
from ..compiler.mathematics.graph import Array, Family, Graph, Reduction
from ..compiler.pipeline import Precision, compile_network
from ..compiler.syntax import Call
from .batch_coupling import coupling_of
from .execution import Execution, Totals

if TYPE_CHECKING:
    from ..compiler.elaborate import Network as Elaborated

#: Minibatches of more samples than this are gathered from parts, if they can be; and samples of a part.
LARGEST, PART = 4096, 1024
#: Leaves the weights alone, and notes their slopes.
NOTES = Call("outside", ())
#: No name of a file has a space in it.
GATHERED, TOTAL = "{} gathered", "weights times slopes"


def can_be_gathered(graph: Graph) -> bool:
    """Whether parts tell all about the whole: the loss and the metrics are means over the samples, and no state of the network
    changes with them."""
    if graph.loss is None or graph.updates or not graph.inputs:
        return False
    found = coupling_of(graph, training=True)
    return all(found[name] in ("mean", "constant") for name in (graph.loss, *graph.metrics.values()))


def is_gathered(graph: Graph, samples: int) -> bool:
    """Whether minibatches of so many samples are computed part by part."""
    return samples > LARGEST and can_be_gathered(graph)


def gathered_execution(
    elaborated: Elaborated, optimizer: Call, *, precision: Precision, threads: int | None
) -> GatheredExecution:
    """Both programs, compiled. Raises DiagnosticError."""
    plain = elaborated.with_graph(elaborated.graph, "without its train section")
    plain.train = None
    part = compile_network(plain, capacity=PART, precision=precision, optimizer=NOTES)
    slopes = {w: slope for w in part.graph.gradients if (slope := f"{w}.slope") in part.graph.arrays}
    graph = _with_gathered_loss(elaborated.graph, list(slopes))
    changed = elaborated.with_graph(graph, "with its slopes given")
    whole = compile_network(changed, capacity=1, precision=precision, optimizer=optimizer)
    return GatheredExecution(elaborated, Execution(part, threads), Execution(whole, threads), slopes)


class GatheredExecution(Execution):
    """What trains with minibatches of any size. Weights and states lie where the optimizer's program has them."""

    def __init__(self, elaborated: Elaborated, part: Execution, whole: Execution, slopes: Mapping[str, str]):
        self.part, self.whole, self.slopes = part, whole, slopes
        self.memory, self.threads, self.kept = whole.memory, whole.threads, whole.kept
        # The optimizer's arrays, but the figures and the routines of the network.
        own = elaborated.graph
        graph = whole.compiled.graph.copy(
            loss=own.loss, metrics=dict(own.metrics), families=dict(own.families)
        )
        self.compiled = replace(whole.compiled, network=elaborated, graph=graph)
        self.program = copy.copy(part.program)
        object.__setattr__(self.program, "placements", whole.program.placements)
        self.step = self.seed = 0
        self._paces = {}

    def run(
        self,
        routine: str,
        arrays: Mapping[str, np.ndarray],
        start: int,
        stop: int,
        *,
        totals: Totals | None = None,
        batch: int | None = None,
        epoch: int = 0,
        training: bool = False,
        **options: Any,
    ) -> int:
        """As of any execution; 'train' makes one step for every `batch` samples."""
        totals = totals or Totals(self.program.routines[routine].results)
        held = self.part.memory.program.placements
        more: dict[str, Any] = {"epoch": epoch, "training": training, **options}
        self.part.seed = self.whole.seed = self.seed
        done, batch = start, batch or PART
        while done < stop:
            end = stop if routine != "train" else min(stop, done + batch)
            self.part.memory.put_back({n: self.memory.view(n) for n in self.kept if n in held})
            sums = Totals(totals.names)
            if self._parts(routine, arrays, done, end, sums, more) < end:
                return done
            if routine == "train":
                self.whole.step = self.step
                self.whole.run("train", {}, 0, 1, epoch=epoch, training=training)
                self.step = self.whole.step
            totals.sums += sums.sums
            done = end
        return done

    def _parts(
        self,
        routine: str,
        arrays: Mapping[str, np.ndarray],
        start: int,
        stop: int,
        totals: Totals,
        more: dict[str, Any],
    ) -> int:
        """A routine of the network on these samples; of 'train' the gathered slopes. Returns how far it came."""
        slopes = {w: np.zeros(self.memory.view(w).shape) for w in self.slopes} if routine == "train" else {}
        for begin in range(start, stop, PART):
            end = min(stop, begin + PART)
            self.part.step = self.step  # of all parts the same
            done = self.part.run(routine, arrays, begin, end, totals=totals, batch=PART, **more)
            if done < end:
                return done
            for weight, sums in slopes.items():
                sums += (end - begin) / (stop - start) * self.part.memory.view(self.slopes[weight])
        for weight, sums in slopes.items():
            self.memory.view(GATHERED.format(weight))[...] = sums
        return stop


def _with_gathered_loss(graph: Graph, weights: list[str]) -> Graph:
    """The same arrays, and a loss whose derivative by each weight is a state of the weight's shape."""
    changed = graph.copy(outputs=(), metrics={}, updates={}, loss=TOTAL)
    total: Expression = real(0)
    for weight in weights:
        name, extents = GATHERED.format(weight), graph.arrays[weight].extents
        changed.arrays[name] = Array(name, "state", extents)
        axes = tuple(new_axis(f"i{k}", extent) for k, extent in enumerate(extents))
        product = Load(weight, axes) * Load(name, axes)
        if axes:
            changed.add(Family(f"{name} times", (), product, Reduction("sum", axes)))
            product = Load(f"{name} times", ())
        total = total + product
    changed.add(Family(TOTAL, (), total, role="loss"))
    return changed
