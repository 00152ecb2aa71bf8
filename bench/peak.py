"""The multiply-adds that this machine does in a second on several threads at once, beside what is measured against them.

In: a number of threads.  Out: `Peak`.

    peak = Peak(2)
    peak.measure(0.1)      1.9e11 / 2 on a quiet machine, half of it while both threads have one core

Two threads are not always twice as fast as one: cores may be two halves of one, and other guests of the machine use them too.
So the peak is measured like a workload, again in each round, and not as the best of all times on one core.
"""

from __future__ import annotations

import threading
import time

from dln.compiler.machine.speed import multiply_add_loop

#: Seconds of one native call.
_PIECE = 0.002


class Peak:
    """A loop of nothing but multiply-adds in registers, on so many threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.loop, self.each = multiply_add_loop()
        rounds = 10_000
        begun = time.perf_counter()
        self.loop(rounds)
        self.rounds = max(1, int(rounds * _PIECE / (time.perf_counter() - begun)))

    def measure(self, seconds: float) -> float:
        """Multiply-adds a second of all threads together."""
        done = [0] * self.threads
        ready = threading.Barrier(self.threads + 1)
        end = float("inf")

        def work(number: int) -> None:
            ready.wait()
            while time.perf_counter() < end:
                self.loop(self.rounds)
                done[number] += 1

        workers = [threading.Thread(target=work, args=(n,)) for n in range(self.threads)]
        for worker in workers:
            worker.start()
        end = time.perf_counter() + seconds
        begun = time.perf_counter()
        ready.wait()
        for worker in workers:
            worker.join()
        return sum(done) * self.rounds * self.each / (time.perf_counter() - begun)
