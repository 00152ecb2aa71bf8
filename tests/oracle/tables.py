"""CSV tables as the language writes them: rows of numbers, integers where all are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def read_table(path: Path) -> np.ndarray:
    with path.open(newline="") as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    numbers = np.array([[float(cell) for cell in row] for row in rows])
    if np.all(numbers == np.floor(numbers)):
        return numbers.astype(np.int64)
    return numbers
