"""Files that try to hurt: they end in a message, soon, whatever they ask for."""

from __future__ import annotations

import time

import pytest
from dln.tests.compiler.elaborating import codes, messages


def soon(text: str, seconds: float = 20.0) -> list[str]:
    before = time.perf_counter()
    found = codes(text)
    assert time.perf_counter() - before < seconds
    return found


def test_a_million_million_units_are_refused_with_the_number() -> None:
    before = time.perf_counter()
    (message,) = messages("param n = 1000000\ninput x\nlayer h[n, n] = x")
    assert time.perf_counter() - before < 1
    assert message.code == "E305" and "1,000,000,000,000" in message.message


@pytest.mark.parametrize("size", ["10^18", "999999999999999999", "10^60", "2^64", "1e300"])
def test_sizes_beyond_every_machine(size: str) -> None:
    assert codes(f"input x\nlayer h[{size}] = x") in (["E305"], ["E302"])


def test_functions_that_double_are_read_once_for_the_same_arguments() -> None:
    text = "function f0(z) = tanh(z)\n"
    text += "\n".join(f"function f{n}(z) = f{n - 1}(z) + f{n - 1}(z)" for n in range(1, 60))
    assert soon(text + "\ninput x[2]\nlayer h = f59(x)") in ([], ["E218"])


def test_functions_that_grow_end_in_a_message() -> None:
    text = "function f0(z) = tanh(z)\n"
    text += "\n".join(f"function f{n}(z) = f{n - 1}({n} * z) + f{n - 1}(z + 1)" for n in range(1, 40))
    assert soon(text + "\ninput x[2]\nlayer h = f39(x)", 60) == ["E218"]


def test_blocks_that_grow_end_in_a_message() -> None:
    text = "block b0(x[N]) -> y[N] {\n  let y = 2 * x\n}\n"
    for n in range(1, 40):
        text += f"block b{n}(x[N]) -> y[N] {{\n  let y = b{n - 1}(x) + b{n - 1}(x)\n}}\n"
    assert soon(text + "input x[2]\nlayer h = b39(x)", 60) == ["E218"]


def test_blocks_nested_too_deeply_end_in_a_message() -> None:
    text = "block b0(x[N]) -> y[N] {\n  let y = 2 * x\n}\n"
    for n in range(1, 80):
        text += f"block b{n}(x[N]) -> y[N] {{\n  let y = b{n - 1}(x)\n}}\n"
    assert soon(text + "input x[2]\nlayer h = b79(x)") == ["E218"]


def test_functions_nested_deeply_end_in_a_message_or_in_a_graph() -> None:
    for depth in (100, 1000):
        text = "function f0(z) = tanh(z)\n"
        text += "\n".join(f"function f{n}(z) = (((1 + f{n - 1}(z))))" for n in range(1, depth))
        assert soon(text + f"\ninput x[2]\nlayer h = f{depth - 1}(x)") in ([], ["E218"])


def test_a_long_chain_in_the_wrong_order() -> None:
    lines = [f"let h{n} = tanh(h{n + 1})" for n in range(1500)]
    assert soon("\n".join(["input x[2]", *lines, "let h1500 = x", "layer y = h0"])) == []


def test_many_nested_conditions() -> None:
    text = "x[i]"
    for n in range(90):
        text = f"(x[i + {n}] if i == {n} else {text})"
    assert set(soon(f"input x[50]\nlayer h[i: 50] = {text}")) <= {"E303"}


def test_a_large_table_in_the_text() -> None:
    rows = ", ".join("[" + ", ".join(["1"] * 100) + "]" for _ in range(100))
    text = f"input x[100]\nweight w[2]\nmap K(i, j) = [{rows}]\nlayer h[j] = sum[i] w[K(i, j)] * x[i]"
    assert soon(text) == ["W502"]


def test_huge_connections_take_no_time() -> None:
    assert soon("input x[30000]\nlayer h[30000] = dense(x)", 3) == []


