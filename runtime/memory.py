"""The block of memory that a compiled program works in, and NumPy views of what lies in it.

In: a `Program` (its placements and constants).  Out: `Memory`, whose views are live: native code reads and writes the
same bytes.

    memory = Memory(program)
    memory.view("hidden.w")[...] = 0
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..compiler.kernels.program import Program
from ..compiler.source import did_you_mean
from .arrays import as_numbers
from .errors import InputError, RunError, WeightError

#: Alignment of the block in bytes: a cache line, and the widest vector.
ALIGNMENT = 64

Snapshot = dict[str, np.ndarray]


class Memory:
    """One aligned block. Views keep it alive."""

    def __init__(self, program: Program):
        self.program = program
        _check_size(program)
        # Pages of a zeroed block cost nothing until they are touched.
        raw = np.zeros(program.bytes + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        self.block = raw[start : start + program.bytes]
        self.address = int(raw.ctypes.data) + start
        self._views: dict[str, np.ndarray] = {}
        for name, values in program.constants.items():
            self.view(name)[...] = values

    def view(self, name: str) -> np.ndarray:
        """The live array of a placement, in its declared axis order (batch first where it has one)."""
        view = self._views.get(name)
        if view is None:
            place = self.program.placements[name]
            view = np.ndarray(place.shape, place.data_type, self.block.data, place.offset, place.strides)
            self._views[name] = view
        return view

    def copy_of(self, names: Iterable[str]) -> Snapshot:
        """Copies of arrays as they are now."""
        return {name: self.view(name).copy() for name in names}

    def covering(self, names: Iterable[str]) -> list[np.ndarray]:
        """Live views that cover these arrays of real numbers, as few as can be, with whatever padding lies between them.

        What is asked of all weights at once is asked of one long array instead of many short ones.
        """
        ranges: list[tuple[int, int, str]] = []
        for name in sorted(names, key=lambda name: self.program.placements[name].offset):
            place = self.program.placements[name]
            last = sum((n - 1) * s for n, s in zip(place.shape, place.strides, strict=True))
            begin, end = place.offset, place.offset + last + np.dtype(place.data_type).itemsize
            if ranges and begin - ranges[-1][1] < ALIGNMENT and ranges[-1][2] == place.data_type:
                begin = ranges.pop()[0]
            ranges.append((begin, end, place.data_type))
        return [self.block[begin:end].view(kind) for begin, end, kind in ranges]

    def put_back(self, snapshot: Mapping[str, np.ndarray]) -> None:
        """Write copies back."""
        for name, values in snapshot.items():
            self.view(name)[...] = values


def _check_size(program: Program) -> None:
    """Refuse what the machine cannot hold, before the system kills the process for trying."""
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this system
        return
    if program.bytes > installed:
        raise RunError(
            f"the network needs {program.bytes / 1e9:,.1f} GB for minibatches of {program.capacity:,} samples,"
            f" this machine has {installed / 1e9:,.1f} GB"
        )


class Weights(Mapping[str, np.ndarray]):
    """`net.weights`: name → live array. `net.weights["hidden.w"][0] = 1` changes the network, and so does
    `net.weights["hidden.w"] = array`, which copies and checks the shape."""

    def __init__(self, memory: Memory, names: Iterable[str]):
        self._views = {name: memory.view(name) for name in names}

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._views[name]
        except KeyError:
            raise UnknownWeight(name, self._views) from None

    def __setitem__(self, name: str, value: Any) -> None:
        view, array = self[name], as_numbers(name, value)
        if array.shape != view.shape:
            raise WeightError(f"'{name}' has shape {view.shape}, got {array.shape}")
        view[...] = array

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        listed = ", ".join(f"{name}{list(view.shape)}" for name, view in self._views.items())
        return f"Weights({listed})"


class UnknownWeight(InputError, KeyError):
    """A KeyError whose text is readable."""

    def __init__(self, name: str, known: Iterable[str]):
        names = list(known)
        hint = did_you_mean(name, names)
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        super().__init__(f"no weight '{name}'; {hint or 'the weights are ' + (shown or 'none')}")

    def __str__(self) -> str:
        return str(self.args[0])
