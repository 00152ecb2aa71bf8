"""LLVM text to object code; nothing else binds LLVM.

In: LLVM text and the names of a machine.  Out: object code.

    object_code("define void @main() { ret void }", triple, cpu, features, abi)

This file imports nothing of the package: `python -I -S code_generation.py FOLDER` answers requests in a process of its own
(code_processes.py), where LLVM takes neither the memory of the process that trains nor its time. LLVM never sees text that it
did not accept: all text is parsed and verified first.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import sys
import threading
from functools import cache
from typing import IO, Any, NamedTuple


class _Binding:
    """`llvmlite.binding`, imported when it is first needed: what was compiled earlier runs without."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("llvmlite.binding"), name)


llvm: Any = _Binding()

#: LLVM objects are built by one thread at a time.
llvm_lock = threading.RLock()

#: Part of the cache's key: to be changed with what makes code of text.
PIPELINE = "2"
#: Machine code of functions that LLVM is not to polish, and of others: levels of its code generator.
_PLAIN, _GOOD = 0, 2

_POLISHED = re.compile(r"^define (?!internal|linkonce|private)(?!.*\boptnone\b)", re.MULTILINE)


class CodeError(Exception):
    """Text that LLVM does not accept, or a machine for which it makes no code."""


class Host(NamedTuple):
    """This machine as LLVM describes it: see `Target`."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int


@cache
def initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def host() -> Host:
    initialize()
    triple, features = llvm.get_process_triple(), llvm.get_host_cpu_features()
    bits, registers = 128, 32 if triple.startswith(("aarch64", "arm64", "riscv")) else 16
    if features.get("avx512f"):
        bits, registers = 512, 32
    elif features.get("avx2"):
        bits = 256
    return Host(triple, llvm.get_host_cpu_name(), features.flatten(), bits, registers)


def object_code(text: str, triple: str, cpu: str, features: str, abi: str) -> bytes:
    """Object code of one module. Raises CodeError for text that is not valid."""
    with llvm_lock:
        level = _GOOD if _POLISHED.search(text) else _PLAIN
        machine = _machine(triple, cpu, features, abi, level)
        module = _checked_module(text, triple, machine)
        _optimize(module, machine)
    # This takes most of the time, and needs no lock: module, context and machine belong to this call alone.
    return _emit(machine, module)


def assembly(text: str, triple: str, cpu: str, features: str, abi: str) -> str:
    """LLVM text in the target's assembly language, for people."""
    with llvm_lock:
        machine = _machine(triple, cpu, features, abi, _GOOD)
        module = _checked_module(text, triple, machine)
        _optimize(module, machine)
        return str(machine.emit_assembly(module))


def _machine(triple: str, cpu: str, features: str, abi: str, level: int) -> Any:
    initialize()
    try:
        return llvm.Target.from_triple(triple).create_target_machine(
            cpu=cpu, features=features, opt=level, reloc="pic", codemodel="small", abiname=abi
        )
    except RuntimeError as error:
        raise CodeError(f"no code can be made for '{triple}': {error}") from error


def _checked_module(text: str, triple: str, machine: Any) -> Any:
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.triple = triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CodeError(str(error)) from error
    return module


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


def _emit(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)`, outside of the lock that llvmlite takes round every call into LLVM."""
    emit = getattr(llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:
        try:
            return bytes(machine.emit_object(module))
        except RuntimeError as error:
            raise CodeError(str(error)) from error
    with llvm.ffi.OutputString() as message:
        buffer = emit(machine, module, 1, message)
        if not buffer:
            raise CodeError(str(message))
    try:
        library = llvm.ffi.lib
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        llvm.ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


# ------------------------------------------------------------------------------------------- a process of its own

#: Bytes that say how long a message is. A message is the parts of a request, or of an answer, as UTF-8 behind their lengths.
_SIZE = 8


def pack(*parts: bytes) -> bytes:
    """Parts as one message."""
    body = b"".join(len(part).to_bytes(_SIZE, "little") + part for part in parts)
    return len(body).to_bytes(_SIZE, "little") + body


def unpack(stream: IO[bytes]) -> list[bytes]:
    """The parts of the next message. Raises EOFError where there is none any more."""
    body = _read(stream, int.from_bytes(_read(stream, _SIZE), "little"))
    parts, at = [], 0
    while at < len(body):
        end = at + _SIZE + int.from_bytes(body[at : at + _SIZE], "little")
        parts.append(body[at + _SIZE : end])
        at = end
    return parts


def _read(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more: ["host"], or ["object", text, triple, cpu, features, abi]. An answer begins with
    "done" or "error"; the first one, to no request, says that LLVM is ready."""
    initialize()
    # Kernels come with pointers that loops advance: looking for better ones was a quarter of LLVM's time, for no gain on x86.
    if llvm.get_process_triple().startswith("x86_64"):
        llvm.set_option("", "-disable-lsr")
    answer = pack(b"done")
    while True:
        answers.write(answer)
        answers.flush()
        try:
            kind, *parts = unpack(requests)
        except EOFError:
            return
        try:
            if kind == b"host":
                answer = pack(b"done", *(str(part).encode() for part in host()))
            else:
                text, triple, cpu, features, abi = (part.decode() for part in parts)
                answer = pack(b"done", object_code(text, triple, cpu, features, abi))
        except CodeError as error:
            answer = pack(b"error", str(error).encode())


if __name__ == "__main__":
    sys.path.append(sys.argv[1])  # where llvmlite is
    serve(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)  # nothing is left to be done, and LLVM takes its time to leave
