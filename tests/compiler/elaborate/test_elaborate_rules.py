"""Rules 2 and 3: connections that do not exist, and subscripts that are proved in range or have an `else`."""

from __future__ import annotations

import numpy as np
import pytest
from dln.tests.compiler.elaborating import codes, messages, network, values


def where(text: str) -> int:
    """How many conditions the only reduction has."""
    (reduction,) = [f.reduction for f in network(text).graph.families.values() if f.reduction]
    return len(reduction.where)


def test_conditions_that_are_proved_are_left_out() -> None:
    # 0 <= i - j + 2 is certain, i - j + 2 < 5 is not.
    text = "input x[4]\nweight w[5]\nlayer h[j: 3] = sum[i] w[i - j + 2] * x[i]"
    assert where(text) == 1
    assert where(text.replace("w[5]", "w[6]")) == 0


def test_a_missing_weight_outside_of_sums_makes_its_product_zero() -> None:
    text = "input x[4]\nweight w[2]\nlayer h[j: 4] = tanh(2 * w[j] * x[j]) + x[j]"
    found = values(network(text).graph)
    expected = found["x"].copy()
    expected[:, :2] += np.tanh(2 * found["w"] * found["x"][:, :2])
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)


def test_a_missing_weight_in_a_sum_leaves_the_index_point_out() -> None:
    text = "input x[4]\nweight w[2]\nlayer h = sum[i: 4] (w[i] + 1) * x[i]"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"], ((found["w"] + 1) * found["x"][:, :2]).sum(axis=1), rtol=1e-12)


def test_the_condition_of_the_nearest_sum_is_not_that_of_an_outer_one() -> None:
    text = "input x[3, 4]\nweight w[2]\nlayer h = sum[j: 3] (sum[i] w[i - j] * x[j, i])^2"
    found = values(network(text).graph)
    inner = np.zeros((3, 3))
    for j in range(3):
        for i in range(4):
            if 0 <= i - j < 2:
                inner[:, j] += found["w"][i - j] * found["x"][:, j, i]
    np.testing.assert_allclose(found["h"], (inner**2).sum(axis=1), rtol=1e-10)


def test_an_average_divides_by_the_points_that_take_part() -> None:
    text = "input x[5]\nlayer h[j: 5] = average[i where i <= j] x[i]"
    found = values(network(text).graph)
    expected = np.cumsum(found["x"], axis=1) / np.arange(1, 6)
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)


def test_the_batch_is_averaged_over_the_samples_that_are_there() -> None:
    text = "input x[5]\nlayer y = x\nloss average[batch, i] x[i]^2"
    found = values(network(text).graph, 6)
    np.testing.assert_allclose(found["loss"], (found["x"] ** 2).mean(), rtol=1e-12)


def test_else_is_taken_outside_and_only_there() -> None:
    text = "input image[4, 4]\nlayer h[y: 4, x: 4] = image[2*y - 1, x else -1]"
    found = values(network(text).graph)
    expected = np.full((3, 4, 4), -1.0)
    for y in range(4):
        if 0 <= 2 * y - 1 < 4:
            expected[:, y] = found["image"][:, 2 * y - 1]
    np.testing.assert_allclose(found["h"], expected)


def test_an_else_may_be_a_weight_or_another_family() -> None:
    text = "input x[3, 2]\nweight start[2] = 0\nlayer h[t: 3, k] = x[t - 1, k else start[k]]"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"][:, 1:], found["x"][:, :2])
    np.testing.assert_allclose(found["h"][:, 0], np.broadcast_to(found["start"], (3, 2)))


