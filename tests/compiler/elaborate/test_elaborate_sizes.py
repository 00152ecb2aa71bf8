"""Sizes: unification from the left, from arguments, by name, through arithmetic; whole numbers only."""

from __future__ import annotations

import pytest
from dln.compiler.elaborate.sizes import Sizes
from dln.compiler.elaborate.terms import SizeVariable
from dln.compiler.mathematics.expression import apply, integer
from dln.tests.compiler.elaborating import codes, messages, network


def extents(text: str, name: str) -> tuple[int, ...]:
    graph = network(text).graph
    return graph.families[name].extents if name in graph.families else graph.arrays[name].extents


def test_the_size_of_a_dense_layer_comes_from_the_left() -> None:
    assert extents("input x[7]\nlayer h[5] = dense(x)", "h.w") == (7, 5)


def test_or_from_a_neighbour_in_a_sum() -> None:
    assert extents("input x[7]\ninput y[3]\nlayer h = y + dense(x)", "h.w") == (7, 3)


def test_or_by_name() -> None:
    assert extents("input x[7]\nlayer h[2] = dense(relu(dense(x, M = 9)))", "h.dense.w") == (7, 9)


def test_or_backwards_through_a_block_that_keeps_it() -> None:
    assert extents("input x[7]\nlayer h[5] = softmax(dense(x))", "h.w") == (7, 5)


def test_or_from_a_later_use_of_a_layer_without_axes() -> None:
    text = "input x[7]\ninput t[4]\nlayer h = dense(x)\nloss mean_squared_error(h, t)"
    assert extents(text, "h.w") == (7, 4)


def test_a_signature_with_arithmetic_is_solved_forwards_and_backwards() -> None:
    block = "block grow(x[N]) -> y[N + 2] {\n  let y[j] = x[j - 1 else 0]\n}\n"
    assert extents(block + "input x[5]\nlayer y = grow(x)", "y") == (7,)
    text = block + "input x[5]\nlayer y[9] = grow(dense(x))"
    assert extents(text, "y.w") == (5, 7)


def test_convolution_sizes_follow_from_stride_padding_and_dilation() -> None:
    text = (
        "input x[2, 11, 9]\nlayer c = convolution(x, F = 4, size = 3, stride = 2, padding = 1, dilation = 2)"
    )
    assert extents(text, "c") == (4, (11 + 2 - 5) // 2 + 1, (9 + 2 - 5) // 2 + 1)


def test_indices_take_extents_from_what_they_subscript() -> None:
    text = "input x[4, 6]\nweight w[4, 3]\nlayer h[j, k] = sum[i] w[i, j] * x[i, k]"
    assert extents(text, "h") == (3, 6)


def test_a_map_gives_extents_by_the_shape_of_its_table() -> None:
    text = "input x[9]\nweight w[4]\nmap K(i, j) = [[0, 1, 2], [3, 0, 1]]\nlayer h[j] = sum[i] w[K(i, j)] * x[3 * j + i]"
    assert extents(text, "h") == (3,)


def test_recurrences_give_extents_too() -> None:
    text = "input x[6, 3]\nlayer h[t, k] = tanh(x[t, k] + 0.5 * h[t-1, k else 0])"
    assert extents(text, "h") == (6, 3)


def test_extents_may_be_params_index_sets_and_arithmetic() -> None:
    text = """
param n = 3
index gate = {open, shut}
input x[n, gate, 2 * n - 1, (n + 5) div 3, n^2, 8 / 4]
layer y = x
"""
    assert extents(text, "y") == (3, 2, 5, 2, 9, 2)


def test_a_setting_changes_a_param() -> None:
    net = network("param n = 3\ninput x[n]\nlayer y = x", n="5")
    assert net.graph.arrays["x"].extents == (5,)
    assert net.parameters == {"n": 5}


def test_params_may_depend_on_each_other_in_any_order() -> None:
    net = network("param a = 2 * b\nparam b = 3\ninput x[a]\nlayer y = x")
    assert net.parameters == {"a": 6, "b": 3}
    assert codes("param a = b\nparam b = a\ninput x[a]\nlayer y = x") == ["E210"]


@pytest.mark.parametrize(
    ("size", "words"),
    [("5 / 2", "2.5"), ("2 - 5", "-3"), ("0", "0"), ("1e-3", "0.001"), ("1.5", "1.5")],
)
def test_impossible_sizes_are_refused_with_the_number(size: str, words: str) -> None:
    (message,) = messages(f"input x[4]\nlayer y[{size}] = dense(x)")
    assert message.code == "E302" and words in message.message


def test_disagreement_names_both_places() -> None:
    text = "input h[32]\ninput bias[10]\nlayer score[10] = relu(h + bias)"
    (message,) = messages(text)
    assert message.code == "E203"
    assert message.message == "'h' gives 32 units here, but 'score' declares 10"
    assert "from 'h[32]' on line 1" in message.label
    assert message.notes[0].span.text == "10"
    assert message.span.text == "h"


def test_two_candidates_for_an_index_are_an_error_with_both_places() -> None:
    (message,) = messages("input x[4]\ninput y[5]\nlayer d = sum[i] x[i] * y[i]")
    assert message.code == "E304" and "4 and 5" in message.message
    assert message.notes[0].span.line == 3


def test_a_declared_index_may_be_shorter_than_what_it_subscripts() -> None:
    assert extents("input x[4]\nlayer h[j: 3] = x[j]", "h") == (3,)


def test_sums_in_different_order_are_the_same_size() -> None:
    text = "param n = 3\ninput x[n + 1]\ninput y[1 + n]\nlayer z = x + y"
    assert extents(text, "z") == (4,)


def test_sizes_wait_until_they_can_be_solved() -> None:
    sizes = Sizes()
    wrong: list[tuple[int, int]] = []
    n, m, p = SizeVariable("N"), SizeVariable("M"), SizeVariable("P")

    def complain(a: int, b: int) -> None:
        wrong.append((a, b))

    sizes.equate(p, apply("div", n + m, integer(2)), complain)
    sizes.equate(m, n + 1, complain)
    sizes.equate(n - 2, integer(3), complain)
    sizes.solve()
    assert [sizes.known(v) for v in (n, m, p)] == [5, 6, 5]
    sizes.equate(m, integer(7), complain)
    assert wrong == [(6, 7)]


def test_equal_sizes_of_two_unknowns_stay_equal() -> None:
    sizes = Sizes()
    n, m = SizeVariable("N"), SizeVariable("M")
    sizes.equate(n, m, lambda a, b: None)
    sizes.equate(m, n, lambda a, b: None)
    sizes.equate(n, integer(4), lambda a, b: None)
    sizes.solve()
    assert sizes.known(m) == 4
