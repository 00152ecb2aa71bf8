"""Arrays given from Python, checked against the inputs that a network declares.

In: a mapping of names to anything array-like, the graph's input arrays, the program's float type.
Out: `Samples`: row-major arrays of the program's types, batch first.  Or an `InputError` that says what
was expected and what came.

    check_samples({"image": X, "label": y}, graph.inputs, "float32")
    InputError: 'label' should be class numbers 0 … 9, got 12 in row 3 (rows count from 0)

Any memory order, byte order and number type will do; what is already right is not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from ..compiler.mathematics.graph import Array
from ..compiler.record import record
from ..compiler.source import did_you_mean
from .errors import InputError

#: Where a row comes from, in words.
RowPlace = Callable[[int], str]


@record
class Samples:
    """`arrays`: input name → array with the samples first. `single`: one sample came, without that axis."""

    arrays: dict[str, np.ndarray]
    count: int
    single: bool = False


def describe_input(array: Array) -> str:
    """An input as its declaration reads: `image[16, 16]`, `label: class[10]`."""
    extents = f"[{', '.join(map(str, array.extents))}]" if array.extents else ""
    return f"{array.name}{extents}" + ("" if array.classes is None else f": class[{array.classes}]")


def describe_shape(array: Array) -> str:
    """The shape that an array for this input has: `(samples, 64)`."""
    return f"({', '.join(['samples', *map(str, array.extents)])}{',' if not array.extents else ''})"


def check_samples(
    given: Mapping[str, Any],
    inputs: Iterable[Array],
    float_type: str,
    *,
    needed: Collection[str] | None = None,
    finite: Collection[str] = (),
) -> Samples:
    """Check and convert the arrays of one call.

    needed    names that must be given (default: all inputs); others may be left out
    finite    real inputs in which a NaN or infinity is refused (labels; everything when training)

    An array is (samples, *extents), or for every input alike just (*extents): one sample. Raises InputError.
    """
    declared = {array.name: array for array in inputs}
    for name in given:
        if name not in declared:
            hint = did_you_mean(name, declared)
            known = ", ".join(describe_input(a) for a in declared.values()) or "none"
            raise InputError(
                f"unknown input '{name}'" + (f"; {hint}" if hint else "") + f" (the inputs: {known})"
            )
    missing = [n for n in (declared if needed is None else needed) if n not in given]
    if missing:
        raise InputError("missing input: " + ", ".join(describe_input(declared[n]) for n in missing))
    arrays = {name: as_numbers(name, value) for name, value in given.items()}
    single = _single(arrays, declared)
    if single:
        arrays = {name: value[np.newaxis] for name, value in arrays.items()}
    counts = {name: len(value) for name, value in arrays.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"the inputs have different numbers of samples: {listed}")
    for name, count in counts.items():
        if count == 0:
            raise InputError(f"'{name}' has no samples: its shape is {arrays[name].shape}")
    checked = {
        name: convert(value, declared[name], float_type, finite=name in finite)
        for name, value in arrays.items()
    }
    return Samples(checked, count_samples(checked), single)


def count_samples(arrays: Mapping[str, np.ndarray]) -> int:
    """How many samples arrays hold; a network without inputs computes its one value once."""
    return next((len(array) for array in arrays.values()), 1)


def _single(arrays: Mapping[str, np.ndarray], declared: Mapping[str, Array]) -> bool:
    """Whether one sample without a batch axis was given; refuses shapes that fit neither way."""
    alone = {n: value.shape == declared[n].extents for n, value in arrays.items()}
    for name, value in arrays.items():
        array = declared[name]
        if alone[name] or (value.shape[1:] == array.extents and value.ndim == len(array.extents) + 1):
            continue
        size, count = int(np.prod(array.extents)), value.size
        hint = ""
        if count and value.ndim and count == size * len(value):
            hint = f"; reshape it with .reshape({', '.join(map(str, (-1, *array.extents)))})"
        raise InputError(f"'{name}' should have shape {describe_shape(array)}, got {value.shape}{hint}")
    if any(alone.values()) and not all(alone.values()):
        one = next(n for n, is_alone in alone.items() if is_alone)
        many = next(n for n, is_alone in alone.items() if not is_alone)
        raise InputError(
            f"'{one}' is one sample of shape {arrays[one].shape}, but '{many}' has shape"
            f" {arrays[many].shape}; give both with the samples as first axis, or both without"
        )
    return all(alone.values())


def as_numbers(name: str, value: Any) -> np.ndarray:
    """An array of numbers, or an InputError that says what came."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"'{name}' is a masked array with values missing; fill them first")
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of differing lengths
        raise InputError(f"'{name}' should be an array of numbers: {error}") from None
    if array.dtype.kind == "O":
        raise InputError(
            f"'{name}' should be an array of numbers, got objects"
            f" ({type(value).__name__} of {_first_type(array)})"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"'{name}' should be an array of numbers, got {array.dtype}")
    return array


def _first_type(array: np.ndarray) -> str:
    return type(array.flat[0]).__name__ if array.size else "nothing"


def convert(
    value: np.ndarray, array: Array, float_type: str, *, finite: bool, place: RowPlace | None = None
) -> np.ndarray:
    """Values of the right shape, in the program's type and row-major; class numbers checked one by one.

    `place` says where a row of `value` comes from, for messages.
    """
    if array.type == "integer":
        return _convert_classes(value, array, place)
    if value.dtype.kind == "f" and finite:
        refuse_where(~np.isfinite(value), array.name, "is {value}", value, place)
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite
        return np.ascontiguousarray(value, dtype=np.dtype(float_type))


def _convert_classes(value: np.ndarray, array: Array, place: RowPlace | None) -> np.ndarray:
    if value.dtype.kind == "f":
        refuse_where(~np.isfinite(value), array.name, "is {value}", value, place)
        whole = "should be whole class numbers, got {value}"
        refuse_where(value != np.floor(value), array.name, whole, value, place)
    limit = array.classes if array.classes is not None else 2**31
    wrong = value >= limit
    if value.dtype.kind in "if":
        wrong |= value < 0
    refuse_where(wrong, array.name, f"should be class numbers 0 … {limit - 1}, got {{value}}", value, place)
    return np.ascontiguousarray(value, dtype=np.int32)


def refuse_where(
    wrong: np.ndarray, name: str, text: str, value: np.ndarray, place: RowPlace | None = None
) -> None:
    """Raise an InputError about the first wrong entry, with its row, if there is one."""
    if not wrong.any():
        return
    row, *rest = (int(k) for k in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    at = f" at {rest}" if rest else ""
    where = f"in row {row}{at} (rows count from 0)" if place is None else f"in {place(row)}{at}"
    more = int(np.count_nonzero(wrong)) - 1
    shown = value[(row, *rest)].item()
    shown = int(shown) if isinstance(shown, float) and shown.is_integer() else shown
    raise InputError(
        f"'{name}' "
        + text.format(value="NaN" if shown != shown else shown)
        + f" {where}"
        + (f", and in {more} more entries" if more else "")
    )
