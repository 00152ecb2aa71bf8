"""LLVM modules from what a program and its routines need: kernels, vector functions, drivers.

In: a `Program`, the name of a routine or a kernel, and a target.  Out: text, complete but for the target's triple.

    entry_texts(program, "train", target, symbols)  the driver of a routine; its kernels are declared
    kernel_text(program.kernels["k0"], target)      one kernel, with the vector functions that it calls
    whole_text(program, ["train"], target)          everything in one module

In a module a kernel is named by a digest of its text, so that equal kernels are compiled once, whatever they were called, and
modules can be linked without two of them meaning different things by one name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from ..kernels.division import calls_of
from ..kernels.program import Kernel, Program
from .driver import routine_text
from .driver_copy import copy_declaration
from .driver_job import JOB_TYPE
from .driver_support import support_text
from .vector_math import definitions


class Machine(Protocol):
    """What the text depends on (see native.Target)."""

    @property
    def vector_bits(self) -> int: ...

    @property
    def architecture(self) -> str: ...


_DEFINE = re.compile(r"^(define\b(?:(?!\{).)*?)\s*(?:#\d+\s*)?\{", re.MULTILINE)
_DECLARE = re.compile(r"^declare\b[^\n]*\n?", re.MULTILINE)
_PARAMETERS = re.compile(r"^define\b[^@\n]*@[\w.]+\(([^)]*)\)", re.MULTILINE)


def _renamed(kernel: Kernel, name: str) -> str:
    """The kernel's text under another name. Intrinsics need no declaration, and two of one function are an error."""
    return re.sub(rf"@{re.escape(kernel.name)}\b", f"@{name}", _DECLARE.sub("", kernel.text))


def kernel_symbol(kernel: Kernel) -> str:
    """The kernel's name in modules: the same for kernels that differ in nothing but their names."""
    digest = hashlib.sha256(_renamed(kernel, "kernel").encode()).hexdigest()
    return f"dln_kernel_{digest[:24]}"


def _required(kernels: Iterable[Kernel]) -> str:
    """The vector functions that kernels call."""
    return definitions({name for k in kernels for name in k.requires if name.startswith("dln_")})


def kernel_text(kernel: Kernel, target: Machine, symbol: str = "") -> str:
    """A module with one kernel. `symbol`: its name in modules, if that has been found."""
    return with_attributes(
        _required([kernel]) + "\n" + _renamed(kernel, symbol or kernel_symbol(kernel)), target
    )


def entry_texts(
    program: Program, routine: str, target: Machine, symbols: Mapping[str, str], profile: bool = False
) -> list[str]:
    """A module with the entry of a routine, in which what it calls is declared; behind it one for each function that copies rows,
    which are the same for all programs. `symbols`: the names in modules of the routine's kernels."""
    driver, copies = _driver(program, routine, target, symbols, profile)
    kernels = {symbol: program.kernels[name] for name, symbol in symbols.items()}
    declarations = [_declaration(k, symbol) for symbol, k in kernels.items()]
    declarations += [copy_declaration(name) for name in copies]
    entry = "\n".join([JOB_TYPE, *declarations, support_text(target.architecture), driver])
    return [with_attributes(text, target) for text in (entry, *copies.values())]


def whole_text(program: Program, routines: Iterable[str], target: Machine) -> str:
    """A module with routines and all that they call."""
    routines = list(routines)
    names = {call.kernel: None for routine in routines for call in calls_of(program.routines[routine])}
    kernels = {name: program.kernels[name] for name in names}
    symbols = {name: kernel_symbol(k) for name, k in kernels.items()}
    drivers, copies = [], dict[str, str]()
    for routine in routines:
        driver, functions = _driver(program, routine, target, symbols, False)
        drivers.append(driver)
        copies |= functions
    bodies = [_renamed(k, symbol) for symbol, k in {symbols[n]: k for n, k in kernels.items()}.items()]
    parts = [
        JOB_TYPE,
        _required(kernels.values()),
        *bodies,
        support_text(target.architecture),
        *copies.values(),
        *drivers,
    ]
    return with_attributes("\n".join(parts), target)


def _driver(
    program: Program, routine: str, target: Machine, symbols: Mapping[str, str], profile: bool
) -> tuple[str, dict[str, str]]:
    return routine_text(
        program,
        routine,
        vector_bits=target.vector_bits,
        architecture=target.architecture,
        profile=profile,
        symbols=symbols,
    )


def _declaration(kernel: Kernel, symbol: str) -> str:
    found = _PARAMETERS.search(kernel.text)
    buffers = found[1].count("ptr") if found else 0
    return f"declare void @{symbol}({', '.join(['ptr'] * buffers + ['i64'] * 4)})"


def with_attributes(text: str, target: Machine) -> str:
    """All functions with the attributes of the machine. Some processors are tuned for vectors of half their width: the
    width that the text was written for is to stay."""
    width = target.vector_bits
    attributes = f'nounwind "prefer-vector-width"="{width}" "min-legal-vector-width"="{width}"'
    return _DEFINE.sub(r"\1 #0 {", text) + f"\nattributes #0 = {{ {attributes} }}\n"
