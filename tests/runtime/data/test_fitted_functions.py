"""Functions fitted to the training part, against scikit-learn and NumPy; what is saved with the weights; what is refused."""

from __future__ import annotations

from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.data.column_functions import polynomial
from dln.runtime.data.fitted_calls import FittedStatistics
from dln.runtime.data.reading import check_section, load_data
from dln.tests.runtime.sections import section

preprocessing = pytest.importorskip("sklearn.preprocessing")
decomposition = pytest.importorskip("sklearn.decomposition")


@pytest.fixture
def table(tmp_path):
    """200 correlated rows of five columns, the folder that has them, and the rows of each part."""
    draws = np.random.default_rng(3)
    x = draws.normal(size=(200, 5)) @ draws.normal(size=(5, 5)) + [3, 0, -40, 1e4, 0.5]
    np.savez(tmp_path / "d.npz", x=x, row=np.arange(200.0))
    return x, tmp_path


def parts_of(
    expression: str, folder, width: int = 5, functions: str = ""
) -> tuple[Any, dict[str, np.ndarray]]:
    """The parts' values of an expression, and the row numbers of each."""
    text = f"""{functions}
    data {{
      from npz "d.npz"
      y = {expression}
      row = row
      split 60% train, 20% validation, 20% test
    }}"""
    data = load_data(section(text, {"y": ((width,), None), "row": ((), None)}), "float64", folder)
    return data, {part: arrays["row"].astype(int) for part, arrays in data.parts.items()}


SCALERS = [
    ("standardise(x)", preprocessing.StandardScaler()),
    ("min_max(x)", preprocessing.MinMaxScaler()),
    ("min_max(x, low = -1, high = 2)", preprocessing.MinMaxScaler((-1, 2))),
    ("standardise(polynomial(standardise(x), 2))", None),
]


@pytest.mark.parametrize(("expression", "peer"), SCALERS, ids=[e for e, _ in SCALERS])
def test_scalers_equal_scikit_learn_fitted_to_the_training_part(table, expression, peer):
    x, folder = table
    if peer is None:
        peer = preprocessing.PolynomialFeatures(2, include_bias=False)
        from sklearn.pipeline import make_pipeline

        scaler = preprocessing.StandardScaler
        peer = make_pipeline(scaler(), peer, scaler())
    data, rows = parts_of(expression, folder, 20 if "poly" in expression else 5)
    peer.fit(x[rows["train"]])
    for part in ("train", "validation", "test"):
        np.testing.assert_allclose(data[part]["y"], peer.transform(x[rows[part]]), rtol=1e-9, atol=1e-9)
    assert abs(data["test"]["y"].mean()) > 1e-3  # the test part has a mean of its own


