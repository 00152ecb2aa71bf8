"""Data sections against what NumPy and scikit-learn give directly."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dln.compiler.source import NOWHERE, DiagnosticError
from dln.runtime.arrays import check_samples
from dln.runtime.data.csv_source import read_csv
from dln.runtime.data.reading import check_section, from_arrays, load_data
from dln.runtime.errors import InputError
from dln.tests.runtime.sections import section

DIGITS = {"image": ((64,), None), "label": ((), 10)}


def load(text: str, inputs, folder: Path | None = None, **parameters):
    return load_data(section(text, inputs, **parameters), "float32", folder)


def refused(text: str, inputs, folder: Path | None = None) -> str:
    with pytest.raises(DiagnosticError) as caught:
        load(text, inputs, folder)
    return str(caught.value)


# ----------------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer", "diabetes"])
def test_bundled_data_equals_scikit_learn(name):
    datasets = pytest.importorskip("sklearn.datasets")
    expected = getattr(datasets, f"load_{name}")()
    inputs = {"x": (expected.data.shape[1:], None), "t": ((), None)}
    parts = load(f"data {{\n from sklearn.{name}\n x = data\n t = target\n order fixed\n}}", inputs)
    np.testing.assert_allclose(parts["train"]["x"], expected.data.astype(np.float32), rtol=1e-6)
    np.testing.assert_array_equal(parts["train"]["t"], expected.target.astype(np.float32))


def test_bundled_data_is_read_without_importing_scikit_learn():
    code = (
        "import sys; from pathlib import Path; from dln.compiler.source import NOWHERE;"
        "from dln.runtime.data.sources import BUNDLED, _bundled;"
        "print([_bundled(name, NOWHERE).count for name in BUNDLED], 'sklearn.datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[1797, 150, 178, 569, 442] False\n", done


def test_csv_with_header(tmp_path):
    (tmp_path / "houses.csv").write_text("area,price (k),town\n10,1.5,Ulm\n20,2.5,Bonn\n30,4,Ulm\n")
    text = (
        'data {\n from csv "houses.csv"\n x = join(area, price_k)\n label = category(town)\n order fixed\n}'
    )
    train = load(text, {"x": ((2,), None), "label": ((), 2)}, tmp_path)["train"]
    np.testing.assert_array_equal(train["x"], [[10, 1.5], [20, 2.5], [30, 4]])
    np.testing.assert_array_equal(train["label"], [1, 0, 1])
    assert train["label"].dtype == np.int32


def test_text_file_with_spaces_and_no_header(tmp_path):
    (tmp_path / "points.txt").write_text("1 2 3\n4 5 6\n")
    text = 'data {\n from "points.txt"\n x = columns(data, 0, 2)\n t = data[2]\n order fixed\n}'
    train = load(text, {"x": ((2,), None), "t": ((), None)}, tmp_path)["train"]
    np.testing.assert_array_equal(train["x"], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(train["t"], [3, 6])


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ("5.1,3.5,setosa\n4.9,3,virginica\n", ["column1", "column2", "column3", "data"], 2),
        ("town,area (m²),2020\nUlm,1,2\n", ["town", "area_m²", "_2020", "data"], 1),
        ("?,1\n2,3\n", ["column1", "column2", "data"], 2),
        ("a;b\nx;y\n", ["a", "b"], 1),
    ],
)
def test_whether_the_first_line_is_a_header(tmp_path, content, names, rows):
    (tmp_path / "f.csv").write_text(content)
    source = read_csv(tmp_path / "f.csv", NOWHERE)
    assert (source.names, source.count) == (names, rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,\n", "line 3 of 'f.csv', column 'b': a value is missing"),
        ("a,b\n1,2\n3,x\n", "line 3 of 'f.csv', column 'b': 'x' is not a number"),
        ("a,b\n1,2\n3\n", "line 3 of 'f.csv' has 1 columns, the first has 2"),
        ("a,b\n", "has a header and no rows"),
        ("", "has no rows"),
        ("\xff\xfe", "is not UTF-8"),
    ],
)
def test_bad_csv(tmp_path, content, message):
    (tmp_path / "f.csv").write_bytes(content.encode("latin-1"))
    text = 'data {\n from csv "f.csv"\n x = b\n}'
    assert message in refused(text, {"x": ((), None)}, tmp_path)


def test_npz_and_npy(tmp_path):
    x, t = np.arange(12.0).reshape(6, 2), np.arange(6)
    np.savez(tmp_path / "d.npz", x=x, t=t)
    np.save(tmp_path / "d.npy", x)
    # Without a column line, an input takes the source's column of its own name.
    train = load(
        'data {\n from npz "d.npz"\n t = t * 2\n order fixed\n}',
        {"x": ((2,), None), "t": ((), None)},
        tmp_path,
    )["train"]
    np.testing.assert_array_equal(train["x"], x)
    np.testing.assert_array_equal(train["t"], 2 * t)
    train = load('data {\n from npy "d.npy"\n x = data\n order fixed\n}', {"x": ((2,), None)}, tmp_path)
    np.testing.assert_array_equal(train["train"]["x"], x)


def test_broken_and_dangerous_archives(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 nonsense")
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object))
    assert "cannot read 'cut.npz'" in refused(
        'data {\n from npz "cut.npz"\n x = x\n}', {"x": ((), None)}, tmp_path
    )
    assert "cannot read 'objects.npy'" in refused(
        'data {\n from npy "objects.npy"\n x = data\n}', {"x": ((), None)}, tmp_path
    )


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def test_idx_plain_and_gzip_with_a_separate_test_part(tmp_path):
    draws = np.random.default_rng(0)
    images, labels = draws.integers(0, 256, (20, 4, 4), np.uint8), draws.integers(0, 10, 20, np.uint8)
    (tmp_path / "images").write_bytes(idx(images))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(labels)))
    (tmp_path / "floats").write_bytes(idx(images.astype(">f4"), 0x0D))
    text = """data {
      from  idx "images" "labels.gz"
      test  idx "floats" "labels.gz"
      image = image / 255
      split 15 train, 3 validation, 5 test
      order fixed
    }"""
    parts = load(text, {"image": ((4, 4), None), "label": ((), 10)}, tmp_path)
    assert parts.counts == {"train": 15, "validation": 3, "test": 5}
    np.testing.assert_allclose(parts["train"]["image"], images[:15] / 255, rtol=1e-6)
    np.testing.assert_allclose(parts["test"]["image"], images[:5] / 255, rtol=1e-6)
    np.testing.assert_array_equal(parts["validation"]["label"], labels[15:18])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "does not begin like an IDX file"),
        (b"\0\0\x08\x01\0\0", "ends inside of its header"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "5 bytes, but there are 3 bytes"),
        (b"\0\0\x08\x01\0\0\0\x02abc", "2 bytes, but there are more than that"),
        (b"\0\0\x08\x01\xff\xff\xff\xffabc", "but there are 3 bytes"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde", mtime=0)[:-6], "cannot read"),
    ],
)
def test_bad_idx(tmp_path, content, message):
    (tmp_path / "f").write_bytes(content)
    assert message in refused('data {\n from idx "f"\n x = label\n}', {"x": ((), None)}, tmp_path)


def test_inline_rows():
    text = "data {{\n from {}\n x = columns(data, 0, 2)\n t = data[2]\n order fixed\n}}"
    for source in (
        "[[0, 0, 0], [0, 1, 1], [-1, 0, 1]]",
        "table [[0, 0, 0], [0, 1, 1], [-1, 0, 1]]",
    ):
        train = load(text.format(source), {"x": ((2,), None), "t": ((1,), None)})["train"]
        np.testing.assert_array_equal(train["x"], [[0, 0], [0, 1], [-1, 0]])
        np.testing.assert_array_equal(train["t"], [[0], [1], [1]])


def test_random_source_relates_columns_to_each_other():
    text = """data {
      from random(samples = 1000, seed = 3)
      x = uniform(-2, 2)
      t = sin(3 * x[0]) + x[1] + 0.01 * normal()
      n = row mod 4
      split 80% train, 20% test
    }"""
    inputs = {"x": ((2,), None), "t": ((), None), "n": ((), 4)}
    parts = load(text, inputs)
    for part in ("train", "test"):
        x, t = parts[part]["x"].astype(float), parts[part]["t"]
        assert np.abs(t - np.sin(3 * x[:, 0]) - x[:, 1]).max() < 0.06
    assert -2 <= parts["train"]["x"].min() < -1.9 and 1.9 < parts["train"]["x"].max() < 2
    again = load(text, inputs)
    np.testing.assert_array_equal(parts["test"]["x"], again["test"]["x"])
    other = load(text.replace("seed = 3", "seed = 4"), inputs)
    assert not np.array_equal(parts["test"]["x"], other["test"]["x"])


def test_files_stay_inside_their_folders(tmp_path, monkeypatch):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    np.save(outside / "d.npy", np.zeros(3))
    (inside / "link.npy").symlink_to(outside / "d.npy")
    text = 'data {{\n from npy "{}"\n x = data\n}}'
    inputs = {"x": ((), None)}
    for path in ("../outside/d.npy", str(outside / "d.npy")):
        assert "leaves the folder" in refused(text.format(path), inputs, inside)
    for path in ("link.npy", "absent.npy", ""):
        assert "cannot find the data file" in refused(text.format(path), inputs, inside)
    monkeypatch.setenv("DLN_DATA", str(outside))
    assert load(text.format("d.npy"), inputs, inside).counts == {"train": 3}


# ------------------------------------------------------------------------------------------- expressions


def test_resize_equals_pytorch():
    torch = pytest.importorskip("torch")
    from dln.runtime.data.column_functions import resize

    images = np.random.default_rng(0).random((3, 28, 20))
    for height, width in ((16, 16), (40, 31), (28, 20), (1, 2)):
        expected = torch.nn.functional.interpolate(
            torch.tensor(images)[:, None], size=(height, width), mode="bilinear"
        )
        np.testing.assert_allclose(resize(images, height, width), expected[:, 0].numpy(), rtol=0, atol=1e-12)


def test_expressions_of_columns(tmp_path):
    draws = np.random.default_rng(1)
    image, label = draws.integers(0, 256, (9, 6), np.uint8), draws.integers(0, 3, 9)
    np.savez(tmp_path / "d.npz", image=image, label=label, k=np.arange(9))
    text = """
    param gain = 2
    function twice(z, by = gain) = by * z
    data {
      from npz "d.npz"
      image = resize(reshape(image / 127.5 - 1, 2, 3), 4, 6)
      bright = max(label, 1) + image[0, 0]
      target = one_hot(label, 3) * 2 - 1
      y = twice(k) if k > 3 and not k == 5 else -(k ^ 2)
      z = twice(label, by = 0.5) - 255 + exp(0)
      order fixed
    }"""
    inputs = {
        "image": ((4, 6), None),
        "bright": ((), None),
        "target": ((3,), None),
        "y": ((1,), None),
        "z": ((), None),
    }
    train = load(text, inputs, tmp_path, gain=2)["train"]
    k = np.arange(9)
    np.testing.assert_allclose(train["bright"], np.maximum(label, 1) + train["image"][:, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(train["target"], 2 * np.eye(3)[label] - 1)
    np.testing.assert_array_equal(train["y"][:, 0], np.where((k > 3) & (k != 5), 2 * k, -(k**2)))
    np.testing.assert_array_equal(train["z"], 0.5 * label - 254)


def test_large_columns_are_computed_in_pieces(tmp_path):
    values = np.arange(600_000, dtype=np.uint32)
    np.save(tmp_path / "d.npy", values)
    text = 'data {\n from npy "d.npy"\n x = data / 2 + category(data mod 7)\n order fixed\n}'
    train = load(text, {"x": ((), None)}, tmp_path)["train"]
    np.testing.assert_array_equal(train["x"], (values / 2 + values % 7).astype(np.float32))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("image = dat / 16", "sklearn.digits has no column 'dat'"),
        ("image = dat / 16", "help: did you mean 'data'?"),
        ("image = resze(data, 8, 8)", "help: did you mean 'resize'?"),
        ("image = columns(data, 0, 32)", "the input 'image' has 64 numbers a sample, but is given 32"),
        ("image = columns(data, 60, 70)", "entries 60 … 69"),
        ("image = data[64]", "subscript 64 of 0 … 63"),
        ("image = data[0, 0]", "2 subscripts for a sample of shape (64,)"),
        ("image = log(data - 16)", "is NaN"),
        ("image = one_hot(target, 5)", "is not a class number 0 … 4"),
        ("image = data / 0", "'image'"),
        ("image = exp(data * 1000)", "'image' is inf"),
        ("image = reshape(data, 7, 9)", "reshape: cannot reshape"),
        ("image = sum[i] data[i]", "cannot stand in a data section"),
    ],
)
def test_bad_columns(line, message):
    text = f"data {{\n from sklearn.digits\n {line}\n label = target\n}}"
    assert message in refused(text, DIGITS)
    with pytest.raises(DiagnosticError):
        check_section(section(text, DIGITS), None) if "exp" not in line and "log" not in line else (
            load(text, DIGITS)
        )


def test_class_numbers_out_of_range_are_named_with_their_row():
    text = "data {\n from sklearn.digits\n image = data\n label = target + 1\n order fixed\n}"
    assert "'label' should be class numbers 0 … 9, got 10 in row 9" in refused(text, DIGITS)


def test_input_without_a_column():
    text = "data {\n from sklearn.digits\n image = data\n}"
    assert "nothing feeds the input label: class[10]" in refused(text, DIGITS)


def test_unknown_source():
    assert "did you mean 'sklearn.digits'?" not in refused("data {\n from nowhere\n image = data\n}", DIGITS)
    assert "did you mean 'digits'?" in refused("data {\n from sklearn.digit\n image = data\n}", DIGITS)


# ------------------------------------------------------------------------------------------------ splits


def test_split_by_share_uses_every_row_once():
    text = """data {
      from [[0], [1], [2], [3], [4], [5], [6], [7], [8], [9], [10]]
      x = data
      split 70% train, 15% validation, 15% test
    }"""
    parts = load(text, {"x": ((), None)})
    assert parts.counts == {"train": 8, "validation": 1, "test": 2}
    rows = np.concatenate([parts[p]["x"] for p in parts.parts])
    assert sorted(rows) == list(range(11)) and list(rows) != list(range(11))
    other = load(text.replace("x = data", "x = data\n seed 1"), {"x": ((), None)})
    assert not np.array_equal(other["train"]["x"], parts["train"]["x"])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("split 70% train, 40% test", "the parts add up to 110 %"),
        ("split 3 train, 4 test", "the parts need 7 rows, the data has 4"),
        ("split 70% trian, 30% test", "did you mean 'train'?"),
        ("split 70% test", "no train part"),
        ("split train", "a split is a list of sizes and parts"),
        ("split 70%", "a split is a list of sizes and parts"),
        ("split 50% train, 50% train", "'train' is given twice"),
        ("split 0 train", "a part of 0 of the rows"),
        ("split 99% train, 1% test", "the test part has no rows"),
    ],
)
def test_bad_splits(split, message):
    text = f"data {{\n from [[0], [1], [2], [3]]\n x = data\n {split}\n}}"
    assert message in refused(text, {"x": ((), None)})


def test_arrays_from_python_are_split_as_the_file_says():
    text = "data {\n from sklearn.digits\n split 3 train, 1 test\n order fixed\n}"
    network = section(text, {"x": ((2,), None)})

    def check(given):
        return check_samples(given, network.graph.inputs, "float32").arrays

    x = np.arange(8.0).reshape(4, 2)
    parts = from_arrays({"x": x}, network, check)
    assert parts.counts == {"train": 3, "test": 1}
    np.testing.assert_array_equal(parts["test"]["x"], x[3:])
    given = from_arrays({"train": {"x": x}, "validation": {"x": x[:1]}}, network, check)
    assert given.counts == {"train": 4, "validation": 1}
    with pytest.raises(InputError, match="no part 'train'"):
        from_arrays({"test": {"x": x}}, network, check)
