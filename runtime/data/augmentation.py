"""Augmentation: images of the training part, moved a little, differently in every epoch.

In: `augment image flip(horizontal), rotate(10), translate(2), stretch(10%)` in a data section; images, a seed, an epoch.
Out: as many images, moved.

    augmentation = read_augmentation(setting, network)
    augmentation.applied(arrays, seed=0, epoch=3)["image"]        array[n, …, height, width]

    flip(horizontal), flip(vertical), flip(both)    mirrored or not, with equal chances
    rotate(10)           about the middle, by an angle drawn from −10 … 10 degrees
    translate(2)         each way by −2 … 2 pixels: whole ones, or any where the number is written with a point
    stretch(10%)         each axis by a factor between 1/1.1 and 1.1
    outside(-1)          what the image is taken to be beyond its edges (default 0)

An image lies in the last two axes of the input. What is drawn depends on the seed, the epoch and the image's place among the
samples alone. One affine map takes every pixel to where its value comes from, and the four pixels around that place are
interpolated (pixel centres at whole numbers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ...compiler import syntax
from ...compiler.record import record
from ...compiler.source import did_you_mean
from ..execution import default_threads
from ..initialize import generator
from .columns import fail

if TYPE_CHECKING:
    from ...compiler.elaborate import Network

#: Numbers of an image array that are worked on at once.
CHUNK = 1 << 17
WORDS = ("flip", "rotate", "translate", "stretch", "outside")


@record
class Augmentation:
    """What may happen to the images of one input. Angles are in radians, distances in pixels."""

    input: str
    horizontal: bool = False
    vertical: bool = False
    angle: float = 0.0
    distance: float = 0.0
    whole: bool = True
    stretch: float = 0.0
    outside: float = 0.0

    def applied(self, arrays: Mapping[str, np.ndarray], *, seed: int, epoch: int) -> dict[str, np.ndarray]:
        """The arrays of an epoch (from 1): the images moved, everything else as it is."""
        images = arrays[self.input]
        draws = generator(seed, "augment", epoch)
        count = len(images)
        # All of them are drawn, whatever is used: adding a rotation does not change the shifts.
        angles = draws.uniform(-1, 1, count) * self.angle
        shifts = draws.uniform(-1, 1, (2, count))
        stretches = (1 + self.stretch) ** draws.uniform(-1, 1, (2, count))
        mirrored = draws.random((2, count)) < 0.5
        flips = np.where(mirrored & np.array([[self.vertical], [self.horizontal]]), -1.0, 1.0)
        steps = np.floor((shifts + 1) / 2 * (2 * self.distance + 1)) - self.distance
        shifts = steps if self.whole else shifts * self.distance
        if self.angle == 0 and self.stretch == 0 and self.whole:
            moved = shifted(images, shifts.astype(np.int64), flips < 0, self.outside)
        else:
            moved = resampled(images, _matrices(angles, flips * stretches), shifts, self.outside)
        return {**arrays, self.input: moved}


def _matrices(angles: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """For every image the map from a place in the new image to a place in the old one, both from the middle: [n, 2, 2]."""
    cosine, sine = np.cos(angles), np.sin(angles)
    back = np.array([[cosine, -sine], [sine, cosine]]) / factors[:, np.newaxis]
    return np.moveaxis(back, -1, 0)


def shifted(images: np.ndarray, shifts: np.ndarray, mirrored: np.ndarray, outside: float) -> np.ndarray:
    """Mirrored (rows, columns: bool[2, n]), then moved by whole pixels (int[2, n]), down and to the right."""
    height, width = images.shape[-2:]
    moved = np.full_like(images, outside)
    moves = np.concatenate([shifts, mirrored.astype(np.int64)])
    order = np.lexsort(moves)
    ordered = moves[:, order]
    starts = np.flatnonzero(np.r_[True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)])
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        which = np.sort(order[start:stop])
        down, right, upside, backwards = (int(v) for v in ordered[:, start])
        some = images[which]
        if upside:
            some = some[..., ::-1, :]
        if backwards:
            some = some[..., ::-1]
        target = np.full_like(some, outside)
        target[..., max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = some[
            ..., max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
        ]
        moved[which] = target
    return moved


def resampled(images: np.ndarray, matrices: np.ndarray, shifts: np.ndarray, outside: float) -> np.ndarray:
    """The value at p of a new image is the old one's at M(p − middle − shift) + middle, interpolated.

    images [n, …, height, width], matrices [n, 2, 2], shifts [2, n] (rows, columns).
    """
    height, width = images.shape[-2:]
    flat = images.reshape(len(images), -1, height, width)
    moved = np.empty_like(flat)
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    offsets = middle - np.einsum("nij,nj->ni", matrices, middle + shifts.T)
    chunk = max(1, CHUNK // (height * width))

    def work(start: int) -> None:
        some = slice(start, start + chunk)
        _resample(flat[some], matrices[some], offsets[some], outside, moved[some])

    # NumPy works without Python's lock, so that threads help; the result does not depend on how many there are.
    with ThreadPoolExecutor(default_threads()) as threads:
        list(threads.map(work, range(0, len(flat), chunk)))
    return moved.reshape(images.shape)


def _resample(
    images: np.ndarray, matrices: np.ndarray, offsets: np.ndarray, outside: float, moved: np.ndarray
) -> None:
    """A few images [n, channels, height, width] into `moved`."""
    count, channels, height, width = images.shape
    kind = images.dtype
    rows, columns = np.arange(height, dtype=kind)[:, np.newaxis], np.arange(width, dtype=kind)
    places = []
    for axis, extent in ((0, height), (1, width)):
        by_row, by_column = matrices[:, axis, 0].astype(kind), matrices[:, axis, 1].astype(kind)
        place = by_row[:, np.newaxis, np.newaxis] * rows + by_column[:, np.newaxis, np.newaxis] * columns
        place += offsets[:, axis].astype(kind)[:, np.newaxis, np.newaxis]
        places.append(np.clip(place, -1, extent, out=place))
    low = [np.floor(place) for place in places]
    share = [place - base for place, base in zip(places, low, strict=True)]
    # A frame of `outside` around every image: one pixel before it, two behind.
    wide = width + 3
    framed = np.full((channels, count, height + 3, wide), outside, kind)
    framed[:, :, 1:-2, 1:-2] = images.swapaxes(0, 1)
    where = (low[0].astype(np.int32) + 1) * wide + low[1].astype(np.int32) + 1
    where += (np.arange(count, dtype=np.int32) * ((height + 3) * wide))[:, np.newaxis, np.newaxis]
    for channel in range(channels):
        pixels = framed[channel].reshape(-1)

        def along(start: np.ndarray, pixels: np.ndarray = pixels) -> np.ndarray:
            left, right = pixels.take(start, mode="clip"), pixels.take(start + 1, mode="clip")
            right -= left
            right *= share[1]
            right += left
            return right

        above, below = along(where), along(where + wide)
        below -= above
        below *= share[0]
        np.add(above, below, out=moved[:, channel])


# --------------------------------------------------------------------------------------------------- reading


def read_augmentation(setting: syntax.Setting, network: Network) -> Augmentation:
    """The key `augment` of a data section. Raises DiagnosticError."""
    first, *moves = setting.values
    images = [a.name for a in network.graph.inputs if a.type == "real" and len(a.extents) >= 2]
    if not isinstance(first, syntax.Name) or first.name not in images:
        known = f"the images are {', '.join(images)}" if images else "an image has two axes or more"
        raise fail("E706", "augment is followed by an input that is an image", first.span, help=known)
    found = Augmentation(first.name)
    changes: dict[str, object] = {}
    for move in moves:
        if not isinstance(move, syntax.Call) or move.function not in WORDS or len(move.arguments) != 1:
            name = move.function if isinstance(move, syntax.Call) else ""
            help = did_you_mean(name, WORDS) or "for instance flip(horizontal), rotate(10), translate(2)"
            raise fail(
                "E706", f"expected one of {', '.join(WORDS)}, each with one value", move.span, help=help
            )
        changes |= _change(move, network)
    if not set(changes) - {"outside"}:
        raise fail("E706", "nothing that could happen to the image", setting.span)
    return Augmentation(**{**found.__dict__, **changes})


def _change(move: syntax.Call, network: Network) -> dict[str, object]:
    (value,) = move.arguments
    if move.function == "flip":
        ways = {"horizontal": ("horizontal",), "vertical": ("vertical",), "both": ("horizontal", "vertical")}
        if not isinstance(value, syntax.Name) or value.name not in ways:
            raise fail("E706", f"flip is {', '.join(ways)}", value.span)
        return dict.fromkeys(ways[value.name], True)
    number = network.evaluate_number(value)
    if move.function == "outside":
        return {"outside": float(number)}
    if not 0 <= number < 1e6:
        raise fail("E706", f"'{move.function}' takes a number from 0, got {number:g}", value.span)
    match move.function:
        case "rotate":
            return {"angle": math.radians(number)}
        case "stretch":
            return {"stretch": float(number)}
    return {"distance": float(number), "whole": float(number).is_integer() and not isinstance(number, float)}
