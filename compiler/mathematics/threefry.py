"""The random numbers of a network: a counter-based generator, in NumPy. The same bits as vector_random.py's machine code.

In: two words of key and two of counter (arrays of any shape).  Out: two random words, or a number between 0 and 1.

    uniform(seed, number, step, start, place)     → the number that draw `number` gives in a step at an index point

A draw is a pure function of where it is asked for: seed, which draw of the file, step, sample and indices. So the bits depend
neither on threads nor on the width of vectors, and forward and backward equations that read it see the same.

Threefry-2×32 with 13 rounds, the fewest that pass every test of BigCrush: J. Salmon, M. Moraes, R. Dror and D. Shaw, Parallel
random numbers: as easy as 1, 2, 3 (2011), section 4.3 and table 2. It needs nothing but +, ⊕ and rotations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROUNDS = 13
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
#: The third word of the key is this ⊕ the others.
PARITY = 0x1BD11BDA
#: Bits of a word that become a number: all of (k + ½) / 2^23 are exact in float32, and lie strictly between 0 and 1.
BITS = 23


def threefry(
    key: tuple[Any, Any], counter: tuple[Any, Any], rounds: int = ROUNDS
) -> tuple[np.ndarray, np.ndarray]:
    """The two words that belong to a key and a counter. All words count modulo 2^32; arrays are broadcast."""
    key0, key1, x0, x1 = (_word(w) for w in (*key, *counter))
    keys = (key0, key1, key0 ^ key1 ^ np.uint32(PARITY))
    with np.errstate(over="ignore"):  # words wrap around
        x0, x1 = x0 + keys[0], x1 + keys[1]
        for turn in range(rounds):
            by = ROTATIONS[turn % 8]
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(by)) | (x1 >> np.uint32(32 - by))) ^ x0
            if turn % 4 == 3:
                again = turn // 4 + 1
                x0 = x0 + keys[again % 3]
                x1 = x1 + keys[(again + 1) % 3] + np.uint32(again)
    return x0, x1


def uniform(seed: Any, number: Any, step: Any, start: Any, place: Any, word: int = 0) -> np.ndarray:
    """A number strictly between 0 and 1, in double precision; `word`: which of the two that belong together.

    `place` is the flat index of the point in a minibatch's family, `start` that of the minibatch among all samples.
    """
    words = threefry((seed, number), (np.asarray(start) + np.asarray(place), step))
    return ((words[word] >> np.uint32(32 - BITS)).astype(np.float64) + 0.5) * 2.0**-BITS


def _word(value: Any) -> np.ndarray:
    return np.asarray(np.asarray(value, dtype=np.int64) & 0xFFFFFFFF, dtype=np.uint32)
