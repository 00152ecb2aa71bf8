"""Arrays as pictures that stand inside of the page.

In: an array of numbers.  Out: an HTML image whose bytes are in its address.

    picture(weights[:, 3].reshape(8, 8), title="unit 3")

Positive numbers are blue, negative ones orange, 0 is white: light and dark pages show the same colours. What is read by a
network as brightness, an image of the data, is drawn in greys.
"""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape

import numpy as np

#: Ends of the diverging scale, as red, green, blue.
NEGATIVE, MIDDLE, POSITIVE = (198, 96, 20), (250, 250, 248), (28, 92, 168)


def picture(
    values: np.ndarray, *, title: str = "", grey: bool = False, limit: float = 0.0, size: int = 64
) -> str:
    """An array[rows, columns], or [rows, columns, 3] of colours, as an image about `size` pixels wide.

    limit   the magnitude that gets the full colour; 0: the largest one in the array
    """
    pixels = _grey(values) if grey or values.ndim == 3 else _diverging(values, limit)
    rows, columns = pixels.shape[:2]
    scale = max(1, round(size / max(columns, rows)))
    address = base64.b64encode(png(pixels)).decode()
    told = f' title="{escape(title)}"' if title else ""
    return (
        f'<img class="pixels" width="{columns * scale}" height="{rows * scale}" alt="{escape(title)}"{told}'
        f' src="data:image/png;base64,{address}">'
    )


def png(pixels: np.ndarray) -> bytes:
    """array[rows, columns, 3] of bytes in the Portable Network Graphics format (ISO/IEC 15948)."""
    rows, columns, _ = pixels.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), pixels.reshape(rows, -1)], axis=1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _diverging(values: np.ndarray, limit: float) -> np.ndarray:
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    limit = limit or float(np.abs(finite).max(initial=0.0)) or 1.0
    share = np.clip(finite / limit, -1, 1)[..., None]
    ends = np.where(share > 0, np.array(POSITIVE, float), np.array(NEGATIVE, float))
    middle = np.array(MIDDLE, float)
    return np.rint(middle + np.abs(share) * (ends - middle)).astype(np.uint8)


def _grey(values: np.ndarray) -> np.ndarray:
    """Dark is little, light is much; colours where the last axis has three."""
    finite = np.nan_to_num(values.astype(np.float64))
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    share = (finite - low) / ((high - low) or 1.0)
    colours = share if share.ndim == 3 else np.repeat(share[..., None], 3, axis=-1)
    return np.rint(255 * colours).astype(np.uint8)
