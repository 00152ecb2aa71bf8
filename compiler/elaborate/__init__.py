"""Syntax to graph: names, blocks, extents, types; every mistake of a file in one run.

In: a file.  Out: `Network`, whose `graph` holds index equations.

    elaborate("digits.dln").graph.families["hidden"]
    → hidden[batch, j] = max(hidden.y[batch, j], 0)

Read in this order:
    terms, targets, sizes        what is built: terms over open sizes, arrays and families, unification
    scope, context, modules      where names are found: files, imports, the prelude
    names … evaluate             expressions to terms
    declare, resolve             declarations and bodies
    build, cycles, emit, ranges  terms to graph: names, batch, recurrences, families, proofs of ranges
    settings, optimizer          data and train sections, optimizers
    elaborated, numbers          the result, and numbers in its settings
    codes, report, messages      the wording of mistakes
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .elaborated import Network
    from .network import elaborate, elaborate_text
    from .optimizer import instantiate_optimizer, leaves_weights, optimizer_numbers, optimizer_rates
    from .train_settings import StepSettings, step_settings

#: Imported when first asked for: a network that is kept on disk is used without.
_HOMES = {
    "Network": ".elaborated",
    "StepSettings": ".train_settings",
    "elaborate": ".network",
    "elaborate_text": ".network",
    "instantiate_optimizer": ".optimizer",
    "leaves_weights": ".optimizer",
    "optimizer_numbers": ".optimizer",
    "optimizer_rates": ".optimizer",
    "step_settings": ".train_settings",
}

__all__ = [
    "Network",
    "StepSettings",
    "elaborate",
    "elaborate_text",
    "instantiate_optimizer",
    "leaves_weights",
    "optimizer_numbers",
    "optimizer_rates",
    "step_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
