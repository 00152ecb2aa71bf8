"""`python -m bench`: every workload in dln, PyTorch (eager and compiled) and JAX, side by side.

Each system runs in a process of its own with the same number of cores. The processes of a workload stand ready together and
are measured in turn, several rounds, so that whatever disturbs the machine disturbs all of them. A figure is the median over
the rounds of the median time of a training step: forward, backward and update.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peak import Peak
from .workloads import AGREEMENT_STEPS, WORKLOADS, Workload

PEERS = ("torch_eager", "torch_compile", "jax")


@dataclass
class Result:
    """What came out for one workload: microseconds a step, by system."""

    workload: str
    dln_us: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    ratio: float | None = None
    peak_fraction: float | None = None
    compile_seconds: float | None = None
    cached_compile_seconds: float | None = None
    peak_rss_mb: float | None = None
    cached_peak_rss_mb: float | None = None
    peer_rss_mb: dict[str, float] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


def ordinary_environment() -> dict[str, str]:
    """This process's environment, with Python's own cache of compiled modules in use, as it is where a package is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def compile_modules() -> None:
    """Compile a network once and throw it away: Python then has the modules of dln in its cache, as an installed package has.

    Compile times are those of a network, in a process that is new and knows nothing of it, not those of dln's own sources.
    """
    smallest = min(WORKLOADS.values(), key=lambda workload: workload.path.stat().st_size)
    command = f"import dln; dln.load({str(smallest.path)!r}).make_code('train')"
    subprocess.run(
        [sys.executable, "-c", command],
        env=ordinary_environment() | {"DLN_CACHE": "off"},
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        check=False,
    )


class Worker:
    """A process of worker.py, talked to line by line."""

    def __init__(self, system: str, workload: Workload, threads: int, folder: str, cache: str):
        self.system = system
        environment = ordinary_environment()
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "DLN_THREADS"):
            environment[name] = str(threads)
        environment["DLN_CACHE"] = cache
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", system, workload.name, str(threads), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None if _VERBOSE else subprocess.DEVNULL,
            text=True, env=environment, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        self.ready = self._answer()

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer. Between commands the process is stopped, so that no idle thread of it
        spins while another system is measured."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"error": "the process ended"}
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line) if line else {"error": "the process ended"}

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


_VERBOSE = False


def run(
    workload: Workload,
    systems: list[str],
    arguments: argparse.Namespace,
    folder: str,
) -> Result:
    """Measure one workload in all systems. What fails is noted and left out."""
    result = Result(workload.name)
    threads = min(arguments.threads, workload.threads or arguments.threads)
    cache = str(Path(folder) / f"cache-{workload.name}")
    workers: dict[str, Worker] = {}
    times: dict[str, list[float]] = {}
    losses: dict[str, float] = {}
    peak, peaks = Peak(threads), []
    try:
        for system in systems:
            worker = Worker(system, workload, threads, folder, cache)
            if "error" in worker.ready:
                result.errors[system] = worker.ready["error"]
                worker.close()
                if system == "dln":
                    return result
                continue
            workers[system] = worker
            for way, loss in worker.ask("agree").get("losses", {}).items():
                losses[_label(system, way)] = loss
        for _ in range(arguments.rounds):
            for system, worker in workers.items():
                answer = worker.ask(f"measure {arguments.seconds}")
                if "error" in answer:
                    result.errors[system] = answer["error"]
                for way, microseconds in answer.get("microseconds", {}).items():
                    times.setdefault(_label(system, way), []).append(microseconds)
                if system == "dln":
                    peaks.append(peak.measure(arguments.seconds / 2))
        result.compile_seconds = round(workers["dln"].ready["compile_seconds"], 4)
        for system, worker in workers.items():
            memory = worker.ask("quit").get("peak_rss_mb")
            if system == "dln":
                result.peak_rss_mb = memory
            elif memory is not None:
                result.peer_rss_mb[system] = memory
        again = Worker("dln", workload, threads, folder, cache)
        result.cached_compile_seconds = round(again.ready.get("compile_seconds", 0.0), 4)
        again.ask("agree")  # ten steps and an evaluation: memory counts when it has been used
        result.cached_peak_rss_mb = again.ask("quit").get("peak_rss_mb")
        again.close()
    finally:
        for worker in workers.values():
            worker.close()
    medians = {label: statistics.median(values) for label, values in times.items()}
    result.dln_us = medians.pop("dln", None)
    result.peers = {label: round(us, 2) for label, us in medians.items()}
    if result.dln_us and result.peers:
        result.ratio = round(min(result.peers.values()) / result.dln_us, 3)
    if result.dln_us:
        rate = workers["dln"].ready["multiply_adds"] / (result.dln_us * 1e-6)
        result.peak_fraction = round(rate / statistics.median(peaks), 3)
    for label, loss in losses.items():
        if abs(loss - losses["dln"]) > 1e-4 * max(1.0, abs(losses["dln"])):
            result.disagreements.append(f"{label}: {loss:.6g}, dln: {losses['dln']:.6g}")
    return result


