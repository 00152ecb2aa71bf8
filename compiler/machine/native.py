"""From LLVM text to machine code that Python can call; nothing else binds LLVM.

In: LLVM text and a `Target`.  Out: object code for any target; for this machine, the addresses of its functions.

    library = load_code(compile_texts([text], host_target()), ["main"])
    library.addresses["main"]

Object code is kept on disk (cache.py). LLVM never sees text that it did not accept: all text is parsed and verified first, and a
fault is a `NativeError`, not the end of the process.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from .cache import load_object, store_object


class NativeError(Exception):
    """Text that LLVM does not accept, or code that cannot be linked: a fault of the compiler, or of the machine."""


@dataclass(frozen=True)
class Target:
    """A machine to make code for.

    triple, cpu, features   as LLVM writes them
    vector_bits             width of a vector register
    registers               number of vector registers
    abi                     name of the calling convention where the triple does not say it (RISC-V)
    """

    triple: str
    cpu: str = ""
    features: str = ""
    vector_bits: int = 128
    registers: int = 16
    abi: str = ""

    @property
    def architecture(self) -> str:
        return self.triple.split("-")[0]


#: Other machines than this one; the text of the kernels should be made for the same target.
TARGETS = {
    "x86-64": Target("x86_64-unknown-linux-gnu", "x86-64", "", 128, 16),
    "x86-64-v3": Target("x86_64-unknown-linux-gnu", "x86-64-v3", "", 256, 16),
    "x86-64-v4": Target("x86_64-unknown-linux-gnu", "x86-64-v4", "", 512, 32),
    "aarch64": Target("aarch64-unknown-linux-gnu", "generic", "+neon", 128, 32),
    "arm": Target("armv7-unknown-linux-gnueabihf", "generic", "+neon,+vfp4", 128, 16),
    "riscv64": Target("riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+v", 128, 32, "lp64d"),
    "wasm32": Target("wasm32-unknown-unknown", "generic", "+simd128", 128, 16),
}


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def host_target() -> Target:
    """This machine."""
    _initialize()
    triple, features = llvm.get_process_triple(), llvm.get_host_cpu_features()
    bits, registers = 128, 32 if triple.startswith(("aarch64", "arm64", "riscv")) else 16
    if features.get("avx512f"):
        bits, registers = 512, 32
    elif features.get("avx2"):
        bits = 256
    return Target(triple, llvm.get_host_cpu_name(), features.flatten(), bits, registers)


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
    version = ".".join(map(str, llvm.llvm_version_info))
    rest = (version, target.triple, target.cpu, target.features, target.abi, _PIPELINE)
    found = [load_object((text, *rest)) for text in texts]
    missing = [k for k, code in enumerate(found) if code is None]
    missing.sort(key=lambda k: -len(texts[k]))  # the longest first, so that none is begun last
    workers = min(len(missing), _cores())
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            fresh = list(pool.map(lambda k: _compile(texts[k], target), missing))
    else:
        fresh = [_compile(texts[k], target) for k in missing]
    for k, code in zip(missing, fresh, strict=True):
        store_object((texts[k], *rest), code)
        found[k] = code
    return [code for code in found if code is not None]


def compile_text(text: str, target: Target) -> bytes:
    """Object code of one module."""
    return compile_texts([text], target)[0]


def _cores() -> int:
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
