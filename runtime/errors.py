"""What can go wrong outside of a .dln file: arrays, data, saved weights, a run.

In: nothing.  Out: exception classes whose text is one message for a person. An invalid *file* is a
`DiagnosticError` of compiler/source.py instead, since it can point at a line.

    raise InputError("'image' should have shape (samples, 64), got (10, 63)")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..compiler.source import Diagnostic
    from .training.history import History


class RunError(Exception):
    """Base of all of them."""


class InputError(RunError, ValueError):
    """An array, name or value given from Python does not fit the network."""


class WeightError(RunError, ValueError):
    """Saved weights do not fit the network."""


class NothingToTrain(RunError):
    """A file without a loss or a train section."""


class ResumeError(RunError):
    """A run cannot go on with what is asked for now."""


class TrainingDiverged(RunError, ArithmeticError):
    """The loss became NaN or infinite; the network holds the last good weights again.

    `origin`: the equation in which that began, where it could be found.
    """

    def __init__(self, message: str, history: History, origin: Diagnostic | None = None):
        super().__init__(message)
        self.history, self.origin = history, origin


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C while training; the network holds the best weights so far.

    A KeyboardInterrupt, so that a script which trains several networks ends as its user expects.
    """

    def __init__(self, message: str, history: History):
        super().__init__(message)
        self.history = history
