"""Everything that can be said about a file without running it: network, train section, data.

In: a path and settings.  Out: the network, unless it has errors of its own, and every error and warning.

    network, messages = check_file("digits.dln")

A network whose data is missing or wrong is a network all the same: its sizes can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..compiler.elaborate import Network
from ..compiler.mathematics.counts import unused_weights
from ..compiler.pipeline import front
from ..compiler.source import Diagnostic, DiagnosticError
from .data.reading import check_section
from .given_weights import given_weights
from .training.settings import read_plan


def check_file(
    path: str | Path, settings: Mapping[str, str] | None = None
) -> tuple[Network | None, list[Diagnostic]]:
    """The elaborated network (None where it is invalid) and all messages, in the order in which they were found."""
    try:
        network = front(path, settings)
    except DiagnosticError as error:
        return None, error.diagnostics
    folder = Path(path).parent
    messages = list(dict.fromkeys([*network.warnings, *unused_weights(network.graph)]))
    checks: tuple[Callable[[], object], ...] = (
        lambda: given_weights(network, folder),
        lambda: messages.extend(check_section(network, folder)),
        lambda: read_plan(network),
    )
    for check in checks:
        try:
            check()
        except DiagnosticError as error:
            messages += error.diagnostics
    return network, messages
