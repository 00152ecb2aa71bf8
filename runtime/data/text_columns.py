"""Class numbers of texts as arrays: windows, lines, pairs, counts of neighbours.

In: class numbers.  Out: columns, samples first, as text_source.py describes them.

    text_columns(array([5, 3, 8, 1, 9, 2]), 2, 2)      token [[5, 3], [8, 1]]   next [[3, 8], [1, 9]]   following [8, 9]

Windows are views: a text of a million characters has a million windows of 64 without taking any room.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Arrays = dict[str, np.ndarray]


def text_columns(tokens: np.ndarray, steps: int, stride: int) -> Arrays:
    """Windows of `steps` tokens, one beginning at every `stride`-th."""
    if len(tokens) <= steps:
        return {"token": np.zeros((0, steps), np.int32)}
    windows = np.lib.stride_tricks.sliding_window_view(tokens, steps)
    token, following = windows[:-1:stride], windows[1::stride]
    return {"token": token, "next": following, "following": following[:, -1]}


def line_columns(lines: Sequence[np.ndarray], shape: str, steps: int) -> Arrays:
    """Lines: whole ('length', as long as the longest where `steps` is 0), or windows in them, filled up or not.

    Raises ValueError for a line that is too long.
    """
    longest = max(map(len, lines))
    if shape == "length":
        steps = steps or longest + 1
        if longest + 1 > steps:
            raise ValueError(f"its longest line has {longest} tokens and an end; write length({longest + 1})")
        token, following = (np.zeros((len(lines), steps), np.int32) for _ in range(2))
        length = np.array([len(line) + 1 for line in lines], np.int32)
        for row, line in enumerate(lines):
            token[row, 1 : len(line) + 1] = line
            following[row, : len(line)] = line
        weight = (np.arange(steps) < length[:, None]).astype(np.float32)
        return {"token": token, "next": following, "weight": weight, "length": length}
    # One row of tokens, in which windows do not reach from line to line: `steps` zeros, the line, its end.
    if shape == "padded_window":
        parts = [np.concatenate([np.zeros(steps, np.int32), line, [0]]) for line in lines]
    else:
        parts = [line for line in lines if len(line) > steps]
    if not parts:
        return {"token": np.zeros((0, steps), np.int32)}
    tokens = np.concatenate(parts).astype(np.int32)
    ends = np.cumsum([len(p) for p in parts])
    begins = np.concatenate([np.arange(e - len(p), e - steps) for e, p in zip(ends, parts, strict=True)])
    windows = np.lib.stride_tricks.sliding_window_view(tokens, steps)
    return {"token": windows[begins], "next": windows[begins + 1], "following": tokens[begins + steps]}


def pair_columns(pairs: Sequence[tuple[np.ndarray, ...]], sizes: Sequence[int], backwards: bool) -> Arrays:
    """Sources and targets. Raises ValueError for one that is too long."""
    of_source, of_target = sizes
    longest = max(len(s) for s, _ in pairs), max(len(t) for _, t in pairs) + 1
    if longest[0] > of_source or longest[1] > of_target:
        raise ValueError(f"its longest lines, with the end of a target, need lengths{longest}")
    count = len(pairs)
    source = np.zeros((count, of_source), np.int32)
    given, target = (np.zeros((count, of_target), np.int32) for _ in range(2))
    for row, (s, t) in enumerate(pairs):
        source[row, : len(s)] = s[::-1] if backwards else s
        given[row, 1 : len(t) + 1] = t[: of_target - 1]
        target[row, : len(t)] = t
    of = np.array([[len(s), len(t) + 1] for s, t in pairs], np.int32)
    return {
        "source": source,
        "source_weight": (np.arange(of_source) < of[:, :1]).astype(np.float32),
        "source_length": of[:, 0],
        "given": given,
        "target": target,
        "weight": (np.arange(of_target) < of[:, 1:]).astype(np.float32),
    }


def neighbour_columns(lines: Sequence[np.ndarray], classes: int, reach: int) -> Arrays:
    """How often two words stand near each other in a line, each time counted as one over their distance: the X_ij of
    J. Pennington, R. Socher and C. Manning, GloVe: global vectors for word representation (2014), section 4.2. Pairs that never
    do are left out."""
    tokens = np.concatenate(lines).astype(np.int64)
    line = np.repeat(np.arange(len(lines)), [len(t) for t in lines])
    pairs, shares = [], []
    for distance in range(1, min(reach, len(tokens) - 1) + 1):
        same = line[:-distance] == line[distance:]
        first, second = tokens[:-distance][same], tokens[distance:][same]
        pairs += [first * classes + second, second * classes + first]
        shares += [np.full(2 * len(first), 1 / distance)]
    found, place = np.unique(np.concatenate(pairs), return_inverse=True)
    return {
        "word": (found // classes).astype(np.int32),
        "context": (found % classes).astype(np.int32),
        "count": np.bincount(place, np.concatenate(shares)),
    }
