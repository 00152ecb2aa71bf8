"""Which inputs are drawn positive, and that a gradient can be checked with them."""

from __future__ import annotations

import json
from pathlib import Path

import dln
import numpy as np
import pytest
from dln.runtime.command_line import run
from dln.runtime.random_samples import positive_inputs, random_samples

FILE = """network n
input x[4]
input label: class[3]
input weight
layer score[3] = dense(x)
loss {loss}
"""


@pytest.mark.parametrize(
    ("loss", "positive"),
    [
        ("weighted_cross_entropy(score, label, weight)", {"weight"}),
        ("average[batch] weight * score[label]^2", set()),  # a factor may have either sign
        ("average[batch] weight^3 * sum[k] score[k]", set()),
        ("average[batch] weight^0.75 * sum[k] score[k]", {"weight"}),
        ("average[batch] weight^-2 * sum[k] score[k]", {"weight"}),
        ("average[batch] log(weight) * score[label]", {"weight"}),
        (
            "average[batch] score[label]^2 / (1 + (sum[k] score[k])^2 + weight)",
            set(),
        ),  # weights are in it too
        ("average[batch] (sum[k] score[k]) / (weight * sqrt(sum[i] x[i]^2))", {"weight", "x"}),
    ],
)
def test_what_is_divided_by_or_under_a_root_is_positive(loss: str, positive: set[str]) -> None:
    used = loss if "label" in loss else f"{loss} + 0 * average[batch] score[label]"
    used = used if "weight" in used else f"{used} + 0 * average[batch] weight"
    graph = dln.compile(FILE.format(loss=used)).elaborated.graph
    assert positive_inputs(graph) == positive
    samples = random_samples(graph, 200, seed=1)
    for name in ("x", "weight"):
        low, high = samples[name].min(), samples[name].max()
        assert (0.5 <= low < high <= 1.5) if name in positive else (low < -1 and high > 1)
    assert set(np.unique(samples["label"])) == {0, 1, 2}


def test_a_weighted_mean_has_gradients_of_the_usual_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "n.dln"
    file.write_text(FILE.format(loss="weighted_cross_entropy(score, label, weight)"))
    for seed in range(4):  # with weights of both signs Σ weight would be negative every other time
        assert run(["gradcheck", str(file), "--seed", str(seed), "--json"]) == 0
        weights = json.loads(capsys.readouterr().out)["weights"]
        assert all(0.01 < row["gradient"] < 10 for row in weights.values())
