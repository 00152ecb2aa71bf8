"""One process that trains one workload in one system, for as long as it is told to.

    python -m bench.worker SYSTEM WORKLOAD THREADS FOLDER

Commands come as lines on the standard input, answers go as JSON lines to the standard output:

    (start)       {"ready": true, "start_seconds": s, "compile_seconds": s, "multiply_adds": n of one step, where known}
    agree         {"losses": {way: loss over the first ten minibatches after one step on each}}
    measure S     {"microseconds": {way: median time of a training step over about S seconds}}
    quit          {"peak_rss_mb": n}

The dln worker writes FOLDER/WORKLOAD.npz: first weights and data, which the peers' workers read.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .workloads import AGREEMENT_STEPS, WORKLOADS, Workload


class System(Protocol):
    """What a worker can do with its system; a way is one manner to write the workload ('' where there is one)."""

    compile_seconds: float
    multiply_adds: int

    def agree(self) -> dict[str, float]: ...

    def measure(self, seconds: float) -> dict[str, float]: ...


class Dln:
    """dln, through its public Python interface. A step includes the gather of its minibatch from the resident data."""

    def __init__(self, workload: Workload, threads: int, folder: Path):
        import dln

        self.workload = workload
        begun = time.perf_counter()
        self.net = dln.load(workload.path, threads=threads, seed=0)
        self.net.make_code("train")
        self.compile_seconds = time.perf_counter() - begun
        self.multiply_adds = multiply_adds(self.net, workload.batch)
        self.arrays: dict[str, np.ndarray] = dict(self.net.load_data()["train"])
        weights = {f"weight:{name}": np.array(self.net.weights[name]) for name in self.net.weights}
        np.savez(
            folder / f"{workload.name}.npz", **weights, **{f"data:{n}": a for n, a in self.arrays.items()}
        )

    def agree(self) -> dict[str, float]:
        first = {name: a[: AGREEMENT_STEPS * self.workload.batch] for name, a in self.arrays.items()}
        self.net.train({"train": first}, epochs=1)
        return {"": self.net.evaluate(first)["loss"]}

    def measure(self, seconds: float) -> dict[str, float]:
        batch = self.workload.batch
        end = time.perf_counter() + seconds
        history = self.net.train(
            {"train": self.arrays}, epochs=10**9, on_epoch=lambda _: time.perf_counter() > end
        )
        return {"": statistics.median(batch / record.speed * 1e6 for record in history)}


def multiply_adds(net: Any, batch: int) -> int:
    """Of one training step: each connection forward, for its weight's gradient, and, where it does not read an input of the
    network, for the gradient of what it reads. The optimizer is left out."""
    from dln.compiler.mathematics.counts import count

    graph = net.elaborated.graph
    total = 0
    for row in count(graph).rows:
        members = [f for f in graph.families.values() if f.name.split(".")[0] == row.name]
        reads = {s for f in members for s in f.sources if s in graph.families}
        inner = any(s.split(".")[0] != row.name for s in reads)
        total += row.multiply_adds * (3 if inner else 2)
    return batch * total


class Peer:
    """A framework that steps from Python, one minibatch at a time; minibatches are laid out beforehand."""

    def __init__(self, models: Callable[[], Mapping[str, Any]]):
        begun = time.perf_counter()
        self.models = models()
        self.losses: dict[str, float] = {}
        self.compile_seconds, self.multiply_adds = 0.0, 0
        for way, model in self.models.items():
            for number in range(AGREEMENT_STEPS):
                model.step(number)
                if number == 0:
                    self.compile_seconds += time.perf_counter() - begun
            self.losses[way] = model.mean_loss(AGREEMENT_STEPS)
            begun = time.perf_counter()

    def agree(self) -> dict[str, float]:
        return self.losses

    def measure(self, seconds: float) -> dict[str, float]:
        figures = {}
        for way, model in self.models.items():
            times: list[float] = []
            end = time.perf_counter() + seconds / len(self.models)
            while not times or time.perf_counter() < end:
                begun = time.perf_counter()
                model.step(len(times))
                times.append(time.perf_counter() - begun)
            figures[way] = statistics.median(times) * 1e6
        return figures


def start(system: str, workload: Workload, threads: int, folder: Path) -> System:
    if system == "dln":
        return Dln(workload, threads, folder)
    with np.load(folder / f"{workload.name}.npz") as saved:
        weights = {n.removeprefix("weight:"): saved[n] for n in saved.files if n.startswith("weight:")}
        arrays = {n.removeprefix("data:"): saved[n] for n in saved.files if n.startswith("data:")}
    # A peer walks round the same few minibatches: it has no gather, so more of them would change nothing.
    arrays = {n: a[: 20 * workload.batch] for n, a in arrays.items()}
    if system == "jax":
        from . import peers_jax

        return Peer(lambda: peers_jax.models(workload, weights, arrays))
    from . import peers_torch

    compiled = system == "torch_compile"
    return Peer(lambda: peers_torch.models(workload, weights, arrays, compiled, threads))


def main() -> None:
    begun = time.perf_counter()
    name, workload_name, threads, folder = sys.argv[1:5]
    if hasattr(os, "sched_setaffinity"):  # as many cores as threads, for every system alike
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print must not get between the answers

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        system = start(name, WORKLOADS[workload_name], int(threads), Path(folder))
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}"[:500])
        raise
    started = time.perf_counter() - begun
    answer(
        ready=True,
        start_seconds=started,
        compile_seconds=system.compile_seconds,
        multiply_adds=system.multiply_adds,
    )
    for line in sys.stdin:
        match line.split():
            case ["agree"]:
                answer(losses=system.agree())
            case ["measure", seconds]:
                answer(microseconds=system.measure(float(seconds)))
            case ["quit"]:
                answer(peak_rss_mb=round(_peak_memory(), 1))
                return


def _peak_memory() -> float:
    """The most memory that this process held, in MiB. What getrusage tells is at least what the parent held when it began."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
