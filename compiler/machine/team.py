"""One thread or all of them? Whichever runs a routine faster here and now.

In: how long jobs took.  Out: the choice for the next job.

    team = Team()
    several = team.choose(minibatches=100)
    …                                       # run the job
    team.record(several, 100, seconds=0.02)

Results do not depend on the number of threads, so the choice is free, and measuring beats guessing: what a barrier and a line
of cache that changes its core cost depends on the machine, and on what else runs on it. That changes from one moment to the
next: what is compared are jobs that ran one after the other, and a choice that one job has changed is tried again soon.
"""

from __future__ import annotations

from collections import deque

#: Jobs of each kind that are measured before the choice is made, unless it is clear before.
TRIALS = 3
#: One of the two is clearly faster if the other takes so many times as long.
_CLEARLY = 1.3
#: Jobs between two trials of the other kind: as few after a choice, twice as many each time that it is confirmed.
SOON, AGAIN = 8, 64
#: So many of the latest jobs tell how long one takes.
_LATEST = 3


class Team:
    """The choice for one routine and number of threads. Jobs of few minibatches are counted apart: in them the waking of
    threads weighs more."""

    def __init__(self) -> None:
        self._kinds = {short: _Choice() for short in (False, True)}

    def choose(self, minibatches: int) -> bool:
        """Whether to use several threads."""
        return self._kinds[minibatches < 16].next()

    def record(self, several: bool, minibatches: int, seconds: float) -> None:
        """How long a job took."""
        if minibatches > 0:
            self._kinds[minibatches < 16].record(several, seconds / minibatches)


class _Choice:
    """The choice for jobs of one kind."""

    def __init__(self) -> None:
        #: What the latest jobs took for a minibatch, on one thread and on several.
        self.latest: dict[bool, deque[float]] = {many: deque(maxlen=_LATEST) for many in (False, True)}
        self.several, self.decided = True, False
        self.since, self.interval = 0, SOON

    def next(self) -> bool:
        if not self.decided:
            return len(self.latest[True]) <= len(self.latest[False])
        return self.several != (self.since >= self.interval)

    def record(self, several: bool, spent: float) -> None:
        if not self.decided:
            self.latest[several].append(spent)
            self._decide()
        elif several == self.several:
            self.latest[several].append(spent)
            self.since += 1
            # What takes longer than the other did may take longer than it does.
            if self._usual(several) > self._usual(not several):
                self.interval = min(self.interval, max(self.since, SOON))
        else:
            self.latest[several] = deque([spent], maxlen=_LATEST)  # what it took in earlier times says little
            self.since, self.interval = 0, min(2 * self.interval, AGAIN)
            if spent < self._usual(self.several):
                self.several, self.interval = several, SOON

    def _decide(self) -> None:
        """Choose, if enough is known. The first jobs also pay for threads that start and memory that is touched for the first
        time: the least of each kind counts."""
        one, several = self.latest[False], self.latest[True]
        if not one or len(several) < 2:
            return
        ratio = min(one) / min(several)
        if min(len(one), len(several)) >= TRIALS or not 1 / _CLEARLY < ratio < _CLEARLY:
            self.several, self.decided = ratio > 1, True

    def _usual(self, several: bool) -> float:
        times = sorted(self.latest[several])
        return times[len(times) // 2]