@pytest.mark.parametrize("components", [5, 2])
def test_whitening_equals_scikit_learn_up_to_the_signs_of_the_axes(table, components):
    x, folder = table
    data, rows = parts_of(f"whiten(x, components = {components})", folder, components)
    peer = decomposition.PCA(components, whiten=True).fit(x[rows["train"]])
    expected = peer.transform(x[rows["test"]])
    signs = np.sign((expected * data["test"]["y"]).sum(axis=0))
    np.testing.assert_allclose(data["test"]["y"] * signs, expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(np.cov(data["train"]["y"].T), np.eye(components), atol=1e-9)


def test_decorrelation_keeps_variances_and_zca_stays_nearest_to_the_data(table):
    x, folder = table
    data, rows = parts_of("decorrelate(x)", folder)
    train = x[rows["train"]]
    covariance = np.cov(data["train"]["y"].T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8)
    np.testing.assert_allclose(np.sort(np.diag(covariance)), np.linalg.eigvalsh(np.cov(train.T)), rtol=1e-9)
    data, rows = parts_of("whiten_zca(x, epsilon = 0.1)", folder)
    values, axes = np.linalg.eigh(np.cov(train.T))
    matrix = axes @ np.diag(1 / np.sqrt(values + 0.1)) @ axes.T
    expected = (x[rows["test"]] - train.mean(0)) @ matrix
    np.testing.assert_allclose(data["test"]["y"], expected, rtol=1e-7, atol=1e-9)


def test_one_mean_for_a_channel_or_for_all(tmp_path):
    x = np.random.default_rng(0).normal(2, 3, (40, 3, 4, 4)) * np.array([1, 5, 9])[:, None, None]
    np.savez(tmp_path / "d.npz", x=x)
    for per, axes in (("channel", (0, 2, 3)), ("all", None), ("entry", 0)):
        data, rows = parts_of(f"standardise(x, per = {per})", tmp_path, 48)
        train = x[rows["train"]]
        expected = (x - train.mean(axes, keepdims=True)) / train.std(axes, keepdims=True)
        got = data["test"]["y"].reshape(-1, 3, 4, 4)
        np.testing.assert_allclose(got, expected.reshape(x.shape)[rows["test"]], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_polynomial_features_equal_scikit_learn(degree):
    x = np.random.default_rng(0).normal(size=(7, 3))
    peer = preprocessing.PolynomialFeatures(degree, include_bias=False)
    np.testing.assert_allclose(polynomial(x, degree), peer.fit_transform(x), rtol=1e-12)
    np.testing.assert_allclose(polynomial(x[:, 0], degree), x[:, :1] ** np.arange(1, degree + 1))


def test_a_function_of_the_file_is_fitted_anew_for_each_argument(table):
    x, folder = table
    own = "function scaled(v) = standardise(v)"
    data, rows = parts_of("join(scaled(x), scaled(x^2), row * 0)", folder, 11, own)
    for k, values in enumerate((x, x**2)):
        peer = preprocessing.StandardScaler().fit(values[rows["train"]])
        expected = peer.transform(values[rows["test"]])
        np.testing.assert_allclose(data["test"]["y"][:, 5 * k : 5 * k + 5], expected, rtol=1e-7, atol=1e-9)
    assert list(data.statistics.found) == ["y.standardise", "y.standardise_2"]


# ------------------------------------------------------------------------------- categories and missing values

PEOPLE = "age,town,income\n30,Ulm,1\n,Bonn,2\n50,Ulm,?\n40,NA,4\n20,Bonn,5\n10,Köln,6\n"


def people(columns: str, folder, inputs, split: str = "4 train, 2 test") -> Any:
    (folder / "people.csv").write_text(PEOPLE)
    text = f'data {{\n from csv "people.csv"\n order fixed\n split {split}\n {columns}\n}}'
    return load_data(section(text, inputs), "float64", folder)


def test_gaps_are_filled_from_the_training_part(tmp_path):
    inputs = dict.fromkeys(("a", "b", "c", "d"), ((), None))
    columns = "a = fill_mean(age)\n b = fill_median(income)\n c = fill(age, -1)\n d = missing(age)"
    data = people(columns, tmp_path, inputs)
    np.testing.assert_allclose(data["train"]["a"], [30, 40, 50, 40])
    np.testing.assert_allclose(data["train"]["b"], [1, 2, 2, 4])
    np.testing.assert_allclose(data["train"]["c"], [30, -1, 50, 40])
    np.testing.assert_allclose(data["train"]["d"], [0, 1, 0, 0])
    np.testing.assert_allclose(data["test"]["a"], [20, 10])


def test_categories_come_from_the_training_part_or_from_a_list(tmp_path):
    town = {"t": ((), 4)}
    data = people('t = category(fill(town, "none"), "Ulm", "Bonn", "Köln", "none")', tmp_path, town)
    np.testing.assert_array_equal(data["train"]["t"], [0, 1, 0, 3])
    np.testing.assert_array_equal(data["test"]["t"], [1, 2])
    data = people('t = category(fill(town, "none"))', tmp_path, town, "6 train")
    assert list(data.statistics.found["t.category"]["categories"]) == ["Bonn", "Köln", "Ulm", "none"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("t = age", "line 3 of 'people.csv', column 'age': a value is missing"),
        ("t = income + age", "fill the gaps: fill(income, 0), fill_mean(income) or fill_median(income)"),
        ("t = category(town)", "line 5 of 'people.csv', column 'town': a value is missing"),
        ('t = category(fill(town, "x"))', "line 7 of 'people.csv': 'Köln' is not a known category"),
        ('t = category(fill(town, "x"))', "the categories are those of the training part: Bonn, Ulm, x"),
        ('t = category(town, "Ulm", "Ulm")', "'Ulm' is listed twice"),
        ("t = standardise(town)", "a value is missing"),
        ('t = standardise(fill(town, "x"))', "this column is text"),
        ("t = fill(age + 1, 0)", "'fill' takes a column of people.csv by its name"),
        ("t = fill(town, 0)", "a text, as in fill(town"),
        ("t = standardise(income, pre = all)", "'standardise' takes what, per"),
        ("t = standardise(income, per = row)", "'per' is one of entry, channel, all"),
        ("t = whiten(fill(age, 0), 2)", "2 components of a sample of 1 numbers"),
        ("t = polynomial(fill(age, 0), 0)", "the degree is a whole number from 1"),
        ("t = standardise()", "'standardise' of what?"),
    ],
)
def test_what_is_refused_says_where(tmp_path, columns, message):
    with pytest.raises(DiagnosticError) as caught:
        people(columns, tmp_path, {"t": ((), None)})
    assert message in str(caught.value)


def test_values_are_refused_with_their_row_in_the_source(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.where(np.arange(300) == 123, np.nan, 1.0))
    text = 'data {\n from npz "d.npz"\n x = x\n}'
    with pytest.raises(DiagnosticError, match=r"'x' is NaN in row 123 of d\.npz"):
        load_data(section(text, {"x": ((), None)}), "float32", tmp_path)


def test_constant_entries_are_reported_and_become_zero(tmp_path):
    text = """data {
      from [[1, 5, 2], [1, 6, 2], [1, 7, 2], [3, 9, 9]]
      x = standardise(data)
      y = min_max(data[0], low = 4)
      order fixed
      split 3 train, 1 test
    }"""
    network = section(text, {"x": ((3,), None), "y": ((), None)})
    data = load_data(network, "float64", None)
    np.testing.assert_allclose(data["train"]["x"][:, [0, 2]], 0)
    np.testing.assert_allclose(data["test"]["x"][0], [0, (9 - 6) / np.std([5, 6, 7]), 0])
    np.testing.assert_allclose(data["train"]["y"], 4)
    messages = [w.message for w in data.warnings]
    assert messages == [
        "'standardise' of 'x': entries 0 and 2 of 3 have the same value in every row of the training part",
        "'min_max' of 'y': it has the same value in every row of the training part",
    ]
    assert [w.message for w in check_section(network, None)] == messages


def test_directions_without_extent_are_left_out_of_whitening(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 2)) @ [
        [1, 0, 1],
        [0, 1, 1],
    ]  # the third is the sum of the others
    np.savez(tmp_path / "d.npz", x=x)
    data, _ = parts_of("whiten(x)", tmp_path, 3)
    np.testing.assert_allclose(np.cov(data["train"]["y"].T), np.diag([1, 1, 0]), atol=1e-9)


