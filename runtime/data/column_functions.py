"""Functions of a data section that look at one row at a time.

In: arrays with the rows first.  Out: arrays with the rows first.

    FUNCTIONS["one_hot"](label, 10)             array[n, 10]

What a column of all rows tells (a mean, the categories there are) is in fitted_functions.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

#: Entries of a sample that `polynomial` may make.
MOST_FEATURES = 1_000_000


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    """`one_hot(label, 10)`: 1 at the class, 0 elsewhere; shape [.., classes]. Raises ValueError outside of 0 … classes−1."""
    label = np.asarray(label)
    whole = label.astype(np.int64)
    wrong = (whole != label) | (whole < 0) | (whole >= classes)
    if wrong.any():
        raise ValueError(f"{label[wrong].flat[0]:g} is not a class number 0 … {classes - 1}")
    return (whole[..., np.newaxis] == np.arange(classes)).astype(np.float64)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`resize(image, 16, 16)`: the last two axes resampled bilinearly, with pixel centres at half integers.

    The convention of most libraries (PyTorch: interpolate(mode="bilinear", align_corners=False)); no smoothing.
    """
    if image.ndim < 3:
        raise ValueError(f"an image has two axes, this has the shape {image.shape[1:]}")
    for axis, size in ((-2, height), (-1, width)):
        extent = image.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * (extent / size) - 0.5, 0, extent - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, extent - 1)
        share = (place - low).reshape(-1, *[1] * (-axis - 1))
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image


def reshape(value: np.ndarray, *extents: int) -> np.ndarray:
    """`reshape(data, 8, 8)`: the sample's entries in row-major order, under other extents."""
    return value.reshape(len(value), *extents)


def columns(value: np.ndarray, start: int, stop: int) -> np.ndarray:
    """`columns(data, 0, 8)`: entries start … stop − 1 along the sample's last axis."""
    if value.ndim < 2 or not 0 <= start < stop <= value.shape[-1]:
        raise ValueError(f"entries {start} … {stop - 1} of a sample of shape {value.shape[1:]}")
    return value[..., start:stop]


def join(*values: np.ndarray) -> np.ndarray:
    """`join(age, height, weight)`: numbers and vectors side by side in one vector."""
    flat = [v.reshape(len(v), -1) for v in values]
    return np.concatenate(flat, axis=1)


def polynomial(value: np.ndarray, degree: int) -> np.ndarray:
    """`polynomial(x, 3)`: all products of one to `degree` entries: of a and b to degree 2, a, b, a², a·b, b².

    Shape [features], in the order of scikit-learn's PolynomialFeatures; without the constant, which a bias is for.
    """
    if degree != int(degree) or degree < 1:
        raise ValueError(f"the degree is a whole number from 1, got {degree:g}")
    flat = np.asarray(value, np.float64).reshape(len(value), -1)
    width, degree = flat.shape[1], int(degree)
    features = math.comb(width + degree, degree) - 1
    if features > MOST_FEATURES:
        raise ValueError(f"{width} entries to degree {degree} are {features:,} features")
    out = np.empty((len(flat), features))
    at = 0
    for size in range(1, degree + 1):
        for chosen in itertools.combinations_with_replacement(range(width), size):
            np.prod(flat[:, chosen], axis=1, out=out[:, at])
            at += 1
    return out


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    f.__name__: f for f in (one_hot, resize, reshape, columns, join, polynomial)
}
