"""From LLVM text to machine code that Python can call.

In: LLVM text and a `Target`.  Out: object code for any target; for this machine, the addresses of its functions.

    library = load_code(compile_texts([text], host_target()), ["main"])
    library.addresses["main"]

Object code is kept on disk (cache.py). It is made in processes of its own where that can be (code_processes.py); a fault is a
`NativeError`, not the end of the process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from ..record import record
from . import code_generation
from .cache import load_entry, store_entry
from .code_generation import PIPELINE, CodeError, initialize, llvm, llvm_lock
from .fingerprint import llvm_fingerprint
from .target import TARGETS, Target, known_host, remember_host

__all__ = [
    "TARGETS",
    "Library",
    "NativeError",
    "Target",
    "assembly",
    "available_cores",
    "compile_text",
    "compile_texts",
    "host_target",
    "load_code",
]


class NativeError(Exception):
    """Text that LLVM does not accept, or code that cannot be linked: a fault of the compiler, or of the machine."""


@cache
def host_target() -> Target:
    """This machine."""
    known = known_host()
    if known is not None:
        return known
    from . import code_processes

    target = Target(*code_processes.host())
    remember_host(target)
    return target


# ------------------------------------------------------------------------------------------------------ compilation


#: Characters of text that keep LLVM busy for as long as it takes to start another process with it.
_WORTH_A_WORKER = 100_000


def compile_texts(texts: Sequence[str], target: Target) -> list[bytes]:
    """Object code of several LLVM modules, each from the cache on disk where it has it; the others on all cores at once.

    Raises NativeError for text that is not valid.
    """
    rest = ("object", llvm_fingerprint(), target.triple, target.cpu, target.features, target.abi, PIPELINE)
    found = [load_entry((*rest, text)) for text in texts]
    missing = [k for k, code in enumerate(found) if code is None]
    missing.sort(key=lambda k: -len(texts[k]))  # the longest first, so that none is begun last
    workers = min(len(missing), available_cores(), 1 + sum(len(texts[k]) for k in missing) // _WORTH_A_WORKER)
    if workers > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(workers) as pool:
            fresh = list(pool.map(lambda k: _compile(texts[k], target), missing))
    else:
        fresh = [_compile(texts[k], target) for k in missing]
    for k, code in zip(missing, fresh, strict=True):
        store_entry((*rest, texts[k]), code)
        found[k] = code
    return [code for code in found if code is not None]


def compile_text(text: str, target: Target) -> bytes:
    """Object code of one module."""
    return compile_texts([text], target)[0]


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compile(text: str, target: Target) -> bytes:
    from . import code_processes

    try:
        return code_processes.object_code(text, target)
    except CodeError as error:
        raise NativeError(str(error)) from error


def assembly(text: str, target: Target) -> str:
    """LLVM text in the target's assembly language, for people."""
    try:
        return code_generation.assembly(text, target.triple, target.cpu, target.features, target.abi)
    except CodeError as error:
        raise NativeError(str(error)) from error


# ---------------------------------------------------------------------------------------------------------- linking


@record(frozen=False)
class Library:
    """Loaded machine code; unloaded when nothing refers to it any more."""

    addresses: dict[str, int]
    tracker: Any


@cache
def _linker() -> Any:
    """The one JIT of this process."""
    initialize()
    llvm.check_jit_execution()
    return llvm.create_lljit_compiler(None, use_jit_link=True, suppress_errors=True)


_library_numbers = itertools.count(1)


def load_code(
    images: Sequence[bytes], names: Iterable[str], imports: Mapping[str, int] | None = None
) -> Library:
    """Object code in memory, linked. `names`: functions whose addresses are wanted; `imports`: addresses that it refers to.

    Raises NativeError where something is missing.
    """
    wanted = list(names)
    builder = llvm.JITLibraryBuilder()
    for image in images:
        builder.add_object_img(image)
    builder.add_current_process()
    for name, address in (imports or {}).items():
        builder.import_symbol(name, address)
    for name in wanted:
        builder.export_symbol(name)
    try:
        with llvm_lock:
            tracker = builder.link(_linker(), f"dln{next(_library_numbers)}")
    except (RuntimeError, OSError) as error:
        raise NativeError(f"machine code cannot be linked: {error}") from error
    return Library({name: tracker[name] for name in wanted}, tracker)
