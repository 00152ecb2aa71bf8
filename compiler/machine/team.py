"""One thread or all of them? Whichever runs a routine faster here and now.

In: how long jobs took.  Out: the choice for the next job.

    team = Team()
    several = team.choose(minibatches=100)
    …                                       # run the job
    team.record(several, 100, seconds=0.02)

Results do not depend on the number of threads, so the choice is free, and measuring beats guessing: what a barrier and a line
of cache that changes its core cost depends on the machine, and on what else runs on it.
"""

from __future__ import annotations

#: Jobs of each kind that are measured before the choice is made; from then on, how often the other kind is tried again.
TRIALS = 3
AGAIN = 64
#: How much the latest measurement counts.
_NEWS = 0.5


class Team:
    """The choice for one routine and number of threads. Jobs of few minibatches are counted apart: in them the waking of
    threads weighs more."""

    def __init__(self) -> None:
        self._counts: dict[tuple[bool, bool], int] = {}
        self._seconds: dict[tuple[bool, bool], float] = {}  # per minibatch

    def choose(self, minibatches: int) -> bool:
        """Whether to use several threads."""
        short = minibatches < 16
        one, several = (self._counts.get((short, many), 0) for many in (False, True))
        if min(one, several) < TRIALS:
            return several <= one
        better = self._seconds[short, True] < self._seconds[short, False]
        return not better if (one + several) % AGAIN == 0 else better

    def record(self, several: bool, minibatches: int, seconds: float) -> None:
        """How long a job took."""
        if minibatches < 1:
            return
        key = (minibatches < 16, several)
        spent = seconds / minibatches
        known = self._seconds.get(key)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if known is None or count <= TRIALS:
            # The first jobs also pay for threads that start and memory that is touched for the first time.
            self._seconds[key] = spent if known is None else min(known, spent)
        else:
            self._seconds[key] = (1 - _NEWS) * known + _NEWS * spent
