"""The static tables of workloads/random_table.dln, for the peers, which have no language to write them in."""

from __future__ import annotations

import numpy as np


def random_table() -> tuple[np.ndarray, np.ndarray]:
    """(source, weight), each int64[1024, 16]: the input and the weight of every connection."""
    place = 16 * np.arange(1024)[:, None] + np.arange(16)[None, :]
    source = ((place + 1) ** 2 * 31 + place * 17) % 65521 % 1024
    weight = ((place + 7) ** 2 * 13 + place * 29) % 65521 % 256
    return source, weight


def lecun_planes() -> np.ndarray:
    """int64[12, 8]: the planes of the first layer that each plane of the second reads."""
    groups = np.array([[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 10, 11], [0, 1, 2, 3, 8, 9, 10, 11]])
    return groups[np.arange(12) // 4]