def _label(system: str, way: str) -> str:
    return f"{system} ({way})" if way else system


def report(results: list[Result], arguments: argparse.Namespace) -> str:
    """The table, as Markdown."""
    labels = list(dict.fromkeys(label.split(" (")[0] for r in results for label in r.peers))
    head = [
        "workload",
        "dln µs",
        *(f"{label} µs" for label in labels),
        "ratio",
        "of peak",
        "compile s",
        "cached s",
        "dln MB",
        "cached MB",
        "peer MB",
    ]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for r in results:
        best = {
            label: min((us for k, us in r.peers.items() if k.split(" (")[0] == label), default=None)
            for label in labels
        }
        rss = min(r.peer_rss_mb.values(), default=None)
        fraction = "" if r.peak_fraction is None else f"{r.peak_fraction:.0%}"
        row = [r.workload, _number(r.dln_us), *(_number(best[label]) for label in labels)]
        row += [
            _number(r.ratio, "×"),
            fraction,
            _number(r.compile_seconds),
            _number(r.cached_compile_seconds),
        ]
        rows.append([*row, _number(r.peak_rss_mb), _number(r.cached_peak_rss_mb), _number(rss)])
    widths = [max(len(row[c]) for row in rows) for c in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    for r in results:
        lines += [
            f"{r.workload}: the losses after {AGREEMENT_STEPS} steps differ: {d}" for d in r.disagreements
        ]
        lines += [f"{r.workload}: {system} failed: {error}" for system, error in r.errors.items()]
    how = f"{arguments.threads} threads at most, {arguments.rounds} rounds of {arguments.seconds:g} s"
    lines.append(
        f"{how}; ratio = best peer / dln; of peak: of as many threads' multiply-adds, measured in turn"
    )
    return "\n".join(lines)


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    return (f"{value:,.0f}" if value >= 1000 else f"{value:.3g}") + unit


def main() -> int:
    global _VERBOSE
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"some of {', '.join(WORKLOADS)}")
    parser.add_argument("--no-peers", action="store_true", help="measure dln alone")
    parser.add_argument(
        "--peers", default=",".join(PEERS), metavar="NAME,…", help=f"some of {', '.join(PEERS)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each system is measured (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each time (default 1)")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument("--verbose", action="store_true", help="show what the processes print")
    arguments = parser.parse_args()
    _VERBOSE = arguments.verbose
    names = arguments.only.split(",") if arguments.only else list(WORKLOADS)
    peers = [] if arguments.no_peers else arguments.peers.split(",")
    for name, known in [(n, WORKLOADS) for n in names] + [(p, PEERS) for p in peers]:
        if name not in known:
            parser.error(f"unknown name '{name}'; there are {', '.join(known)}")
    results: list[Result] = []
    compile_modules()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            results.append(run(WORKLOADS[name], ["dln", *peers], arguments, folder))
            if not arguments.json:
                print(f"{name}: {results[-1].dln_us or 'failed'}", file=sys.stderr)
    if arguments.json:
        print(json.dumps([vars(r) for r in results], indent=2))
    else:
        print(report(results, arguments))
    # One peer that differs from dln and the other peers alike is its own affair; the table says so.
    wrong = any("dln" in r.errors or 2 * len(r.disagreements) > len(r.peers) for r in results)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