# ----------------------------------------------------------------------------------------- saved with the weights

FILE = """network towns
input   x[2]
input   t: class[3]
layer   score[3] = dense(x)
loss    cross_entropy(score, t)
data {
  from  csv "towns.csv"
  x     = standardise(join(a, b))
  t     = category(town)
  order fixed
  split 8 train, 2 test
}
train { epochs 1 }
"""


def test_statistics_are_saved_with_the_weights(tmp_path):
    draws = np.random.default_rng(0)
    lines = [f"{a},{b},{t}" for (a, b), t in zip(draws.normal(size=(10, 2)), "xyzxyzxyzx", strict=True)]
    file = tmp_path / "towns.csv"
    file.write_text("a,b,town\n" + "\n".join(lines))
    net = dln.compile(FILE, folder=tmp_path)
    data = net.load_data()
    net.train(data)
    net.save(tmp_path / "w.safetensors")
    again = FittedStatistics.restored(net.statistics.saved())
    assert list(again.found["t.category"]["categories"]) == ["x", "y", "z"]
    np.testing.assert_array_equal(
        again.found["x.standardise"]["mean"], data.statistics.found["x.standardise"]["mean"]
    )
    # Other rows in the file: what was fitted is what counts.
    file.write_text("a,b,town\n" + "\n".join(["7,7,z"] * 8 + lines[8:]))
    later = dln.compile(FILE, folder=tmp_path)
    later.restore(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(later.load_data()["test"]["x"], data["test"]["x"])
    assert set(later.load_data()["train"]["t"]) == {2}
    with pytest.raises(DiagnosticError, match=r"line 11 of 'towns\.csv': 'x' is not a known category"):
        dln.compile(FILE, folder=tmp_path).load_data()
