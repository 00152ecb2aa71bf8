"""Every optimizer of the prelude against its formula in NumPy, and against PyTorch's where it has the same; 50 steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.source import DiagnosticError, Source
from dln.compiler.syntax import OptimizerDeclaration
from dln.tests.runtime.small_regression import (
    NETWORK,
    STEPS,
    assert_close,
    compiled,
    data,
    first_weights,
    follow,
    minibatches,
    trained,
)

PRELUDE = Path(dln.__file__).parent / "grammar" / "prelude" / "optimizers.dln"


def sgd(w, g, s, step, epoch, rate=0.1):
    return w - rate * g


def momentum(w, g, s, step, epoch, rate=0.05, mu=0.8):
    s["v"] = mu * s.get("v", 0) + g
    return w - rate * s["v"]


def heavy_ball(w, g, s, step, epoch, rate=0.05, mu=0.8):
    # Polyak's own form, in two consecutive weights, without a velocity.
    before = s.get("before", w)
    s["before"] = w
    return w - rate * g + mu * (w - before)


def nesterov(w, g, s, step, epoch, rate=0.05, mu=0.8):
    s["v"] = mu * s.get("v", 0) + g
    return w - rate * (g + mu * s["v"])


def nesterov_inside(w, g, s, step, epoch, rate=0.05, mu=0.8):
    # Sutskever's form keeps the weights before the look ahead; w is where the gradient is taken.
    x, v = s.get("x", w), s.get("v", 0)
    v = mu * v - rate * g
    s["x"], s["v"] = x + v, v
    return s["x"] + mu * v


def adagrad(w, g, s, step, epoch, rate=0.1):
    s["s"] = s.get("s", 0) + g**2
    return w - rate * g / (np.sqrt(s["s"]) + 1e-10)


def rmsprop(w, g, s, step, epoch, rate=0.01, decay=0.9, epsilon=1e-3):
    s["s"] = decay * s.get("s", 0) + (1 - decay) * g**2
    return w - rate * g / (np.sqrt(s["s"]) + epsilon)


def rmsprop_inside(w, g, s, step, epoch, rate=0.01, decay=0.9, epsilon=1e-3):
    s["s"] = decay * s.get("s", 0) + (1 - decay) * g**2
    return w - rate * g / np.sqrt(s["s"] + epsilon)


def adadelta(w, g, s, step, epoch, rate=0.5, rho=0.9, epsilon=1e-6):
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    change = np.sqrt(s.get("d", 0) + epsilon) / np.sqrt(s["s"] + epsilon) * g
    s["d"] = rho * s.get("d", 0) + (1 - rho) * change**2
    return w - rate * change


def adam_step(g, s, step, b1=0.8, b2=0.95, epsilon=1e-8):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    return (s["m"] / (1 - b1**step)) / (np.sqrt(s["v"] / (1 - b2**step)) + epsilon)


def adam(w, g, s, step, epoch, rate=0.01):
    return w - rate * adam_step(g, s, step)


def adamw(w, g, s, step, epoch, rate=0.01, decay=0.1):
    return (1 - rate * decay) * w - rate * adam_step(g, s, step)


def adamax(w, g, s, step, epoch, rate=0.01, b1=0.8, b2=0.95):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["u"] = np.maximum(b2 * s.get("u", 0), np.abs(g) + 1e-8)
    return w - rate / (1 - b1**step) * s["m"] / s["u"]


def lion(w, g, s, step, epoch, rate=0.005, decay=0.1, b1=0.9, b2=0.99):
    m = s.get("m", 0)
    s["m"] = b2 * m + (1 - b2) * g
    return (1 - rate * decay) * w - rate * np.sign(b1 * m + (1 - b1) * g)


#: A call in the language, its formula, and PyTorch's optimizer with the same settings, or None.
CASES: dict[str, tuple[Any, tuple[str, dict[str, Any]] | None]] = {
    "sgd(rate = 0.1)": (sgd, ("SGD", {"lr": 0.1})),
    "momentum(rate = 0.05, momentum = 0.8)": (momentum, ("SGD", {"lr": 0.05, "momentum": 0.8})),
    "heavy_ball(rate = 0.05, momentum = 0.8)": (heavy_ball, ("SGD", {"lr": 0.05, "momentum": 0.8})),
    "nesterov(rate = 0.05, momentum = 0.8)": (
        nesterov, ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    ),
    "nesterov_inside(rate = 0.05, momentum = 0.8)": (nesterov_inside, None),
    "adagrad(rate = 0.1)": (adagrad, ("Adagrad", {"lr": 0.1})),
    "rmsprop(rate = 0.01, decay = 0.9, epsilon = 1e-3)": (
        rmsprop, ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-3}),
    ),
    "rmsprop_inside(rate = 0.01, decay = 0.9, epsilon = 1e-3)": (rmsprop_inside, None),
    "adadelta(rate = 0.5)": (adadelta, ("Adadelta", {"lr": 0.5, "rho": 0.9, "eps": 1e-6})),
    "adam(rate = 0.01, beta1 = 0.8, beta2 = 0.95)": (adam, ("Adam", {"lr": 0.01, "betas": (0.8, 0.95)})),
    "adamw(rate = 0.01, decay = 0.1, beta1 = 0.8, beta2 = 0.95)": (
        adamw, ("AdamW", {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ),
    "adamax(rate = 0.01, beta1 = 0.8, beta2 = 0.95)": (
        adamax, ("Adamax", {"lr": 0.01, "betas": (0.8, 0.95)}),
    ),
    "lion(rate = 0.005, decay = 0.1)": (lion, None),
}  # fmt: skip


def test_every_optimizer_of_the_prelude_is_here() -> None:
    module = parse(Source(str(PRELUDE), PRELUDE.read_text(encoding="utf-8")))
    names = [d.name for d in module.declarations if isinstance(d, OptimizerDeclaration)]
    assert names == [call.split("(")[0] for call in CASES]


@pytest.mark.parametrize("call", CASES)
def test_formula(call: str) -> None:
    assert STEPS == 50
    assert_close(trained(f"optimizer {call}"), follow(CASES[call][0]))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("call", [c for c, (_, peer) in CASES.items() if peer is not None])
def test_pytorch(call: str, precision: str) -> None:
    torch = pytest.importorskip("torch")
    peer = CASES[call][1]
    assert peer is not None
    dtype = getattr(torch, precision)
    w = {n: torch.tensor(v, dtype=dtype, requires_grad=True) for n, v in first_weights().items()}
    optimizer = getattr(torch.optim, peer[0])(list(w.values()), **peer[1])
    for _, _, x, t in minibatches():
        optimizer.zero_grad()
        inside = torch.tanh(torch.tensor(x, dtype=dtype) @ w["hidden.w"] + w["hidden.b"])
        y = inside @ w["out.w"] + w["out.b"]
        torch.nn.functional.mse_loss(y, torch.tensor(t, dtype=dtype)).backward()
        optimizer.step()
    expected = {name: value.detach().numpy().astype(np.float64) for name, value in w.items()}
    assert_close(trained(f"optimizer {call}", precision=precision), expected, 1e-5)


OWN = """
optimizer mine(rate = 0.05, mu = 0.8) {
  state  v = 0
  update v <- mu * v + gradient
  update weight <- weight - rate * v
}
"""


def test_an_optimizer_of_the_file_is_like_one_of_the_prelude() -> None:
    """Down to the machine code: the kernels and calls of a training step are the same."""
    ours = compiled("optimizer mine", declarations=OWN)
    theirs = compiled("optimizer momentum(rate = 0.05, momentum = 0.8)")
    programs = [net._main.program for net in (ours, theirs)]
    assert programs[0].routines["train"].calls == programs[1].routines["train"].calls
    assert {k.text for k in programs[0].kernels.values()} == {k.text for k in programs[1].kernels.values()}
    for net in (ours, theirs):
        net.train(data())
    for name, view in ours.weights.items():
        assert (view == theirs.weights[name]).all()


def test_an_optimizer_of_an_import(tmp_path: Path) -> None:
    (tmp_path / "mine.dln").write_text(OWN, encoding="utf-8")
    net = compiled("optimizer mine", declarations='import "mine.dln"\n', folder=tmp_path)
    net.train(data())
    assert_close({n: np.array(v) for n, v in net.weights.items()}, follow(momentum))


@pytest.mark.parametrize("name", ["rate", "optimizer.rate"])
@pytest.mark.parametrize("call", ["mine(mu = 0.8)", "mine(0.05, 0.8)", "mine(rate = 0.5, mu = 0.8)"])
def test_the_command_line_sets_an_argument(name: str, call: str) -> None:
    net = compiled(f"optimizer {call}", declarations=OWN, **{name: "0.02"})
    net.train(data())
    expected = follow(lambda *given: momentum(*given, rate=0.02))
    assert_close({n: np.array(v) for n, v in net.weights.items()}, expected)


def test_frozen_weights_have_no_update() -> None:
    text = """
input x[3]
frozen weight w[3] = 2
weight b = 0
layer y = b + sum[i] w[i] * x[i]
loss average[batch] y^2
train { optimizer adam }
"""
    net = dln.compile(text, threads=1)
    assert not any(name.startswith("w.") for name in net._main.compiled.graph.arrays)
    net.train({"x": np.ones((8, 3))}, epochs=2)
    assert (net.weights["w"] == 2).all()
    assert net.weights["b"] != 0


def test_an_optimizer_that_does_not_exist() -> None:
    with pytest.raises(DiagnosticError, match="did you mean 'nesterov'"):
        dln.compile(NETWORK + "train { optimizer nestorov(rate = 0.1) }")
