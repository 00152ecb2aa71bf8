"""Multiply-adds of gradients and lengths of paths: against counts by hand."""

from __future__ import annotations

from dln.compiler.mathematics.counts import Row, count
from dln.compiler.passes.effort import add_effort, path_lengths
from dln.tests.compiler.elaborating import network


def rows(text: str) -> dict[str, Row]:
    graph = network(text).graph
    counts = add_effort(graph, count(graph))
    return {row.name: row for row in [*counts.rows, counts.total]}


MLP = """
input  x[7]
input  y: class[3]
layer  hidden[5] = tanh(dense(x))
layer  score[3] = dense(hidden)
"""


def test_dense_layers() -> None:
    found = rows(MLP + "loss cross_entropy(score, y)")
    assert (found["hidden"].multiply_adds, found["score"].multiply_adds) == (35, 15)
    # ∂w and ∂b; the inputs have no derivative. Of the second layer also that of what it reads.
    assert (found["hidden"].backward, found["score"].backward) == (35 + 5, 15 + 3 + 15)
    assert (found["x"].path, found["hidden"].path, found["score"].path, found["total"].path) == (0, 1, 2, 2)
    assert found["total"].backward >= 40 + 33
    without = rows(MLP.replace("input  y: class[3]\n", ""))
    assert (without["total"].backward, without["total"].path) == (0, 2)


def test_convolutions_that_share_weights() -> None:
    found = rows(
        "input x[10]\ninput t[8]\nweight w[3]\n"
        "layer h[i: 8] = sum[k] w[k] * x[i + k]\nloss squared_error(h, t)"
    )
    assert (found["h"].multiply_adds, found["h"].backward, found["h"].path) == (24, 24, 1)


RECURRENT = """
input  x[6, 4]
input  y: class[3]
weight W[4, 5] ~ glorot()
weight U[5, 5] ~ glorot()
layer  h[t: 6, j: 5] = tanh(sum[k] U[k, j] * h[t - 1, k else 0] + sum[i] W[i, j] * x[t, i])
weight V[3, 5] ~ glorot()
layer  score[c: 3] = sum[j] V[c, j] * h[5, j]
loss   cross_entropy(score, y)
"""


def test_recurrences_count_for_all_of_their_steps() -> None:
    found = rows(RECURRENT)
    # The sum over the inputs of all steps comes first, then one sum a step, then the sum of the last layer.
    assert (found["h"].path, found["score"].path) == (1 + 6, 1 + 6 + 1)
    # W: its gradient. U: its gradient, and the derivative of the state before, where there is one (5 of 6 steps).
    # ∂W and ∂U over 6 steps, of which the first reads zeros; and the derivative of the state before, which 5 steps have.
    assert found["h"].backward == 6 * 4 * 5 + 6 * 5 * 5 + 5 * 5 * 5
    assert found["score"].backward == 15 + 15


def test_a_recurrence_without_sums_takes_its_steps_too() -> None:
    graph = network("input x[9]\nlayer h[t: 9] = 0.5 * h[t - 1 else 0] + x[t]").graph
    assert path_lengths(graph)["h"] == 9


ATTENTION = """
param  T = {}
input  x[T, 4]
layer  a[t: T, s: T] = softmax[s](sum[d] x[t, d] * x[s, d])
layer  h[t: T, d: 4] = sum[s] a[t, s] * x[s, d]
"""


def test_attention_is_as_long_for_any_number_of_places() -> None:
    short, long = rows(ATTENTION.format(8)), rows(ATTENTION.format(64))
    assert (
        short["h"].path == long["h"].path == 4
    )  # scores, their maximum, the sum of exponentials, the values
