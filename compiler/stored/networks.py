"""Elaborated files and compiled programs of earlier processes.

In: a text, its path and settings; or a network and what it was compiled for.  Out: what the front end, or the schedule, made of
them before; None where that is not known, or where a file that took part has changed.

    place = NetworkPlace(text, "digits.dln", folder, {"width": "64"})
    place.find() or place.keep(elaborate(…), files)

A network is found by its text and what belongs to it; beside it stand the digests of all files that were read for it (imports,
tables). A program is found by its network's key and the options of the compiler.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import syntax
from ..elaborate.elaborated import Network
from ..kernels.program import Kernel, Program
from ..machine.cache import folder as cache_folder
from ..machine.cache import load_entry, store_entry
from ..machine.fingerprint import package_fingerprint
from ..mathematics.graph import Graph
from .graphs import Parts, graph_parts, stored_graph, written
from .plain import CannotStore

if TYPE_CHECKING:
    from ..elaborate.scope import Scope

#: Bytes of the largest entry that is kept.
LARGEST_ENTRY = 32 * 2**20
_SMALL = ("parameters", "sources", "warnings")
_TREES = ("module", "data", "train", "search")


def digest_of(*parts: str) -> str:
    """One text for several, different for different ones."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def file_digest(path: str) -> str:
    """Of a file's real path and contents; '' where it cannot be read."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return ""
    return content_digest(path, content)


def content_digest(path: str, content: bytes) -> str:
    """What `file_digest` is for a file with these contents."""
    return hashlib.sha256(os.path.realpath(path).encode(errors="surrogatepass") + b"\0" + content).hexdigest()


class _StoredNetwork(Network):
    """A network whose trees are decoded, and whose scope is elaborated again, when somebody asks for them."""

    _parts: Parts
    _again: Callable[[], Network]

    @cached_property
    def module(self) -> syntax.Module:  # type: ignore[override]
        return self._parts.part("module")  # type: ignore[no-any-return]

    @cached_property
    def data(self) -> syntax.DataDeclaration | None:  # type: ignore[override]
        return self._parts.part("data")  # type: ignore[no-any-return]

    @cached_property
    def train(self) -> syntax.TrainDeclaration | None:  # type: ignore[override]
        return self._parts.part("train")  # type: ignore[no-any-return]

    @cached_property
    def search(self) -> syntax.SearchDeclaration | None:  # type: ignore[override]
        return self._parts.part("search")  # type: ignore[no-any-return]

    @cached_property
    def scope(self) -> Scope | None:  # type: ignore[override]
        return self._again().scope


class NetworkPlace:
    """Where the network of one text lies on the disk.

    text       the main file's
    path       as messages show it; `folder` is where its imports are
    settings   that change it
    again      elaborates it anew, for what is not kept
    """

    def __init__(
        self,
        text: str,
        path: str,
        folder: Path,
        settings: Mapping[str, str],
        again: Callable[[], Network],
    ) -> None:
        options = [part for item in sorted(settings.items()) for part in item]
        self._key = ("network", package_fingerprint(), path, os.path.abspath(folder), text, *options)
        self._again = again

    def find(self) -> Network | None:
        """The network, if it was kept and all of its files are as they were."""
        content = load_entry(self._key)
        if content is None:
            return None
        parts = Parts(content)
        files = parts.about["files"]
        if any(file_digest(path) != digest for path, digest in files.items()):
            return None
        network = object.__new__(_StoredNetwork)
        network.__dict__.update(parts.part("small"))
        network.graph = stored_graph(parts)
        network.key = self._network_key(files)
        network._facts, network._recall = {}, recall
        network._parts, network._again = parts, self._again
        return network

    def keep(self, network: Network, files: Mapping[str, str]) -> None:
        """Write a network that was elaborated just now. `files`: path → digest of all files that were read for it."""
        if cache_folder() is None:
            return
        small: dict[str, Any] = {name: getattr(network, name) for name in _SMALL}
        trees = {name: getattr(network, name) for name in _TREES}
        try:
            content = written({"small": small, **graph_parts(network.graph), **trees}, files=dict(files))
        except CannotStore:
            return
        if len(content) <= LARGEST_ENTRY:
            store_entry(self._key, content)
            network.key, network._recall = self._network_key(files), recall

    def _network_key(self, files: Mapping[str, str]) -> str:
        return digest_of(*self._key, *sorted(files.values()))


def recall(key: str, what: str, find: Callable[[], Any]) -> Any:
    """An answer about the network with this key: from the disk, or found now and kept there."""
    place = ("fact", package_fingerprint(), key, what)
    if (content := load_entry(place)) is not None:
        return Parts(content).part("fact")
    answer = find()
    with contextlib.suppress(CannotStore):
        store_entry(place, written({"fact": answer}))
    return answer


class _StoredProgram(Program):
    """A program that decodes the texts of its kernels when they are asked for: their machine code is kept beside them."""

    def __getattr__(self, name: str) -> Any:
        if name != "kernels":
            raise AttributeError(name)
        value: dict[str, Kernel] = self.__dict__["_parts"].part("kernels")
        self.__dict__[name] = value
        return value


def program_key(network: Network, *options: object) -> str:
    """What tells a network compiled with these options from all others; '' where it is not kept."""
    return digest_of(package_fingerprint(), network.key, *map(repr, options)) if network.key else ""


def find_program(key: str) -> tuple[Graph, Program] | None:
    """The final graph and the program that were kept under a key."""
    content = load_entry(("program", key)) if key else None
    if content is None:
        return None
    parts = Parts(content)
    program = object.__new__(_StoredProgram)
    program.__dict__.update(parts.part("program"), _parts=parts)
    return stored_graph(parts), program


def keep_program(key: str, graph: Graph, program: Program) -> None:
    """Write what was compiled just now."""
    if not key or cache_folder() is None:
        return
    small = {f.name: getattr(program, f.name) for f in fields(Program) if f.name != "kernels"}
    try:
        content = written({**graph_parts(graph), "program": small, "kernels": program.kernels})
    except CannotStore:
        return
    if len(content) <= LARGEST_ENTRY:
        store_entry(("program", key), content)
