"""The whole page about a run.

In: `Material`: a history, figures, and as much of network, weights and samples as there is.  Out: HTML text.

    html = report(Material("digits-1", history, figures, settings, source, net.elaborated, …))

What cannot be computed (data that are no longer there, a network too large to be looked into) is left out, and the page says
why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnosis.layer_statistics import Looks, look_inside
from ..diagnosis.learning_rates import Curve, learning_rates
from ..diagnosis.predictions import Predictions, predict
from ..training.history import Figures, History
from ..training.settings import TrainingPlan
from . import inside_section, network_section, predictions_section, run_section
from .curves import curves
from .page import Section, page

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.pipeline import Precision

Weights = Mapping[str, np.ndarray]


@dataclass
class Material:
    """What a report is made of.

    figures      part → figure → value, of the weights that were kept
    settings     what the run was made of (see run.py)
    weights      those that were kept; snapshots: those at some epochs
    parts        part → input → array; empty where what went on inside is not to be computed
    tokens       what the classes of a text stand for
    missing      why something is left out
    """

    name: str
    history: History
    figures: Mapping[str, Figures]
    settings: Mapping[str, Any]
    source: str
    network: Network | None = None
    plan: TrainingPlan = field(default_factory=TrainingPlan)
    weights: Weights = field(default_factory=dict)
    snapshots: Mapping[int, Weights] = field(default_factory=dict)
    parts: Mapping[str, Weights] = field(default_factory=dict)
    tokens: Sequence[str] | None = None
    precision: Precision = "float32"
    threads: int | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        return self.plan.seed

    @property
    def judged(self) -> str:
        """The part whose samples the predictions are of: the one farthest from the training."""
        return next((part for part in ("test", "validation", "train") if part in self.parts), "")


def report(material: Material) -> str:
    """The page."""
    network = material.network
    looks = _tried(material, "the layers", _look) if material.snapshots and material.parts else None
    found = _tried(material, "the predictions", _predict) if material.parts and material.weights else None
    rates = _tried(material, "the learning rate", _rates) or {}
    sections = [Section("curves", "Curves", curves(material.history, rates))]
    if found is not None and network is not None:
        html = predictions_section.predictions(found, network.graph, material.tokens)
        about = f"<p>Of the {material.judged} part.</p>" if html else ""
        sections.append(Section("predictions", "Predictions", about + html))
    if looks is not None:
        sections += [
            Section("activations", "Activations", inside_section.activations(looks)),
            Section("gradients", "Gradients and weights", inside_section.gradients(looks)),
            Section("distributions", "Distributions", inside_section.distributions(looks)),
        ]
    if network is not None:
        if material.weights:
            html = predictions_section.first_layer(network.graph, material.weights)
            sections.append(Section("first-weights", "First weights", html))
        sections += [
            Section("graph", "Graph", network_section.graph(network)),
            Section("sizes", "Sizes", network_section.sizes(network)),
            Section("equations", "Equations", network_section.equations(network)),
        ]
    sections += [
        Section("settings", "Settings", run_section.settings_table(material.settings)),
        Section("source", "Source", run_section.source(material.source)),
    ]
    weights = sum(v.size for name, v in material.weights.items() if _is_weight(network, name))
    head = run_section.summary(material.history, material.figures, material.settings, weights)
    head += "".join(f'<p class="note warning">{escape(line)}</p>' for line in material.missing)
    return page(material.name, head, sections)


def _is_weight(network: Network | None, name: str) -> bool:
    array = network.graph.arrays.get(name) if network is not None else None
    return array is not None and array.kind == "weight"


def _tried(material: Material, what: str, compute: Callable[[Material, Network], Any]) -> Any:
    """What is computed, or None and a line that says why not: whatever hinders a report, it is no fault of the training."""
    if material.network is None:
        return None
    try:
        return compute(material, material.network)
    except Exception as error:
        if os.environ.get("DLN_DEBUG"):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        material.missing.append(f"Without {what}: {reason}")
        return None


def _look(material: Material, network: Network) -> Looks:
    return look_inside(
        network,
        material.parts["train"],
        material.snapshots,
        precision=material.precision,
        seed=material.seed,
        threads=material.threads,
    )


def _predict(material: Material, network: Network) -> Predictions:
    return predict(
        network,
        material.weights,
        material.parts[material.judged],
        precision=material.precision,
        seed=material.seed,
        threads=material.threads,
    )


def _rates(material: Material, network: Network) -> dict[str, Curve]:
    return learning_rates(network, material.plan, material.history)
