"""Files that hold weights, and files that hold everything a training needs to go on.

In: arrays by name, a `TrainingState`.  Out: safetensors files that are never torn, and what they held.

    write_weights(path, {"hidden.w": array}, {"network": "digits"})
    read_weights(path)                              {"hidden.w": array}
    write_checkpoint(path, state);  read_checkpoint(path)

A file is written under another name in the same folder, flushed to the disk, and renamed: whoever looks sees the old file
or the new one, whole. Every file carries the SHA-256 of its content. A checkpoint holds weights, states, the place in the
data, the figures so far and the source; every draw depends on seed, epoch and step alone. So a training that goes on from one
ends in the same bits as one that was never broken off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import WeightError
from .training.history import History, Record
from .training.loop import TrainingState


def write_atomically(path: str | Path, content: bytes) -> None:
    """Replace a file by new content; it is never seen half written. Raises OSError."""
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        error.filename = str(path)  # not that of a file which nobody knows
        raise
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_weights(path: str | Path, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
    """Write arrays and a description as safetensors; equal content gives equal bytes. Raises OSError."""
    from safetensors.numpy import save

    # ascontiguousarray gives a single number an axis.
    ordered = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in arrays.items()}
    # One entry, since the library writes several in an order that changes from run to run.
    about = {**description, "sha256": digest(ordered, description)}
    write_atomically(path, save(ordered, {"dln": json.dumps(about)}))


def digest(arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values in the order of the names, and of the description."""
    total = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(arrays):
        value = arrays[name]
        total.update(f"{name} {value.dtype.str} {value.shape}".encode())
        total.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file. Raises WeightError where it is none, OSError where it cannot be read."""
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of a file; a file of another program has no description, and no checksum."""
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise WeightError(f"'{path}' is a folder; name the file, for instance weights.safetensors")
    with path.open("rb"):  # a missing or unreadable file is an OSError that names it
        pass
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        description = json.loads(metadata["dln"]) if "dln" in metadata else {}
        wanted = description.pop("sha256", None)
        if wanted is not None and digest(arrays, description) != wanted:
            raise ValueError("its checksum is that of other content")
        return arrays, description
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise WeightError(f"'{path}' is not a whole safetensors file: {error}") from None


def check_names(saved: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], where: str) -> None:
    """Raise a WeightError that lists everything about saved arrays which does not fit."""
    problems = []
    if missing := [n for n in expected if n not in saved]:
        problems.append(f"missing: {_listed(missing)}")
    if unexpected := [n for n in saved if n not in expected]:
        problems.append(f"unexpected: {_listed(unexpected)}")
    shapes = [
        f"{name} should have shape {expected[name].shape}, has {value.shape}"
        for name, value in saved.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if shapes:
        problems.append(_listed(shapes, "; "))
    kinds = [f"{n} ({v.dtype})" for n, v in saved.items() if v.dtype.kind not in "fiub"]
    if kinds:
        problems.append(f"not numbers: {_listed(kinds)}")
    if problems:
        raise WeightError(f"{where} does not fit the network: " + "; ".join(problems))


def _listed(names: list[str], separator: str = ", ") -> str:
    more = len(names) - 10
    return separator.join(names[:10]) + (f"{separator}and {more} more" if more > 0 else "")


# ---------------------------------------------------------------------------------------------- checkpoints


def write_checkpoint(path: str | Path, state: TrainingState, settings: Mapping[str, Any]) -> None:
    """Write a training's state. `settings` come back as they are."""
    arrays = {f"current/{name}": value for name, value in state.current.items()}
    arrays |= {f"best/{name}": value for name, value in state.best.items()}
    arrays |= {f"remembered/{name}": value for name, value in state.remembered.items()}
    history = state.history
    arrays |= {f"history/{name}": value for name, value in _as_arrays(history.records).items()}
    if state.done:
        arrays["sums"] = state.sums
    description = {
        "epoch": state.epoch,
        "done": state.done,
        "step": state.step,
        "waited": state.waited,
        "best_value": repr(state.best_value),  # infinity is not JSON
        "best_epoch": history.best_epoch,
        "ending": history.ending,
        "seconds": history.seconds,
        "settings": dict(settings),
    }
    write_weights(path, arrays, description)


def read_checkpoint(path: str | Path) -> tuple[TrainingState, dict[str, Any]]:
    """A training's state and its settings. Raises WeightError, OSError."""
    arrays, held = _read(Path(path))

    def part(name: str) -> dict[str, np.ndarray]:
        return {n.removeprefix(name): a for n, a in arrays.items() if n.startswith(name)}

    try:
        history = History(
            _as_records(part("history/")),
            held["best_epoch"],
            # Only a training that ended by itself stays ended.
            "early" if held["ending"] == "early" else "",
            held["seconds"],
        )
        state = TrainingState(
            held["epoch"],
            held["step"],
            part("current/"),
            held["waited"],
            float(held["best_value"]),
            part("best/"),
            history,
            held["done"],
            arrays["sums"] if held["done"] else np.zeros(0),
            part("remembered/"),
        )
        return state, dict(held["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightError(f"'{path}' is not a checkpoint: {error!r}") from None


#: The plain fields of a `Record`, with their types, and those that hold figures by name.
_PLAIN: dict[str, type[int] | type[float]] = {"epoch": int, "step": int, "seconds": float, "speed": float}
_FIGURES = ("train", "validation")


def _as_arrays(records: list[Record]) -> dict[str, np.ndarray]:
    """The records column by column: a hundred thousand epochs are written in a moment."""
    if not records:
        return {}
    columns = {name: np.array([getattr(r, name) for r in records], kind) for name, kind in _PLAIN.items()}
    for part in _FIGURES:
        for figure in getattr(records[-1], part):
            values = [getattr(r, part).get(figure, np.nan) for r in records]
            columns[f"{part}/{figure}"] = np.array(values, np.float64)
    return columns


def _as_records(columns: Mapping[str, np.ndarray]) -> list[Record]:
    if not columns:
        return []
    plain = {name: columns[name].tolist() for name in _PLAIN}
    figures = {
        part: {n.partition("/")[2]: c.tolist() for n, c in columns.items() if n.startswith(f"{part}/")}
        for part in _FIGURES
    }
    return [
        Record(
            **{name: values[k] for name, values in plain.items()},
            **{part: {f: values[k] for f, values in by.items()} for part, by in figures.items()},  # type: ignore[arg-type]
        )
        for k in range(len(plain["epoch"]))
    ]