@pytest.mark.parametrize(
    ("equation", "good"),
    [
        ("h[t: 8] = sum[s: 8 where s <= t] x[t - s]", True),
        ("h[t: 8] = sum[s: 8 where s < t] x[t - s - 1]", True),
        ("h[t: 8] = sum[s: 8 where s <= t + 1] x[t - s]", False),
        ("h[t: 8] = x[t - 1] if t > 0 else 0", True),
        ("h[t: 8] = x[t - 1] if t >= 1 else x[t]", True),
        ("h[t: 8] = x[t] if t == 0 else x[t - 1]", True),
        ("h[t: 8] = x[t - 1] if t mod 2 == 1 else x[t]", True),
        ("h[t: 8] = x[t - 2] if t mod 2 == 1 else x[t]", False),
        ("h[t: 8] = x[t + 1] if t != 7 else x[t]", True),
        ("h[t: 8] = sum[i, j where i + j < 8] x[i + j] * x[j] * x[i]", True),
        ("h[t: 8] = sum[i: 8, j where i <= j and j <= t] x[t - i] * x[j]", True),
        ("h[t: 8] = x[t div 2] + x[t mod 3] + x[abs(t - 4)] + x[min(t, 3)] + x[max(t - 1, 0)]", True),
        ("h[t: 8] = x[7 - t] + x[2 * (t div 2)]", True),
        ("h[t: 8] = x[t + 1]", False),
    ],
)
def test_facts_prove_ranges(equation: str, good: bool) -> None:
    found = codes(f"input x[8]\nlayer {equation}")
    assert (found == []) is good, found


def test_what_an_if_guarantees_holds_in_the_sum_that_is_lifted_out_of_it() -> None:
    text = "input x[4, 3]\nlayer h[t: 4] = (sum[i] x[t - 1, i]) if t > 0 else 0"
    graph = network(text).graph
    (term,) = [f for f in graph.families.values() if f.role == "term"]
    assert term.reduction is not None and len(term.reduction.where) == 1
    found = values(graph)
    expected = np.concatenate([np.zeros((3, 1)), found["x"].sum(axis=2)[:, :3]], axis=1)
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)


def test_the_message_gives_the_range_and_the_extent() -> None:
    (message,) = messages("input image[16, 16]\nlayer h[y: 8] = sum[v: 5] image[2*y + v - 2, 0]")
    assert message.code == "E303"
    assert message.message == "the subscript runs from -2 to 16, but 'image' has 16 rows (0 to 15)"


def test_a_class_is_a_subscript_within_its_classes() -> None:
    text = "input s[9]\ninput label: class[{}]\nlayer h = s[label]"
    assert codes(text.format(9)) == []
    assert codes(text.format(10)) == ["E303"]


def test_argmax_is_a_subscript_within_what_it_ran_over() -> None:
    text = "input s[9]\nlet best = argmax[i] s[i]\nlayer h = s[best]"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"], found["s"].max(axis=1))
    assert codes("input s[9]\nlet best = argmax[i] s[i]\ninput t[8]\nlayer h = t[best]") == ["E303"]


def test_a_map_that_is_outside_everywhere_is_an_error() -> None:
    text = "input x[4]\nweight w[2]\nlayer h[j: 3] = sum[i] w[i + j + {}] * x[i]"
    assert codes(text.format(2)) == ["E306"]
    assert codes(text.format(1)) == ["W502"]


def test_one_mistake_gives_one_message() -> None:
    text = "input x[4]\nlayer a[3] = dense(y)\nlayer b[3] = a + a\nlayer c[2] = dense(b)\nloss average[batch] sum[i] c[i] * x[0]"
    assert codes(text) == ["E201"]


def test_shared_terms_stay_one_family() -> None:
    text = "input x[4]\nweight w[4]\nlayer h = softplus(sum[i] w[i] * x[i])"
    graph = network(text).graph
    assert [f.name for f in graph.families.values() if f.role == "term"] == ["h.sum"]


def test_a_sum_that_depends_on_less_is_computed_once() -> None:
    graph = network("input x[4]\nlayer h[j: 3] = sum[i] x[i]").graph
    assert graph.families["h.sum"].extents == ()


def test_sequences_of_different_length_are_masked_by_their_length() -> None:
    text = "input x[6]\ninput length: class[7]\nlayer h = average[t where t < length] x[t]"
    length = np.array([6, 1, 3])
    found = values(network(text).graph, 3, length=length)
    expected = [x[:n].mean() for x, n in zip(found["x"], length, strict=True)]
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)


def test_nested_sums_over_what_depends_on_both_are_one_sum() -> None:
    graph = network("input a[3, 4]\nlayer h = sum[i] sum[j] a[i, j]").graph
    (family,) = graph.families.values()
    assert family.reduction is not None and [a.name for a in family.reduction.axes] == ["i", "j"]
