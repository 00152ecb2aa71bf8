"""Syntax to graph: names, blocks, extents, types; every mistake of a file in one run.

In: a file.  Out: `Network`, whose `graph` holds index equations: `elaborate("digits.dln").graph.families["hidden"]` is
hidden[batch, j] = max(hidden.y[batch, j], 0).

Read in this order; each imports only what stands before it:

    wording     codes → report
    terms       tables, terms, ranges → operators, sizes, targets → messages
    names       scope, search_settings → context, modules, settings → state → names, cycles, scene
    values      literals → signatures → arguments → blocks → calls → subscripts → reductions → evaluate
    bodies      declare → weights → resolve
    graph       accesses → lifting → emit → build
    training    numbers, train_settings, alike_updates → optimizer
    all of it   elaborated → network

Terms are what expressions become, over open sizes, arrays and families; sizes are unified. Names are found in files, imports and
the prelude. The graph has batch, recurrences, families, and proofs of ranges. A network that is kept on disk needs no more of
this than elaborated.py.
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
