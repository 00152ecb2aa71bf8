"""From LLVM text to machine code that Python can call; nothing else binds LLVM.

In: LLVM text and a `Target`.  Out: object code for any target; for this machine, the addresses of its functions.

    library = load_code(compile_texts([text], host_target()), ["main"])
    library.addresses["main"]

Object code is kept on disk (cache.py). LLVM never sees text that it did not accept: all text is parsed and verified first, and a
fault is a `NativeError`, not the end of the process.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .cache import load_entry, store_entry
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


class _Binding:
    """`llvmlite.binding`, imported when it is first needed: what was compiled earlier runs without."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("llvmlite.binding"), name)


llvm: Any = _Binding()


class NativeError(Exception):
    """Text that LLVM does not accept, or code that cannot be linked: a fault of the compiler, or of the machine."""


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def host_target() -> Target:
    """This machine."""
    known = known_host()
    if known is not None:
        return known
    _initialize()
    triple, features = llvm.get_process_triple(), llvm.get_host_cpu_features()
    bits, registers = 128, 32 if triple.startswith(("aarch64", "arm64", "riscv")) else 16
    if features.get("avx512f"):
        bits, registers = 512, 32
    elif features.get("avx2"):
        bits = 256
    target = Target(triple, llvm.get_host_cpu_name(), features.flatten(), bits, registers)
    remember_host(target)
    return target


# ------------------------------------------------------------------------------------------------------ compilation

#: LLVM objects are built by one thread at a time.
_llvm_lock = threading.RLock()


def _machine(target: Target) -> Any:
    _initialize()
    try:
        found = llvm.Target.from_triple(target.triple)
        return found.create_target_machine(
            cpu=target.cpu,
            features=target.features,
            opt=2,
            reloc="pic",
            codemodel="small",
            abiname=target.abi,
        )
    except RuntimeError as error:
        raise NativeError(f"no code can be made for '{target.triple}': {error}") from error


def _checked_module(text: str, target: Target, machine: Any) -> Any:
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.triple = target.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise NativeError(str(error)) from error
    return module


def compile_texts(texts: Sequence[str], target: Target) -> list[bytes]:
    """Object code of several LLVM modules, each from the cache on disk where it has it; the others on all cores at once.

    Raises NativeError for text that is not valid.
    """
    rest = ("object", llvm_fingerprint(), target.triple, target.cpu, target.features, target.abi, _PIPELINE)
    found = [load_entry((*rest, text)) for text in texts]
    missing = [k for k, code in enumerate(found) if code is None]
    missing.sort(key=lambda k: -len(texts[k]))  # the longest first, so that none is begun last
    workers = min(len(missing), available_cores())
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
    with _llvm_lock:
        machine = _machine(target)
        module = _checked_module(text, target, machine)
        _optimize(module, machine)
    # This takes most of the time, and needs no lock: module, context and machine belong to this call alone.
    return _emit(machine, module)


def _emit(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)`, outside of the lock that llvmlite takes round every call into LLVM."""
    emit = getattr(llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:
        try:
            return bytes(machine.emit_object(module))
        except RuntimeError as error:
            raise NativeError(str(error)) from error
    with llvm.ffi.OutputString() as message:
        buffer = emit(machine, module, 1, message)
        if not buffer:
            raise NativeError(str(message))
    try:
        library = llvm.ffi.lib
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        llvm.ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


#: Part of the cache's key: to be changed with `_optimize`.
_PIPELINE = "1"


def _optimize(module: Any, machine: Any) -> None:
    """A light pipeline. The kernels come vectorised, unrolled, with common subexpressions shared and invariants hoisted: LLVM's
    standard pipeline took twice as long and made nothing faster."""
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    manager = llvm.create_new_module_pass_manager()
    manager.add_always_inliner_pass()
    manager.add_instruction_combine_pass()
    manager.add_simplify_cfg_pass()
    manager.add_global_dead_code_eliminate_pass()
    manager.run(module, builder)


def assembly(text: str, target: Target) -> str:
    """LLVM text in the target's assembly language, for people."""
    with _llvm_lock:
        machine = _machine(target)
        module = _checked_module(text, target, machine)
        _optimize(module, machine)
        return str(machine.emit_assembly(module))


# ---------------------------------------------------------------------------------------------------------- linking


@dataclass
class Library:
    """Loaded machine code; unloaded when nothing refers to it any more."""

    addresses: dict[str, int]
    tracker: Any


@cache
def _linker() -> Any:
    """The one JIT of this process."""
    _initialize()
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
        with _llvm_lock:
            tracker = builder.link(_linker(), f"dln{next(_library_numbers)}")
    except (RuntimeError, OSError) as error:
        raise NativeError(f"machine code cannot be linked: {error}") from error
    return Library({name: tracker[name] for name in wanted}, tracker)
