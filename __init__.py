"""dln: a declarative graph compiler and runtime for neural networks.

In: a .dln file.  Out: a network in native code that runs on NumPy arrays, and trains.

    import dln

    net = dln.load("digits.dln")               # or dln.compile(text)
    history = net.train()                      # the file's own data section
    out = net(image=X)                         # {"score": array, …}
    loss, gradient = net.loss_and_gradient(image=X, label=y)

Everything is imported when it is first used, so that `import dln` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiler.source import Diagnostic, DiagnosticError
    from .runtime.errors import (
        InputError,
        RunError,
        TrainingDiverged,
        TrainingInterrupted,
        WeightError,
    )
    from .runtime.loading import compile, load
    from .runtime.program import Network
    from .runtime.training.history import History, Record
    from .runtime.training.outer_optimizers import OuterOptimizer

__version__ = "0.1.0"

_HOMES = {
    "Diagnostic": ".compiler.source",
    "DiagnosticError": ".compiler.source",
    "History": ".runtime.training.history",
    "InputError": ".runtime.errors",
    "Network": ".runtime.program",
    "OuterOptimizer": ".runtime.training.outer_optimizers",
    "Record": ".runtime.training.history",
    "RunError": ".runtime.errors",
    "TrainingDiverged": ".runtime.errors",
    "TrainingInterrupted": ".runtime.errors",
    "WeightError": ".runtime.errors",
    "compile": ".runtime.loading",
    "load": ".runtime.loading",
}

__all__ = [
    "Diagnostic",
    "DiagnosticError",
    "History",
    "InputError",
    "Network",
    "OuterOptimizer",
    "Record",
    "RunError",
    "TrainingDiverged",
    "TrainingInterrupted",
    "WeightError",
    "compile",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dln' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
