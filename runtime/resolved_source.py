"""The source that a run was made of, with the overrides of the command line written into it.

In: an elaborated network and its overrides.  Out: relative path → text: `network.dln`, and what it imports.

    resolved_sources(network, {"width": "64", "epochs": "5"})["network.dln"]

The text is remembered with the network, so that a run of a file that was compiled before parses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..compiler.elaborate import Network


def resolved_sources(network: Network, overrides: Mapping[str, str]) -> dict[str, str]:
    """The main file under the name network.dln, and the files that it imports at their places beside it."""
    main, *others = network.sources

    def resolved() -> str:
        from ..compiler.parse import parse
        from .source_edits import resolve

        return resolve(
            parse(main), main, overrides
        )  # parsed anew: the network's tree has the overrides put in

    text = network.known(f"source with {sorted(overrides.items())}", resolved) if overrides else main.text
    files = {"network.dln": text}
    folder = os.path.dirname(main.path)
    for source in others:
        if source.path == main.path or source.path.startswith("<"):
            continue
        relative = os.path.relpath(source.path, folder or ".")
        if not relative.startswith("..") and not os.path.isabs(relative):
            files[Path(relative).as_posix()] = source.text
    return files