@pytest.mark.parametrize(
    "text",
    [
        "input x[4]\nlayer h = sum[i where i div 0 == 1] x[i]",
        "input x[4]\nlayer h = x[0] mod 0",
        "param a = 10^400\ninput x\nlayer h = x",
        "param a = 1 / 0\ninput x[a]\nlayer h = x",
        "input x[4]: class[0]\nlayer h = x",
        "input x: class[1.5]\nlayer h = x",
        "index e = {a}\ninput x[e]\nlayer h[e] = x[a]",
        "weight w[3] = [[1, 2], [3]]\ninput x\nlayer h = w[0] * x",
        "weight w[3] = []\ninput x\nlayer h = w[0] * x",
        "input x[3]\nlayer h[i, j, k] = x",
        "input x[3]\nlayer h[..] = x",
        "input x[3]\nlayer h = softmax[i where i < 2](x[i])",
        "input x[3]\nlayer h[i: 3] = softmax[i where i < 2](x[i])",
        "input x[3]\nlayer h[i] = softmax[i](softmax[i](x[i]))",
        "layer h = 3",
        "",
        "network nothing",
        "loss 3",
        "metric m = 4",
        "input batch[3]\nlayer h = batch",
        "input x\nlayer h = batch",
        "input x\nlayer h = training * step / epoch + batch_size",
        "input x[2]\nlayer h = x if training else 2 * x",
        "update x <- 3",
        "state s = 0\nupdate s <- s + 1\nlayer h = s",
        "weight w = 1\nupdate w <- w + 1\nlayer h = w",
        "param f = relu\ninput x\nlayer h = x",
        "map K(i) = 1.5\nweight w[2]\nlayer h[i: 2] = w[K(i)]",
        "map K(i, j) = i\nweight w[2]\nlayer h[i: 2] = w[K(i)]",
        'map K(i) = table "none.csv"\nweight w[2]\nlayer h[i: 2] = w[K(i)]',
        "input x[2]\nlayer h = x.y",
        "input x[2]\nlayer h = h.w",
        "input x[2]\nlayer h = dense.w",
        "input x[2]\nlayer h[2] = dense(x, N = 3)",
        "input x[2]\nlayer h[2] = dense(x, M = 3)",
        "input x[2]\nlayer h[2] = dense(x, M = x)",
        "input x[2]\nlayer h[2] = dense(dense)",
        "input x[2]\nlayer h[2] = dense(3)",
        "input x[2]\nlayer h[2] = dense(x[0])",
        "input x[2]\nlayer h[i: 2] = dense(x[i] * [1, 2, 3])[0]",
        "input x[2]\nlayer h = relu",
        "input x[2]\nlayer h = sum[relu] x[relu]",
        "input x[2]\nlayer x = x",
        "input x[2]\nlayer h = argmax[i] x[i] + x[argmax[i] x[i]]",
        "input x[2]\nlayer h = x[(argmax[i] x[i]) + 1 else 0]",
        "input x[2]\nlayer h = sum[..] 3",
        "input x[2]\nlayer h = average[batch, ..] x * average[batch] x[0]",
        "input x[2]\nloss average[batch] average[batch] x[0]",
        "weight w[2] ~ glorot * normal(0, 1) where i < 1\nlayer h = w[0]",
        'weight w[2, 3] ~ identity from "x.safetensors"\nlayer h = w[0, 0]',
        "weight w[2] where 1 > 2\nlayer h = w[0]",
        "weight w[i: 2] = i\nlayer h = w",
        "weight w[i: 2] = fan_in + fan_out\nlayer h = w",
        "block b() -> y {\n  let y = 3\n}\nlayer h = b()",
        "block b(x[..]) -> y[..], z {\n  let y = x\n  let z = 3\n}\ninput x[2]\nlayer h = b(x)",
        "block b(x[.., ..]) -> y[..] {\n  let y = x\n}\ninput x[2]\nlayer h = b(x)",
        "block b(n) -> y[n] {\n  let y[i] = i\n}\nlayer h = b(4)",
        "block b(n) -> y[n] {\n  let y[i] = i\n}\nlayer h = b(0)",
        "function f(x[N], y[N]) = sum[i] x[i] * y[i]\ninput x[3]\ninput y[4]\nlayer h = f(x, y)",
        "function f(x[3]) = x[3]\ninput x[4]\nlayer h = f(x)",
        "train {\n  optimizer 3\n}\ninput x\nlayer h = x",
        "train {\n  optimizer relu(3)\n}\ninput x\nlayer h = x",
        "data {\n  from sklearn.digits\n  x = y\n  x = z\n}\ninput x\nlayer h = x",
    ],
)
def test_odd_files_end_in_a_graph_or_in_messages(text: str) -> None:
    for message in messages(text):
        assert message.message and "None" not in message.message and "object at" not in message.message
