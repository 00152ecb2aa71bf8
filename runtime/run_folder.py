"""The folder that a training leaves behind.

In: a place, a network's name.  Out: `RunFolder`, with its files

    weights.safetensors      the weights to use
    checkpoint.safetensors   everything `--resume` needs, as of the end of an epoch
    snapshots.safetensors    the weights at some epochs, for `dln report`
    log.jsonl                one JSON object per line: the start, every epoch, the end
    network.dln              the source with its overrides written in, and what it imports beside it
    report.html              curves, figures, settings

    folder = RunFolder.numbered(Path("runs"), "digits")        runs/digits-1, or the next number that is free
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .checkpoint import write_atomically, write_checkpoint
from .errors import RunError
from .training.history import Record
from .training.loop import TrainingState

#: Seconds between two checkpoints (a tiny network has a thousand epochs in that time), unless $DLN_CHECKPOINT_SECONDS says
#: otherwise; and between two writings of the log.
CHECKPOINT_SECONDS, LOG_SECONDS = 5.0, 1.0
#: At most this share of the time goes into writing them.
WRITING_SHARE = 0.02

FILES = (
    "weights.safetensors",
    "checkpoint.safetensors",
    "snapshots.safetensors",
    "log.jsonl",
    "network.dln",
    "report.html",
)


class Pace:
    """When it is time to write again: `with pace:` around the writing measures what it takes."""

    def __init__(self, seconds: float):
        self.seconds = self.pause = seconds
        self.written = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.written >= self.pause

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *unused: object) -> None:
        self.written = time.monotonic()
        self.pause = max(self.seconds, (self.written - self._started) / WRITING_SHARE)


def _checkpoint_seconds() -> float:
    try:
        return float(os.environ.get("DLN_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS))
    except ValueError:
        return CHECKPOINT_SECONDS


class RunFolder:
    """One run's folder, which exists."""

    def __init__(self, path: Path):
        self.path = path
        self._checkpoint_pace, self._log_pace = Pace(_checkpoint_seconds()), Pace(LOG_SECONDS)
        self._log: list[str] = []

    @classmethod
    def numbered(cls, parent: Path, name: str) -> RunFolder:
        """A new folder NAME-1, NAME-2, … in `parent`: safe against another run that starts at the same time."""
        try:
            parent.mkdir(parents=True, exist_ok=True)
            number = 1
            while True:
                path = parent / f"{name}-{number}"
                try:
                    path.mkdir()
                    return cls(path)
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise RunError(f"cannot make a run folder in '{parent}': {error.strerror}") from None

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """A folder of the caller's choice; files of an earlier run there are replaced, its checkpoint at once."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK | os.X_OK):
                raise RunError(f"cannot write to the folder '{path}'")
            for name in ("checkpoint.safetensors", "snapshots.safetensors"):
                (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder '{path}': {error.strerror}") from None
        return cls(path)

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots.safetensors"

    @property
    def log_file(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    # ------------------------------------------------------------------------------------------------- log

    def begin_log(self, settings: Mapping[str, Any], records: list[Record]) -> None:
        """Start the log with the settings and, for a run that goes on, the epochs that are done."""
        lines = [{"event": "start", **settings}]
        lines += [{"event": "epoch", **record.as_json()} for record in records]
        self._log = [json.dumps(line) + "\n" for line in lines]
        self.flush()

    def log(self, event: str, content: Mapping[str, Any]) -> None:
        """Add a line. The file is replaced as a whole, once a second (or less often, where that takes long) and at the end."""
        self._log.append(json.dumps({"event": event, **content}) + "\n")
        if event != "epoch" or self._log_pace.due():
            self.flush()

    def flush(self) -> None:
        """Write the lines that are still waiting."""
        with self._log_pace:
            self._write("log.jsonl", "".join(self._log))

    # ----------------------------------------------------------------------------------------------- files

    def due(self) -> bool:
        """Whether the last checkpoint is a while ago."""
        return self._checkpoint_pace.due()

    def save_checkpoint(self, state: TrainingState, settings: Mapping[str, Any]) -> None:
        """Write the training's state."""
        with self._checkpoint_pace:
            write_checkpoint(self.checkpoint, state, settings)

    def clear_temporary(self) -> None:
        """Remove what a killed process had begun to write under another name."""
        for name in FILES:
            for leftover in self.path.glob(f".{name}.????????"):
                leftover.unlink(missing_ok=True)

    def write_sources(self, files: Mapping[str, str]) -> None:
        """The resolved source and what it imports: relative path → text."""
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._write(name, text)

    def write_report(self, html: str) -> None:
        self._write("report.html", html)

    def _write(self, name: str, text: str) -> None:
        try:
            write_atomically(self.path / name, text.encode())
        except OSError as error:
            raise RunError(f"cannot write '{self.path / name}': {error.strerror}") from None
