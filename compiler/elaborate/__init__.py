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
    codes, report, messages      the wording of mistakes
"""

from .network import Network, elaborate, elaborate_text
from .optimizer import instantiate_optimizer, leaves_weights, optimizer_numbers, optimizer_rates
from .train_settings import StepSettings, step_settings

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
