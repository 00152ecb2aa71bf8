"""Names: paths of weights, dotted names, scopes, functions and blocks, imports, tables from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dln.compiler.elaborate import elaborate
from dln.compiler.source import DiagnosticError
from dln.tests.compiler.elaborating import messages, network, values


def weights(text: str) -> list[str]:
    return [w.name for w in network(text).graph.weights]


def test_the_only_block_with_weights_gives_them_the_name_of_the_layer() -> None:
    assert weights("input x[4]\nlayer h[3] = relu(softmax(dense(x)))") == ["h.w", "h.b"]


def test_several_blocks_give_them_their_own_names_too() -> None:
    text = "input x[4]\nlayer h[3] = dense(x) + dense(tanh(x)) + linear(x)"
    assert weights(text) == ["h.dense.w", "h.dense.b", "h.dense_2.w", "h.dense_2.b", "h.linear.w"]


def test_blocks_in_blocks_give_paths() -> None:
    text = """
block residual(x[.., N]) -> y[.., N] {
  let h[.., j] = relu(dense(x, M = 5))[.., j]
  let y        = x + dense(h)
}
input x[4]
layer a[4] = residual(x)
layer b[4] = residual(residual(a))
"""
    assert weights(text) == [
        "a.h.w", "a.h.b", "a.y.w", "a.y.b",
        "b.residual.h.w", "b.residual.h.b", "b.residual.y.w", "b.residual.y.b",
        "b.residual_2.h.w", "b.residual_2.h.b", "b.residual_2.y.w", "b.residual_2.y.b",
    ]  # fmt: skip


def test_a_block_that_is_another_block_is_one_family() -> None:
    text = "block same(x[.., N]) -> y[.., M] {\n  let y = dense(x)\n}\ninput x[4]\nlayer h[3] = same(x)"
    graph = network(text).graph
    assert [w.name for w in graph.weights] == ["h.y.w", "h.y.b"]
    assert [f.name for f in graph.families.values()] == ["h.sum", "h"]


def test_weights_inside_of_a_layer_are_reached_by_dotted_names() -> None:
    text = """
input x[6]
layer code[3] = tanh(dense(x))
layer copy[i: 6] = sum[j] code.w[i, j] * code[j]
"""
    found = values(network(text).graph)
    np.testing.assert_allclose(found["copy"], found["code"] @ found["code.w"].T, rtol=1e-10)
    (message,) = messages(text.replace("code.w", "code.v"))
    assert message.code == "E201"


def test_names_are_unique_even_where_they_meet() -> None:
    text = "input x[4]\nlayer h[3] = dense(x)\nlet y = sum[i] h[i] * sum[j] x[j] * sum[k] x[k]^2\nlayer z = y"
    names = list(network(text).graph.families)
    assert len(set(names)) == len(names)


def test_declarations_of_a_file_hide_those_of_the_prelude() -> None:
    text = "function relu(z) = 2 * z\ninput x[4]\nlayer h = relu(x)"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"], 2 * found["x"])


def test_the_prelude_does_not_see_the_file() -> None:
    # `top` and `size` are names inside of the prelude's blocks.
    text = "param size = 9\nparam top = 1\ninput x[size]\nlayer h = softmax(x) * top"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"].sum(axis=1), 1)


def test_parameters_hide_what_is_outside() -> None:
    text = "param a = 5\nfunction f(a, b = a + 1) = a * b\ninput x[2]\nlayer h = f(x)"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"], found["x"] * (found["x"] + 1))


def test_functions_may_be_arguments() -> None:
    text = """
block layer_of(x[.., N], activation = tanh) -> y[.., M] {
  weight w[N, M] ~ glorot
  let y[.., j] = activation(sum[i] w[i, j] * x[.., i])
}
input x[4]
layer a[3] = layer_of(x)
layer b[3] = layer_of(x, activation = relu)
"""
    found = values(network(text).graph)
    np.testing.assert_allclose(found["a"], np.tanh(found["x"] @ found["a.w"]), rtol=1e-10)
    np.testing.assert_allclose(found["b"], np.maximum(found["x"] @ found["b.w"], 0), rtol=1e-10)


def test_functions_of_arrays_subscript_their_parameters() -> None:
    text = """
