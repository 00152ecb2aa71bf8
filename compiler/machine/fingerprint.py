"""What compiled code depends on besides its source: this package, LLVM, Python.

In: the files of the packages.  Out: short texts, which are parts of the cache's keys.

    package_fingerprint()    →   "3.11.2 0.1.0 1f0c…"       another one after every change of the compiler or the prelude

Files are told apart by path, size and times, not by contents: that takes a millisecond.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: Folders of this package on which the result of a compilation depends, and what its files are called.
_FOLDERS = ("compiler", "grammar")
_SUFFIXES = (".py", ".dln", ".lark")


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir() and entry.name != "__pycache__":
                    waiting.append(entry.path)
                elif entry.name.endswith(_SUFFIXES):
                    yield entry


def fingerprint_of(folders: list[Path]) -> str:
    """The digest of the names, sizes and times of all sources in folders."""
    described = sorted(
        f"{e.path}\0{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}"
        for folder in folders
        for e in _files(folder)
        for s in [e.stat()]
    )
    return hashlib.sha256("\n".join(described).encode(errors="surrogateescape")).hexdigest()


@cache
def package_fingerprint() -> str:
    """Of this package, as it is when the process first asks."""
    from ... import __version__

    root = Path(__file__).resolve().parents[2]
    digest = fingerprint_of([root / name for name in _FOLDERS])
    return f"{sys.version.split()[0]} {__version__} {digest}"


@cache
def llvm_fingerprint() -> str:
    """Of LLVM, as llvmlite carries it; it is not imported for this."""
    found = importlib.util.find_spec("llvmlite")
    if found is None or found.origin is None:
        return "none"
    status = Path(found.origin).stat()
    version = Path(found.origin).with_name("_version.py")
    text = version.read_text(encoding="utf-8") if version.exists() else ""
    return hashlib.sha256(f"{found.origin} {status.st_mtime_ns} {text}".encode()).hexdigest()
