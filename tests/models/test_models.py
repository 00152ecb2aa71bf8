"""What holds true of every file in models/: it stands in the table, has no warnings, its gradient is right, it learns.

The figures of models/README.md are the tests beside this one. Finite differences are the oracle here.
"""

from __future__ import annotations

import re

import dln
import numpy as np
import pytest
from dln.compiler.pipeline import front, front_text
from dln.compiler.printing.equations import gradient_equations
from dln.runtime.program import Network
from dln.tests.models.given import MODELS, NAMES, REDUCED, path_of

#: Files that are not trained on random numbers here, and why.
NOT_TRAINED = {
    "deep_tanh": "its rate is 0: it shows what the first weights do",
    "double_descent": "newton solves for all samples at once, here for minibatches; test_basics.py trains it",
    **dict.fromkeys(
        (
            "adding_lstm",
            "char_gpt",
            "names_both_ways",
            "names_dilated",
            "pig_latin",
            "pig_latin_dot",
            "pig_latin_reversed",
            "pig_latin_transformer",
        ),
        "a step takes seconds to compile; its gradient is checked, and models of the same parts learn",
    ),
    "googlenet": "208 equations take ten seconds to compile; inception_net learns with the same block",
}
#: Steps of the differences. Near a kink of ReLU or of a maximum only the small ones see the derivative; where the loss is
#: smooth the large ones are more exact.
STEPS = (1e-5, 1e-7)


def test_the_table_lists_every_model() -> None:
    text = (MODELS / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"[{name}]({name}.dln)" in text


@pytest.mark.parametrize("page", ["README.md", "curriculum.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (MODELS / page).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert link.startswith("https://") or (MODELS / link).exists(), link


def test_the_example_of_the_readme_prints_what_the_readme_says() -> None:
    blocks = re.findall(
        r"^```\n(.*?)^```", (MODELS.parent / "README.md").read_text(encoding="utf-8"), re.M | re.S
    )
    source, printed = blocks[0], blocks[1]
    assert source.startswith("network shared_pair")
    equations = gradient_equations(front_text(source).graph)
    assert [e.text for e in equations] == printed.splitlines()
    dln.compile(source).train(epochs=1)


@pytest.mark.parametrize("name", NAMES)
def test_no_warnings(name: str) -> None:
    assert not front(path_of(name)).warnings


def random_arrays(net: dln.Network, count: int) -> dict[str, np.ndarray]:
    """Inputs that fit: classes drawn uniformly, numbers between 0 and 1."""
    draw = np.random.default_rng(0)
    return {
        a.name: draw.integers(a.classes, size=(count, *a.extents))
        if a.classes
        else draw.uniform(0, 1, (count, *a.extents))
        for a in net.elaborated.graph.inputs
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_symbolic_gradient_is_that_of_finite_differences(name: str) -> None:
    """Along random directions in every weight, in double precision: relative error at most 1e-6.

    The weights are moved off their first values, where zeros put many units at a kink. A difference of losses is no more
    exact than the last digits of the loss, divided by the step.
    """
    net = Network(
        front(path_of(name), REDUCED.get(name)), MODELS, precision="float64", purpose="gradient", capacity=4
    )
    draw = np.random.default_rng(1)
    for weight in net.weights:
        net.weights[weight][...] += 0.05 * draw.normal(size=net.weights[weight].shape)
    arrays = random_arrays(net, 6)
    loss, gradient = net.loss_and_gradient(**arrays)
    for weight, slope in gradient.items():
        start = np.array(net.weights[weight])
        for _ in range(2 if len(gradient) < 50 else 1):
            direction = draw.normal(size=start.shape)
            direction /= np.linalg.norm(direction)
            derived = float((slope * direction).sum())
            excess = []
            for step in STEPS:
                losses = []
                for sign in (1, -1):
                    net.weights[weight][...] = start + sign * step * direction
                    losses.append(net.evaluate(arrays)["loss"])
                measured = (losses[0] - losses[1]) / (2 * step)
                scale = max(abs(measured), float(np.linalg.norm(slope)))
                rounding = 4e-16 * abs(loss) / step
                excess.append(abs(derived - measured) - 1e-6 * scale - rounding)
            net.weights[weight][...] = start
            assert min(excess) <= 0, weight


@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name: str) -> None:
    """The loss falls over ten epochs of random data."""
    if name in NOT_TRAINED:
        pytest.skip(NOT_TRAINED[name])
    net = dln.load(path_of(name), batch=8, **REDUCED.get(name, {}))
    arrays = random_arrays(net, 64)
    before = net.evaluate(arrays)["loss"]
    net.train({"train": arrays, "validation": arrays}, epochs=10)
    assert net.evaluate(arrays)["loss"] < before
