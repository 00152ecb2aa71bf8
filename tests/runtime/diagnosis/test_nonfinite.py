"""A NaN or an infinity stops the training, and the message names the equation, its line, and the sample."""

from __future__ import annotations

from pathlib import Path

import dln
import pytest
from dln.runtime.checkpoint import read_checkpoint, read_weights
from dln.runtime.command_line import run
from dln.runtime.errors import TrainingDiverged
from dln.runtime.initialize import generator

#: Twelve samples, of which the eighth is the one that hurts.
FILE = """network wrong
input  x[2]
input  t
{equations}
loss   (p - t)^2
data {{
  from  [{rows}]
  x     = columns(data, 0, 2)
  t     = data[2]
  order fixed
  {split}
}}
train {{
  optimizer {optimizer}
  batch     {batch}
  epochs    3
  order     fixed
}}
"""
GOOD, BAD = [1.0, 2.0, 0.5], {"log": [3.0, 0.0, 1.0], "exp": [400.0, 1.0, 1.0], "division": [1.0, 1.0, 1.0]}
#: The equation of p, which spoils on the bad row alone; what it becomes there; what the help says.
EQUATIONS = {
    "log": ("let p = log(2 * w - x[0])", "'p' became NaN", "'w' is 1, 'x'[0] is 3"),
    "exp": ("let p = w * sum[i] exp(x[i])", "a sum of 'p' became ∞", "'x' up to 400"),
    "division": ("let p = w / (x[0] - x[1])", "'p' became ∞", "'x'[0] is 1, 'x'[1] is 1"),
}


def text(
    equations: str, bad: list[float], *, optimizer: str = "sgd(rate = 0)", split: str = "", batch: object = 4
) -> str:
    rows = ", ".join(str(bad if k == 7 else GOOD) for k in range(12))
    return FILE.format(equations=equations, rows=rows, optimizer=optimizer, split=split, batch=batch)


def origin(source: str, **settings):
    """The network, and the diagnostic of its training."""
    net = dln.compile(source, **settings)
    with pytest.raises(TrainingDiverged) as caught:
        net.train()
    assert caught.value.origin is not None, caught.value
    assert str(caught.value).count("E801") == 1
    return net, caught.value.origin


@pytest.mark.parametrize("optimizer", ["sgd(rate = 0)", "adam(rate = 0)", "line_search(rate = 1e-3)"])
@pytest.mark.parametrize("kind", EQUATIONS)
def test_the_line_and_the_row_are_named(kind, optimizer):
    equation, became, helps = EQUATIONS[kind]
    source = text(f"weight w = 1\n{equation}", BAD[kind], optimizer=optimizer)
    net, found = origin(source)
    assert found.code == "E801" and found.span.line == 5
    step = "1" if optimizer.startswith("line") else "2"  # a line search takes no compiled steps
    assert found.message == f"{became} in epoch 1, step {step} for row 7 of the training part"
    assert helps in found.help
    assert net.weights["w"] == 1


def test_shuffled_samples_and_random_draws_are_those_of_the_training():
    source = text("weight w = 1\nlet p = w * log(x[1] * bernoulli(0.9))", GOOD, batch=1)
    source = source.replace("order     fixed", "order     random")
    # The same draws without the logarithm: a state remembers the first step whose draw is 0.
    told = """weight w = 1
state  count = 0
state  first = 99
let p = w * x[1] * bernoulli(0.9)
update count <- count + 1
update first <- min(first, count if average[batch] p < 0.5 else 99)"""
    steps = set()
    for seed in (3, 5):
        _, found = origin(source, seed=seed)
        whole = dln.compile(
            text(told, GOOD, batch=1).replace("order     fixed", "order     random"), seed=seed
        )
        whole.train()
        step = int(whole.saved_arrays()["first"])
        epoch = (step - 1) // 12 + 1
        row = generator(seed, "order", epoch).permutation(12)[(step - 1) % 12]
        assert (
            found.message == f"'p' became −∞ in epoch {epoch}, step {step} for row {row} of the training part"
        )
        steps.add(step)
    assert len(steps) == 2 and found.span.line == 5


