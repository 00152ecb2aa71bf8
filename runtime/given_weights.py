"""Weights that start from a file: `weight w[3, 4] from "earlier.safetensors"`.

In: an elaborated network, the folder of its file.  Out: weight name → first values.

    weight w[3, 4] from "earlier.safetensors"                       the array 'w' of that file
    weight w[3, 4] from "earlier.safetensors" encoder.w             the array 'encoder.w'
    layer hidden[4] = relu(dense(x)) from "earlier.safetensors" h   hidden.w from 'h.w', hidden.b from 'h.b'

The file is found as data files are (see sources.py). It holds arrays by name, as `dln train` and `net.save` write it: that is
how one network hands its weights to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..compiler import syntax
from ..compiler.source import did_you_mean
from .errors import WeightError

if TYPE_CHECKING:
    from ..compiler.elaborate import Network


def given_weights(network: Network, folder: Path | None) -> dict[str, np.ndarray]:
    """First values out of files, checked against the declarations. Raises DiagnosticError."""
    wishes = list(_wishes(network))
    if not wishes:
        return {}
    from .checkpoint import read_weights
    from .data.columns import fail
    from .data.fitted_calls import PREFIX
    from .data.sources import find_file

    found: dict[str, np.ndarray] = {}
    files: dict[Path, dict[str, np.ndarray]] = {}
    for name, wanted, place in wishes:
        path = find_file(place.value, folder, place.span)
        if path not in files:
            try:
                files[path] = {n: a for n, a in read_weights(path).items() if not n.startswith(PREFIX)}
            except (WeightError, OSError) as error:
                raise fail("E703", f"cannot read '{place.value}': {error}", place.span) from None
        arrays = files[path]
        if wanted not in arrays:
            known = ", ".join(list(arrays)[:8]) or "nothing"
            help = did_you_mean(wanted, arrays) or f"it holds {known}"
            raise fail("E707", f"'{place.value}' holds no weight '{wanted}'", place.span, help=help)
        extents = network.graph.arrays[name].extents
        if arrays[wanted].shape != extents:
            called = "" if wanted == name else f" '{wanted}' has"
            raise fail(
                "E707",
                f"'{name}' has the extents {list(extents)}, in '{place.value}'{called} {list(arrays[wanted].shape)}",
                place.span,
            )
        found[name] = arrays[wanted]
    return found


def _wishes(network: Network) -> Iterator[tuple[str, str, syntax.String]]:
    """(weight, its name in the file, the path) for all that start from a file; weights of a layer before single ones."""
    declarations = network.module.declarations
    for d in declarations:
        if isinstance(d, syntax.FamilyDeclaration) and d.source is not None:
            for array in network.graph.arrays.values():
                if array.kind in ("weight", "state") and array.name.startswith(f"{d.name}."):
                    yield array.name, (d.source_name or d.name) + array.name.removeprefix(d.name), d.source
    for d in declarations:
        if isinstance(d, syntax.WeightDeclaration) and d.source is not None:
            yield d.name, d.source_name or d.name, d.source
