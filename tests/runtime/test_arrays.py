"""What is accepted as input, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.mathematics.graph import Array
from dln.runtime.arrays import check_samples
from dln.runtime.errors import InputError

IMAGE = Array("image", "input", (4, 2), True)
LABEL = Array("label", "input", (), True, "integer", 10)
X = np.arange(24.0).reshape(3, 4, 2)


@pytest.mark.parametrize(
    "value",
    [
        X,
        np.asfortranarray(X),
        X.astype(np.float32),
        X.astype(np.int16),
        X.astype(">f8"),
        X.tolist(),
        np.repeat(X, 2, axis=2)[:, :, ::2],
        np.broadcast_to(X[:1], (3, 4, 2)) * 0 + X,
    ],
)
def test_any_order_and_number_type_will_do(value):
    samples = check_samples({"image": value}, [IMAGE, LABEL], "float32", needed=["image"])
    got = samples.arrays["image"]
    assert got.dtype == np.float32 and got.flags.c_contiguous and samples.count == 3
    np.testing.assert_array_equal(got, X)


def test_read_only_arrays_are_not_copied():
    value = X.astype(np.float32)
    value.flags.writeable = False
    got = check_samples({"image": value}, [IMAGE], "float32").arrays["image"]
    assert np.shares_memory(got, value)


def test_one_sample_without_its_axis():
    samples = check_samples({"image": X[0], "label": 3}, [IMAGE, LABEL], "float64")
    assert samples.single and samples.count == 1
    np.testing.assert_array_equal(samples.arrays["image"], X[:1])
    np.testing.assert_array_equal(samples.arrays["label"], [3])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"imag": X}, "unknown input 'imag'; did you mean 'image'?"),
        ({"label": [1, 2, 3]}, "missing input: image[4, 2]"),
        ({"image": X[:, :3]}, "'image' should have shape (samples, 4, 2), got (3, 3, 2)"),
        ({"image": X.reshape(3, 8)}, "got (3, 8); reshape it with .reshape(-1, 4, 2)"),
        ({"image": X[:0]}, "'image' has no samples: its shape is (0, 4, 2)"),
        ({"image": np.array([{}, None])}, "'image' should be an array of numbers, got objects"),
        ({"image": [[1, 2], [3]]}, "'image' should be an array of numbers"),
        ({"image": "text"}, "'image' should be an array of numbers, got <U4"),
        ({"image": X + 1j}, "got complex128"),
        ({"image": None}, "got objects (NoneType of NoneType)"),
        ({"image": np.ma.masked_array(X, X > 3)}, "values missing"),
        ({"image": X, "label": [1, 2]}, "different numbers of samples: image 3, label 2"),
        ({"image": X, "label": 1}, "'label' is one sample of shape (), but 'image' has shape (3, 4, 2)"),
        ({"image": X, "label": [1, 10, 2]}, "'label' should be class numbers 0 … 9, got 10 in row 1"),
        ({"image": X, "label": [1, 2, -1]}, "class numbers 0 … 9, got -1 in row 2"),
        ({"image": X, "label": [1, np.nan, np.nan]}, "'label' is NaN in row 1 (rows count from 0), and in 1 more"),
        ({"image": X, "label": [1, 2.5, 3]}, "whole class numbers, got 2.5 in row 1"),
        ({"image": X, "label": np.array([1, 2**63, 3], np.uint64)}, "got 9223372036854775808 in row 1"),
    ],
)  # fmt: skip
def test_refused(given, message):
    with pytest.raises(InputError) as caught:
        check_samples(given, [IMAGE, LABEL], "float32", needed=["image"])
    assert message in str(caught.value)


def test_nan_is_refused_only_where_it_is_asked_for():
    bad = X.copy()
    bad[1, 2, 0] = np.nan
    assert np.isnan(check_samples({"image": bad}, [IMAGE], "float32").arrays["image"]).any()
    with pytest.raises(InputError, match=r"'image' is NaN in row 1 at \[2, 0\]"):
        check_samples({"image": bad}, [IMAGE], "float32", finite=["image"])
