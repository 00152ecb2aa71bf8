"""One training with everything that it leaves on the disk; nothing is printed here.

In: a network, its data, a run folder.  Out: weights, checkpoint, snapshots, log, report; the figures of every part.

    run = Run(net, net.load_data(), RunFolder.numbered(Path("runs"), "digits"), "digits.dln", {"epochs": "5"})
    run.train()
    run.finish()["test"]                          {"loss": 0.11, "accuracy": 0.97}
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .checkpoint import read_checkpoint
from .data.reading import TEXT, Data
from .errors import NothingToTrain, ResumeError, TrainingDiverged, TrainingInterrupted
from .resolved_source import resolved_sources
from .run_folder import RunFolder
from .training.history import Figures, History, Record
from .training.loop import OnProgress, TrainingState
from .training.settings import EQUATIONS
from .training.snapshots import Snapshots

if TYPE_CHECKING:
    from ..compiler.syntax import Call
    from .diagnosis.layer_statistics import Looks, Observer
    from .program import Network

#: What must be the same for a run to go on: everything that its bits depend on. (The number of epochs may change.)
SAME = (
    "network",
    "equations",
    "samples",
    "values",
    "optimizer",
    "changes",
    "batch",
    "seed",
    "order",
    "precision",
)
#: Bytes of the data that are looked at to see whether it is the same.
DATA_BYTES = 1 << 24


def prepare(file: str, settings: Mapping[str, str], threads: int | None, precision: str) -> Network:
    """The network of a file, its code for training made. Raises DiagnosticError, RunError where there is nothing to train."""
    from ..compiler.pipeline import front
    from .program import Network

    elaborated = front(file, settings, compiling=True)
    for what, there in (("loss", elaborated.graph.loss), ("train section", elaborated.train)):
        if there is None:
            raise NothingToTrain(f"'{file}' has no {what}, so there is nothing to train")
    net = Network(elaborated, Path(file).parent, precision=precision, threads=threads)  # type: ignore[arg-type]
    net.make_code("train", "evaluate")
    return net


class Run:
    """One run. `message` says why it ended before its time, if it did.

    settings   overrides of the file, as text
    resume     go on from what is in the folder
    """

    def __init__(
        self,
        net: Network,
        data: Data,
        folder: RunFolder,
        file: str,
        settings: Mapping[str, str],
        *,
        resume: bool = False,
    ):
        self.net, self.data, self.folder = net, data, folder
        self.started = time.perf_counter()
        self.settings = describe(net, file, settings, data)
        self.sources = resolved_sources(net.elaborated, settings)
        self.message = ""
        self.state = TrainingState()
        self.snapshots = Snapshots(folder.snapshots, net.saved_arrays(), net.plan.epochs)
        folder.clear_temporary()
        if resume:
            self.state = _resumed(folder, self.settings)
            self.snapshots.read(self.state.epoch)
        if not self.state.epoch:
            self.snapshots.kept[0] = net.saved_arrays()
        folder.write_sources(self.sources)
        folder.begin_log(self.settings, self.history.records)

    @property
    def history(self) -> History:
        return self.state.history

    def train(
        self,
        on_epoch: Callable[[Record], Any] | None = None,
        on_progress: OnProgress | None = None,
        *,
        traces: bool = True,
    ) -> bool:
        """Train; False where it was interrupted or diverged, and `message` says so: with `traces` also where that began."""

        again = False

        def each_epoch(record: Record) -> Any:
            nonlocal again
            if record.epoch > len(self.history) and not again:  # no longer the first training
                again = True
                self.folder.log("retrain", {"way": self.net.plan.retrain})
            self.folder.log("epoch", record.as_json())
            self.snapshots.see(self.state)
            return on_epoch(record) if on_epoch is not None else None

        try:
            self.net.train(
                self.data,
                state=self.state,
                on_epoch=each_epoch,
                on_progress=on_progress,
                keeper=self,
                traces=traces,
            )
        except (TrainingInterrupted, TrainingDiverged) as ending:
            self.message = str(ending)
        return not self.message

    def observer(self) -> Callable[[int], Looks]:
        """A function that looks at the layers after an epoch, with the weights as they are then."""
        observers: list[Observer] = []

        def observe(epoch: int) -> Looks:
            from .diagnosis.layer_statistics import Observer

            if not observers:  # compiled when first used
                net = self.net
                observers.append(
                    Observer(
                        net.elaborated, self.data["train"], precision=net.precision, seed=net.plan.seed,
                        threads=net.threads,
                    )
                )  # fmt: skip
            names = self.net.saved_arrays()
            observers[0].look(epoch, {n: v for n, v in self.state.current.items() if n in names})
            return observers[0].looks

        return observe

    # The keeper of a training's states (see training.py).

    def due(self) -> bool:
        return self.folder.due()

    def keep(self, state: TrainingState) -> None:
        """Write a checkpoint. It has the source with it: one file is enough to know what it is of."""
        self.folder.save_checkpoint(state, {**self.settings, "source": self.sources["network.dln"]})
        self.snapshots.write()

    def finish(self, *, inside: bool = True) -> dict[str, Any]:
        """Write everything that the run leaves, weights first. Returns its figures, by part, and how it went.

        inside   whether the report tells what went on inside of the network, which is computed anew
        """
        self.net.save(self.folder.weights)
        self.keep(self.state)
        figures = self._figures()
        content = {
            **figures,
            "epochs": len(self.history),
            "seconds": round(time.perf_counter() - self.started, 4),
            "compile_seconds": round(self.net.compile_seconds, 4),
            "best_epoch": self.history.best_epoch,
            "ending": self.history.ending,
            "folder": str(self.folder.path),
        }
        end = {key: value for key, value in content.items() if value == value}
        if self.history.retraining is not None:
            end["retraining"] = self.history.retraining.ending
        self.folder.log("end", end)
        self.folder.write_report(self._report(figures, inside and self.history.ending != "interrupted"))
        return content

    def _report(self, figures: Mapping[str, Figures], inside: bool) -> str:
        from .report.report import Material, report

        net, text = self.net, self.net.statistics.found.get(TEXT)
        return report(
            Material(
                self.folder.path.name,
                self.history,
                figures,
                self.settings,
                self.sources["network.dln"],
                net.elaborated,
                net.plan,
                net.saved_arrays(),
                self.snapshots.kept if inside else {},
                self.data.parts if inside else {},
                [str(token) for token in text["vocabulary"]] if text else None,
                net.precision,
                net.threads,
            )
        )

    def _figures(self) -> dict[str, Figures]:
        """Figures of the kept weights on every part. After Ctrl-C nothing is computed any more: those of the log serve."""
        history = self.history
        if history.ending != "interrupted":
            return {part: self.net.evaluate(self.data[part]) for part in self.data.parts}
        kept = history[history.best_epoch - 1] if history.best_epoch else None
        return {"train": kept.train, "validation": kept.validation} if kept else {}


def describe(net: Network, file: str, settings: Mapping[str, str], data: Data) -> dict[str, Any]:
    """What a run is made of, for its log, its checkpoint and its report."""
    plan = net.plan
    train = net.elaborated.train
    changes = [e for e in train.entries if e.key in (*EQUATIONS, "reduce")] if train is not None else []
    return {
        "file": Path(file).name,
        "path": str(Path(file).resolve()),
        "network": net.name,
        "equations": _of_equations(net),
        "data": data.description,
        "samples": dict(data.counts),
        "values": _of_values(data),
        "optimizer": _written(plan.optimizer),
        "batch": plan.batch or "all",
        "changes": "; ".join(" ".join(e.span.text.split()) for e in changes),
        "epochs": plan.epochs,
        "seed": plan.seed,
        "order": plan.order,
        "precision": net.precision,
        "overrides": dict(settings),
    }


def _written(call: Call) -> str:
    """A call as it would be written, with the arguments that overrides have put into it."""
    given = [value.span.text for value in call.arguments]
    given += [f"{name} = {value.span.text}" for name, value in call.named]
    return " ".join(f"{call.function}({', '.join(given)})".split())


def _of_equations(net: Network) -> str:
    """A checksum of the network's equations and of how its weights start."""
    from ..compiler.printing.listing import text

    graph = net.elaborated.graph
    total = hashlib.sha256(text(graph).encode())
    for array in graph.arrays.values():
        start = re.sub(
            r"serial=\d+", "", repr(array.initializer)
        )  # the numbers of axes are those of the process
        total.update(f"{array.name} {start} {array.frozen}".encode())
    for name, table in graph.tables.items():
        total.update(name.encode() + np.ascontiguousarray(table.values).tobytes())
    return total.hexdigest()[:16]


def _of_values(data: Data) -> str:
    """A checksum of the samples: of some rows, where there are many."""
    total = 0
    for part, arrays in data.parts.items():
        for name, array in arrays.items():
            every = max(1, array.nbytes // DATA_BYTES)
            total = zlib.crc32(
                np.ascontiguousarray(array[::every]).tobytes(), zlib.crc32(f"{part} {name}".encode(), total)
            )
    return f"{total:08x}"


def _resumed(folder: RunFolder, settings: Mapping[str, Any]) -> TrainingState:
    """The state of an earlier run, which must have been made with what its bits depend on."""
    if not folder.checkpoint.is_file():  # the run was broken off before its first checkpoint
        return TrainingState()
    state, earlier = read_checkpoint(folder.checkpoint)
    for key in SAME:
        if earlier.get(key) == settings[key]:
            continue
        if key in ("equations", "values"):
            what = "network: its equations" if key == "equations" else "data: its values"
            raise ResumeError(f"'{folder.path}' is the run of another {what} differ")
        raise ResumeError(f"the run was made with {key} {earlier.get(key)}, this asks for {settings[key]}")
    return state
