"""Losses, metrics, sections, settings and optimizers."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler import syntax
from dln.compiler.elaborate import instantiate_optimizer
from dln.compiler.mathematics.graph import Graph, verify
from dln.compiler.parse import parse_expression
from dln.compiler.passes.gradient import differentiate
from dln.compiler.source import DiagnosticError
from dln.tests.compiler.elaborating import codes, messages, network, values

LINE = "input x[3]\ninput t[2]\nlayer y[2] = dense(x)\nloss mean_squared_error(y, t)\n"


def with_optimizer(text: str, call: str) -> Graph:
    net = network(text)
    graph = differentiate(net.graph)
    expression = parse_expression(call)
    assert isinstance(expression, syntax.Call)
    instantiate_optimizer(net, graph, expression)
    verify(graph)
    return graph


def step(graph: Graph, **given: object) -> dict[str, np.ndarray]:
    return values(graph, 4, **given)


def test_a_loss_that_depends_on_the_sample_is_averaged() -> None:
    found = values(network("input x[3]\nlayer y = x\nloss sum[i] x[i]^2").graph, 5)
    np.testing.assert_allclose(found["loss"], (found["x"] ** 2).sum(axis=1).mean())


def test_a_loss_of_several_parts() -> None:
    text = (
        "input x[3]\nweight w[3]\nlayer y = sum[i] w[i] * x[i]\nloss average[batch] y^2 + 0.1 * sum[i] w[i]^2"
    )
    found = values(network(text).graph, 5)
    np.testing.assert_allclose(found["loss"], (found["y"] ** 2).mean() + 0.1 * (found["w"] ** 2).sum())


def test_metrics_have_names_of_their_own() -> None:
    text = LINE + "metric mean_squared_error(y, t)\nmetric loss = average[batch] y[0]\nmetric y = 3"
    assert network(text).graph.metrics == {
        "mean_squared_error": "metric.mean_squared_error",
        "loss": "metric.loss",
        "y": "metric.y",
    }


def test_a_loss_that_is_no_number_is_refused() -> None:
    (first, _) = messages("input x[3]\nlayer y = 2 * x\nloss y * x")
    assert first.code == "E213"


def test_unused_inputs_are_errors_and_unused_weights_warnings() -> None:
    assert codes("input x[3]\ninput t\nlayer y = x") == ["E212"]
    assert codes("input x[3]\nweight w[3]\nlayer y = x") == ["W501"]
    assert codes("input x[3]\nweight w[4]\nlayer y[i: 3] = w[i] * x[i]") == ["W502"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"width": "9"}, ""),
        ({"epochs": "3"}, ""),
        ({"train.epochs": "3"}, ""),
        ({"rate": "1e-2"}, ""),
        ({"optimizer.rate": "1e-2"}, ""),
        ({"optimizer": "sgd(rate = 0.1)"}, ""),
        ({"optimizer": "sgdd(rate = 0.1)"}, "E201"),
        ({"widht": "9"}, "E215"),
        ({"epoch": "3"}, "E215"),
        ({"width": "9 +"}, "E215"),
        ({"width": "1.5"}, "E302"),
        ({"optimizer.rat": "1"}, "E205"),
    ],
)
def test_settings(settings: dict[str, str], code: str) -> None:
    text = (
        "param width = 4\ninput x[3]\ninput t[2]\nlayer h[width] = dense(x)\nlayer y[2] = dense(h)\n"
        "loss mean_squared_error(y, t)\ntrain {\n  optimizer adam(rate = 1e-3)\n  epochs 60\n}\n"
    )
    if code:
        found = codes(text, **settings)
        assert found and set(found) == {code}
        return
    net = network(text, **settings)
    assert net.train is not None
    entries = {e.key: e.values[0] for e in net.train.entries}
    if "rate" in str(settings):
        call = entries["optimizer"]
        assert isinstance(call, syntax.Call) and net.evaluate_number(dict(call.named)["rate"]) in (1e-2, 0.1)
    if "epochs" in str(settings):
        assert net.evaluate_number(entries["epochs"]) == 3
    if "width" in settings:
        assert net.graph.arrays["h.w"].extents == (3, 9)


def test_settings_make_a_train_section_where_there_is_none() -> None:
    net = network(LINE, epochs="7")
    assert net.train is not None and net.train.entries[0].key == "epochs"


def test_numbers_of_settings_are_evaluated_with_params() -> None:
    net = network("param a = 3\ninput x\nlayer y = x")
    assert net.evaluate_number(parse_expression("2 * a + sqrt(16)")) == 10
    with pytest.raises(DiagnosticError):
        net.evaluate_number(parse_expression("2 * b"))


def test_sgd_goes_against_the_gradient() -> None:
    graph = with_optimizer(LINE, "sgd(rate = 0.1)")
    found = step(graph)
    np.testing.assert_allclose(found["y.w.next"], found["y.w"] - 0.1 * found["∂y.w"], rtol=1e-10)
    assert graph.updates == {"y.w": "y.w.next", "y.b": "y.b.next"}


def test_momentum_keeps_a_velocity() -> None:
    graph = with_optimizer(LINE, "momentum(rate = 0.1, momentum = 0.5)")
    found = step(graph)
    velocity = 0.5 * found["y.w.v"] + found["∂y.w"]
    np.testing.assert_allclose(found["y.w.v.next"], velocity, rtol=1e-10)
    np.testing.assert_allclose(found["y.w.next"], found["y.w"] - 0.1 * velocity, rtol=1e-10)


def test_adam_is_algorithm_1() -> None:
    graph = with_optimizer(LINE, "adam(rate = 0.1 * exp(-0.01 * step))")
    found = step(graph, step=3, y__w__v=np.abs(np.random.default_rng(0).normal(size=(3, 2))))
    m = 0.9 * found["y.w.m"] + 0.1 * found["∂y.w"]
    v = 0.999 * found["y.w.v"] + 0.001 * found["∂y.w"] ** 2
    rate = 0.1 * np.exp(-0.03)
    expected = found["y.w"] - rate * (m / (1 - 0.9**3)) / (np.sqrt(v / (1 - 0.999**3)) + 1e-8)
    np.testing.assert_allclose(found["y.w.next"], expected, rtol=1e-8)


def test_what_depends_on_the_clocks_alone_is_computed_once_for_all_weights() -> None:
    graph = with_optimizer(LINE, "adam(rate = 0.1 * 0.5^(epoch div 10))")
    factors = [f for f in graph.families.values() if f.name.startswith("adam.factor")]
    assert 0 < len(factors) <= 4
    assert all(not f.axes for f in factors)
    powers = [f for f in graph.families.values() if any("^" in str(e) for e in [f.body]) and f.axes]
    assert not powers


def test_frozen_weights_do_not_learn() -> None:
    text = "input x[3]\nfrozen weight a[3] = 1\nweight b = 1\nlayer y = b * sum[i] a[i] * x[i]\nloss y^2"
    assert set(with_optimizer(text, "sgd(rate = 0.1)").updates) == {"b"}


def test_an_optimizer_of_the_file_works_like_those_of_the_prelude() -> None:
    text = LINE + (
        "optimizer decayed(rate, decay = 0.1) {\n  state total = 1\n  let slope = gradient + decay * weight\n"
        "  update total <- total + slope^2\n  update weight <- weight - rate * slope / sqrt(total)\n}\n"
    )
    graph = with_optimizer(text, "decayed(rate = 0.5)")
    found = step(graph, y__w__total=np.full((3, 2), 2.0))
    slope = found["∂y.w"] + 0.1 * found["y.w"]
    np.testing.assert_allclose(
        found["y.w.next"], found["y.w"] - 0.5 * slope / np.sqrt(2 + slope**2), rtol=1e-9
    )
    start = graph.arrays["y.w.total"].initializer
    assert start is not None and start.value.value == 1  # type: ignore[attr-defined]


def test_mistakes_of_optimizers_are_found_before_training() -> None:
    section = "train {{\n  optimizer {}\n}}\n"
    assert codes(LINE + section.format("adamm(rate = 1)")) == ["E201"]
    assert codes(LINE + section.format("adam(rat = 1)")) == ["E205"]
    assert codes(LINE + section.format("adam(rate = 1 / batch_size)")) == ["E216"]
    own = "optimizer mine(rate = 1) {\n  update weight <- weight - rate * grdient\n}\n"
    assert codes(LINE + own + section.format("mine")) == ["E201"]


def test_fans_are_those_of_the_first_use() -> None:
    text = """
input image[3, 8, 8]
layer c[4, 6, 6] = convolution(image)
layer h[5] = dense(flatten(c))
"""
    arrays = network(text).graph.arrays
    fans = {n: (a.initializer.fan_in, a.initializer.fan_out) for n, a in arrays.items() if a.initializer}
    assert fans["c.w"] == (3 * 3 * 3, 4 * 3 * 3)
    assert fans["h.w"] == (4 * 6 * 6, 5)


def test_fans_are_constants_in_initializers() -> None:
    text = (
        "input x[25]\nweight w[25, 4] ~ uniform(-2.4, 2.4) / sqrt(fan_in)\nlayer h[j] = sum[i] w[i, j] * x[i]"
    )
    initializer = network(text).graph.arrays["w"].initializer
    assert initializer is not None
    draw, divisor = initializer.value.children
    assert divisor.value == 5.0 and draw.function == "draw uniform"  # type: ignore[attr-defined]