def test_the_user_s_line_is_named_where_the_equation_stands_in_the_prelude():
    source = text("let h[2] = tanh(layer_norm(x, epsilon = 0))\nlet p = sum[i] h[i]", [3.0, 3.0, 0.0])
    _, found = origin(source)
    assert found.span.line == 4
    assert "layer_norm" in found.span.source.text.splitlines()[found.span.line - 1]
    assert [note.span.source.path for note in found.notes] == ["<prelude>/normalisation.dln"]
    assert found.message.startswith("'h.y'[0] became NaN in epoch 1, step 2 for row 7")
    assert "'h.s' is 0" in found.help


def test_gradients_updates_and_states():
    # √x has a value at 0, and no derivative.
    _, found = origin(text("weight w = 0\nlet p = x[0] * sqrt(w * w * x[1])", GOOD))
    assert found.message.startswith("the gradient of 'w' became NaN in epoch 1, step 1")
    assert found.span.line == 4 and [note.span.line for note in found.notes] == [5]
    # A step of 1e30 is finite, the loss after it is not.
    _, found = origin(text("weight w = 1\nlet p = w * x[0]", GOOD, optimizer="sgd(rate = 1e30)"))
    assert "in epoch 1, step 2" in found.message
    # The second moment of Adam overflows before the weight does.
    _, found = origin(text("weight w = 1\nlet p = w * x[0]", [1e17, 1.0, 0.0], optimizer="adam(rate = 1e-3)"))
    assert found.message == "the next value of 'w.v' became ∞ in epoch 1, step 2" and found.span.line == 4


def test_the_validation_part():
    split = "split 6 train, 6 validation"
    _, found = origin(
        text(EQUATIONS["division"][0].join(["weight w = 1\n", ""]), BAD["division"], split=split)
    )
    assert found.message == "'p' became ∞ in the validation after epoch 1 for row 1 of the validation part"
    assert found.span.line == 5


def test_the_last_step_of_a_second_training():
    # √(w²x) has a value at x = 0 and no derivative: a validation part does not mind, training on it does.
    source = text(
        "weight w = 1\nlet p = x[0] * sqrt(w * w * x[1])",
        [1.0, 0.0, 0.0],
        split="split 6 train, 6 validation",
    )
    source = source.replace("epochs    3", "epochs    1\n  retrain   afresh")
    net = dln.compile(source)
    with pytest.raises(TrainingDiverged) as caught:
        net.train()  # twice two steps, the second over eight rows: the one that hurts is the last of them
    assert caught.value.origin is not None
    assert caught.value.origin.message.startswith("the gradient of 'w' became NaN in epoch 1, step 2")


def test_a_run_keeps_its_last_good_checkpoint(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # It goes well for some epochs: p = log(0.5 + w), and w falls by 0.2 or so in each.
    source = text(
        "weight w = 1\nlet p = log(0.5 + w) + 0 * x[0]", GOOD, optimizer="sgd(rate = 0.15)", batch=12
    )
    source = source.replace("(p - t)^2", "p - t").replace("epochs    3", "epochs    30")
    (tmp_path / "wrong.dln").write_text(source)
    assert run(["train", "wrong.dln", "--out", "out"]) == 1
    errors = capsys.readouterr().err
    assert (
        "wrong.dln:5:5: error[E801]: 'p' became NaN in epoch" in errors and "NaN first arose here" in errors
    )
    state, _ = read_checkpoint(tmp_path / "out" / "checkpoint.safetensors")
    weights = read_weights(tmp_path / "out" / "weights.safetensors")
    # The same descent by hand: the last value of w that is not beyond the logarithm.
    w, epochs = 1.0, 0
    while 0.5 + w > 0:
        kept, w, epochs = w, w - 0.15 / (0.5 + w), epochs + 1
    assert f"in epoch {epochs + 1}" in errors and state.epoch == epochs
    assert weights["w"] == pytest.approx(w, rel=1e-4) == state.current["w"] and kept > w
