"""How fast this machine is: multiply-adds of one core, and bytes that it moves; measured once, and kept on disk.

In: nothing.  Out: `Speed`.

    machine_speed()      Speed(multiply_adds=5.3e10, bytes=1.1e10, lanes=8)

Both are the best of several short measurements, a quarter of a second in all: other programs only make a machine slower.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .cache import load_entry, store_entry
from .driver_speed import CHAINS, speed_text
from .fingerprint import llvm_fingerprint
from .module import with_attributes
from .native import compile_text, host_target, load_code
from .target import processor

#: Seconds that one measurement takes, and how many are made.
_SECONDS = 0.001
_TRIALS = 100
#: Bytes of the block that is copied, more than caches hold, and of the pieces in which it is.
_BLOCK = 64 * 2**20
_PIECE = 2**20
#: Vector multiply-adds that a core issues in a cycle.
VECTORS_PER_CYCLE = 2


@dataclass(frozen=True)
class Speed:
    """multiply_adds: of one core in a second, in float32.  bytes: read and written by one core in a second, beyond the caches.
    lanes: numbers of a vector register."""

    multiply_adds: float
    bytes: float
    lanes: int

    @property
    def cycles(self) -> float:
        """Cycles of one core in a second."""
        return self.multiply_adds / (self.lanes * VECTORS_PER_CYCLE)


def machine_speed() -> Speed:
    """The speed of this machine, from the disk if it was measured before."""
    key = ("speed", llvm_fingerprint(), processor())
    kept = load_entry(key)
    if kept is not None:
        return Speed(**json.loads(kept))
    speed = measure_speed()
    store_entry(key, json.dumps(asdict(speed)).encode())
    return speed


def multiply_add_loop() -> tuple[Callable[[int], float], int]:
    """A native function that does so many rounds of nothing but multiply-adds, and how many of them a round is."""
    target = host_target()
    lanes = target.vector_bits // 32
    library = load_code([compile_text(with_attributes(speed_text(lanes), target), target)], ["dln_speed"])
    chains = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(library.addresses["dln_speed"])
    return lambda rounds, library=library: chains(rounds), CHAINS * lanes  # type: ignore[misc]  # the library must stay


def measure_speed() -> Speed:
    """The speed of this machine, measured now."""
    chains, each = multiply_add_loop()
    lanes = each // CHAINS
    rounds = 10_000
    rounds = max(1, int(rounds * _SECONDS / _least(lambda: chains(rounds), 20)))
    multiply_adds = rounds * each / _least(lambda: chains(rounds), _TRIALS)
    block = ctypes.create_string_buffer(2 * _BLOCK)
    start = ctypes.addressof(block)
    # Pieces that are behind each other, so that none is in the caches when its turn comes.
    pieces = itertools.cycle(range(start, start + _BLOCK, _PIECE))
    copied = 2 * _PIECE / _least(lambda: _copy(next(pieces)), 2 * _BLOCK // _PIECE)
    return Speed(multiply_adds, copied, lanes)


def _copy(place: int) -> None:
    ctypes.memmove(place + _BLOCK, place, _PIECE)


def _least(work: Callable[[], object], trials: int) -> float:
    """The least of the times that some work takes, in seconds."""
    best = float("inf")
    for _ in range(trials):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best
