"""The weights that meet the input, in the form in which a person sees them: a picture for each unit where the input is one.

In: the graph of a network, its weights.  Out: `UnitPictures`.

    first_weights(graph, weights)                    [UnitPictures("hidden.w", array[32, 8, 8], whole=False), …]

What is summed over in the equation that multiplies a weight by an input is the picture; what is not are the units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...compiler.mathematics.expression import Load
from ...compiler.mathematics.graph import Array, Family, Graph
from ...compiler.mathematics.walks import axes_in

#: A row of inputs is shown as a square from this many on, where its length is a square number.
LEAST_SQUARE = 36
#: Entries of a weight that is shown as one picture.
LARGEST = 512 * 512


@dataclass(frozen=True)
class UnitPictures:
    """`values`: array[units, rows, columns], or [units, rows, columns, 3] in colours; `whole`: one picture of the whole
    weight, array[1, rows, columns], whose rows and columns are named."""

    name: str
    values: np.ndarray
    whole: bool = False
    rows: str = ""
    columns: str = ""


def first_weights(graph: Graph, weights: Mapping[str, np.ndarray]) -> list[UnitPictures]:
    """Of every weight that stands in a sum with an input."""
    inputs = {a.name: a for a in graph.inputs}
    found: dict[str, UnitPictures] = {}
    for family in graph.families.values():
        if family.role in ("gradient", "update"):
            continue
        met = [inputs[load.array] for load in family.loads if load.array in inputs]
        if not met:
            continue
        for load in family.loads:
            array = graph.arrays.get(load.array)
            if array is None or array.kind != "weight" or array.name in found or array.name not in weights:
                continue
            seen = _pictures(family, load, array, met[0], weights[array.name])
            if seen is not None:
                found[array.name] = seen
    return list(found.values())


def _pictures(
    family: Family, load: Load, array: Array, met: Array, values: np.ndarray
) -> UnitPictures | None:
    summed = set(family.reduction.axes) if family.reduction is not None else set()
    picture, units = [], []
    for place, subscript in enumerate(load.subscripts):
        axes = set(axes_in(subscript))
        if axes and axes <= summed:
            picture.append(place)
        elif not axes & summed:
            units.append(place)
        else:
            return None  # a map mixes both: no place of the weight belongs to one of them
    if any(node.type == "integer" and isinstance(node, Load) for s in load.subscripts for node in [s]):
        return _whole(array, values, "classes", "entries")  # an embedding
    if not picture or values.size <= 1:
        return None
    ordered = np.transpose(values, [*units, *picture])
    shape = [values.shape[k] for k in picture]
    count = math.prod(values.shape[k] for k in units)
    stacked = ordered.reshape(count, *shape)
    if len(shape) == 1:
        side = math.isqrt(shape[0])
        if shape[0] >= LEAST_SQUARE and side * side == shape[0] and len(met.extents) == 1:
            return UnitPictures(array.name, stacked.reshape(count, side, side))
        return _whole(array, stacked, "units", "inputs")
    if len(shape) == 2 and min(shape) > 1:
        return UnitPictures(array.name, stacked)
    if len(shape) == 3 and shape[0] == 1:
        return UnitPictures(array.name, stacked[:, 0])
    if len(shape) == 3 and shape[0] == 3:
        return UnitPictures(array.name, np.moveaxis(stacked, 1, -1))
    return _whole(array, stacked.reshape(count, -1), "units", "inputs")


def _whole(array: Array, values: np.ndarray, rows: str, columns: str) -> UnitPictures | None:
    if values.ndim != 2 or values.size > LARGEST or values.size < 4:
        return None
    return UnitPictures(array.name, values[None], whole=True, rows=rows, columns=columns)