function norm(v[N]) = sqrt(sum[i] v[i]^2)
input x[3, 5]
layer n[t] = norm(x[t, 0] * [1, 2, 3])
layer m = norm(2 * x[0, 0] + [3, 4])
"""
    found = values(network(text).graph)
    scale = np.sqrt(14)
    np.testing.assert_allclose(found["n"], np.abs(found["x"][:, :, 0]) * scale, rtol=1e-10)


def test_named_values_of_index_sets_are_subscripts() -> None:
    text = "index gate = {input, forget}\nweight b[gate] = [3, 7][gate]\ninput x[2]\nlayer h = b[forget] * x[forget]"
    found = values(network(text).graph)
    np.testing.assert_allclose(found["h"], found["b"][1] * found["x"][:, 1])


def test_circles_of_blocks_and_functions_are_printed() -> None:
    (message,) = messages("function f(z) = g(z)\nfunction g(z) = f(z)\ninput x[2]\nlayer h = f(x)")
    assert message.code == "E210" and "f → g → f" in message.message


def test_a_block_of_several_results_gives_the_first_and_the_others_by_name() -> None:
    text = """
block split(x[N]) -> a[N], b[N] {
  let a[j] = 2 * x[j]
  let b[j] = 3 * x[j]
}
input x[4]
let s = split(x)
layer h = s + s.b
"""
    for name in ("s.b", "s.split.b"):
        found = values(network(text.replace("s.b", name)).graph)
        np.testing.assert_allclose(found["h"], 5 * found["x"])


# ------------------------------------------------------------------------------------------------- files


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.dln").write_text(text)
    return folder / "main.dln"


def test_imports_bring_definitions_and_each_other(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='import "blocks.dln"\ninput x[4]\nlayer h[K] = wide(x)',
        blocks='import "functions.dln"\nparam K = 3\nblock wide(x[N]) -> y[M] {\n  let y = half(dense(x))\n}',
        functions="function half(z) = z / 2",
    )
    graph = elaborate(main).graph
    assert graph.arrays["h.y.w"].extents == (4, 3)


def test_files_that_import_each_other_are_refused_with_the_chain(tmp_path: Path) -> None:
    main = write(
        tmp_path, main='import "a.dln"\ninput x\nlayer h = x', a='import "b.dln"', b='import "a.dln"'
    )
    with pytest.raises(DiagnosticError) as caught:
        elaborate(main)
    (message,) = caught.value.diagnostics
    assert message.code == "E406" and message.message.count("→") == 2


@pytest.mark.parametrize("path", ["../out.dln", "/etc/hosts", "a/../../out.dln", "C:/x.dln", "link.dln", ""])
def test_paths_do_not_leave_the_folder(tmp_path: Path, path: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "out.dln").write_text("function f(z) = z")
    (inner / "link.dln").symlink_to(tmp_path / "out.dln")
    main = write(inner, main=f'import "{path}"\ninput x\nlayer h = x')
    with pytest.raises(DiagnosticError) as caught:
        elaborate(main)
    assert caught.value.diagnostics[0].code in ("E402", "E401")
    (inner / "main.dln").write_text(
        f'input x[2]\nweight w[2]\nmap K(i) = table "{path}"\nlayer h = sum[i] w[K(i)] * x[i]'
    )
    with pytest.raises(DiagnosticError) as caught:
        elaborate(main)
    assert caught.value.diagnostics[0].code in ("E402", "E401")


def test_tables_are_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lattice.csv").write_text("0, 1, 2  # a comment\n\n2, -1, 1\n")
    main = write(
        tmp_path,
        main='input x[2]\nweight w[3]\nmap K(i, j) = table "lattice.csv"\nlayer h[j] = sum[i] w[K(i, j)] * x[i]',
    )
    graph = elaborate(main).graph
    found = values(graph)
    w, x = found["w"], found["x"]
    expected = np.stack(
        [w[0] * x[:, 0] + w[2] * x[:, 1], w[1] * x[:, 0], w[2] * x[:, 0] + w[1] * x[:, 1]], axis=1
    )
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("0,1\n1\n", "E403"), ("0,one\n", "E404"), ("", "E404"), ("0,,1\n", "E404"), ("0.5,1\n", "E404"),
        ("nan\n", "E404"), ("1e999\n", "E404"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    main = write(
        tmp_path,
        main='input x[2]\nweight w[3]\nmap K(i, j) = table "t.csv"\nlayer h[j] = sum[i] w[K(i, j)] * x[i]',
    )
    with pytest.raises(DiagnosticError) as caught:
        elaborate(main)
    assert caught.value.diagnostics[0].code == code


def test_mistakes_inside_of_an_import_are_shown_there_with_the_place_of_use(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='import "b.dln"\ninput x[4]\nlayer h[3] = bad(x)',
        b="block bad(x[N]) -> y[M] {\n  let y[j] = x[k]\n}",
    )
    with pytest.raises(DiagnosticError) as caught:
        elaborate(main)
    (message,) = caught.value.diagnostics
    assert message.span.source.path.endswith("b.dln")
    assert message.notes[-1].span.source.path.endswith("main.dln")
