"""The report of a run that lies on the disk.

In: the folder of a run.  Out: `Material`.

    html = report(material_of(Path("runs/digits-1")))

The network is that of the resolved source in the folder; the data are read anew, from where the run had read them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...compiler.source import DiagnosticError
from ..checkpoint import read_weights
from ..data.fitted_calls import PREFIX, FittedStatistics
from ..data.reading import TEXT
from ..errors import RunError
from ..training.history import History, Record
from ..training.snapshots import read_snapshots
from .report import Material


def material_of(folder: Path, *, inside: bool = True, threads: int | None = None) -> Material:
    """Everything that the folder tells. Raises RunError where it is none, or its source no longer compiles.

    inside   whether what went on inside of the network is to be computed
    """
    settings, history, figures = read_log(folder)
    source = folder / "network.dln"
    text = source.read_text() if source.is_file() else ""
    material = Material(folder.resolve().name, history, figures, settings, text, threads=threads)
    if not text:
        material.missing.append("The folder has no network.dln.")
        return material
    _add_network(material, source)
    _add_weights(material, folder)
    if inside:
        _add_data(material, folder)
    return material


def read_log(folder: Path) -> tuple[dict[str, Any], History, dict[str, Any]]:
    """Settings, history and figures of a log. Raises RunError."""
    path = folder / "log.jsonl"
    if not path.is_file():
        raise RunError(f"'{folder}' is not the folder of a run: it has no log.jsonl")
    try:
        events = [json.loads(line) for line in path.read_text().splitlines()]
        begin, *others = events
        kinds = [e["event"] for e in others]
        second = kinds.index("retrain") if "retrain" in kinds else len(kinds)
        end: dict[str, Any] = next((e for e in others if e["event"] == "end"), {})
        history = _history(others[:second], end.get("best_epoch", 0), end.get("ending", ""))
        if second < len(kinds) or "retraining" in end:
            history.retraining = _history(others[second:], 0, end.get("retraining", ""))
            history.ending = history.ending or "epochs"
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"'{path}' is not the log of a run: {error!r}") from None
    figures = {part: end[part] for part in ("train", "validation", "test") if end.get(part)}
    return _without_event(begin), history, figures


def _history(events: list[dict[str, Any]], best: int, ending: Any) -> History:
    records = [Record(**_without_event(e)) for e in events if e["event"] == "epoch"]
    return History(records, best, ending, records[-1].seconds if records else 0.0)


def _without_event(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "event"}


def _add_network(material: Material, source: Path) -> None:
    from ...compiler.pipeline import front
    from ..training.settings import read_plan

    try:
        network = front(source, {})
        material.network, material.plan = network, read_plan(network)
    except DiagnosticError as error:
        raise RunError(f"the source of the run no longer compiles:\n{error}") from None
    if material.settings.get("precision") == "float64":
        material.precision = "float64"


def _add_weights(material: Material, folder: Path) -> None:
    """The weights that were kept, and those of some epochs."""
    weights, snapshots = folder / "weights.safetensors", folder / "snapshots.safetensors"
    if snapshots.is_file():
        material.snapshots = read_snapshots(snapshots)
    if weights.is_file():
        found = read_weights(weights)
        material.weights = {name: v for name, v in found.items() if not name.startswith(PREFIX)}
    elif material.snapshots:
        material.weights = material.snapshots[max(material.snapshots)]
    if not material.weights:
        material.missing.append("The folder has no weights yet.")


def _add_data(material: Material, folder: Path) -> None:
    """The samples of every part, and what the classes of a text stand for."""
    from ..data.reading import Data, load_data

    assert material.network is not None
    place = Path(material.settings.get("path") or folder).parent
    if material.network.data is None and not material.network.graph.inputs:
        material.parts = Data({"train": {}}).parts
        return
    try:
        weights = folder / "weights.safetensors"
        known = FittedStatistics.restored(read_weights(weights)) if weights.is_file() else None
        data = load_data(
            material.network, material.precision, place, known if known is not None and known.found else None
        )
    except (DiagnosticError, RunError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        material.missing.append(f"The data cannot be read, so that what went on inside is left out: {reason}")
        return
    material.parts = data.parts
    vocabulary = data.statistics.found.get(TEXT)
    material.tokens = [str(t) for t in vocabulary["vocabulary"]] if vocabulary else None
