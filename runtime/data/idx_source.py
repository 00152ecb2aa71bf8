"""IDX files, the format of MNIST: a header with the shape, then the numbers. Plain or gzip.

In: one or two paths.  Out: {"image": array[n, …], "label": array[n]}, whichever the files hold.

The format: two zero bytes, a type byte, the number of axes, each extent as a big-endian 32-bit integer, the data
(http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import IO

import numpy as np

from ...compiler.source import Span
from .columns import fail

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(paths: list[tuple[Path, Span]]) -> dict[str, np.ndarray]:
    """The arrays of the files: one with a single axis is `label`, any other `image`."""
    arrays: dict[str, np.ndarray] = {}
    for path, span in paths:
        array = read_idx_file(path)
        name = "label" if array.ndim == 1 else "image"
        if name in arrays:
            raise fail("E703", f"a second file of {name}s: '{path.name}' has shape {array.shape}", span)
        arrays[name] = array
    return arrays


def read_idx_file(path: Path) -> np.ndarray:
    """One file's array. Raises ValueError where it is not IDX, or is cut off."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            return _read(raw)
        with gzip.open(raw) as unpacked:
            return _read(unpacked)  # type: ignore[arg-type]


def _read(stream: IO[bytes]) -> np.ndarray:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= 8:
        raise ValueError("it does not begin like an IDX file")
    rank = head[3]
    extents = stream.read(4 * rank)
    if len(extents) < 4 * rank:
        raise ValueError("it ends inside of its header")
    shape = struct.unpack(f">{rank}I", extents)
    data_type = np.dtype(TYPES[head[2]])
    size = math.prod(shape) * data_type.itemsize
    # Read what is there and one byte more, in pieces: the header may lie about the size.
    pieces, have = [], 0
    while have <= size and (piece := stream.read(min(1 << 24, size + 1 - have))):
        pieces.append(piece)
        have += len(piece)
    if have != size:
        more = "more than that" if have > size else f"{have} bytes"
        raise ValueError(f"its header says {shape}, {size} bytes, but there are {more}")
    array = np.frombuffer(b"".join(pieces), dtype=data_type).reshape(shape)
    return array.astype(data_type.newbyteorder("="), copy=False)
