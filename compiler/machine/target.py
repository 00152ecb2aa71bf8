"""Machines to make code for, and which of them this one is. Nothing here needs LLVM.

In: nothing.  Out: `Target`s; `known_host`, this machine as LLVM described it earlier.

    TARGETS["aarch64"].vector_bits    128
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ..record import record
from .cache import load_entry, store_entry
from .fingerprint import llvm_fingerprint


@record
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


# ------------------------------------------------------------------------------------------------------ this machine

#: Lines of /proc/cpuinfo that tell processors apart; others, such as the clock's rate, change all the time.
_IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU ")


@cache
def processor() -> str:
    """What tells this machine's processor from others; '' where the system does not say."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            first = file.read(16384).split("\n\n")[0]
    except OSError:
        return ""
    lines = [line for line in first.splitlines() if line.startswith(_IDENTITY)]
    return "\n".join([platform.machine(), *lines]) if lines else ""


def known_host() -> Target | None:
    """This machine, if LLVM has described it before."""
    content = load_entry(("host", llvm_fingerprint(), processor())) if processor() else None
    return Target(**json.loads(content)) if content is not None else None


def remember_host(target: Target) -> None:
    """Keep LLVM's description of this machine for `known_host` in later processes."""
    if processor():
        store_entry(("host", llvm_fingerprint(), processor()), json.dumps(asdict(target)).encode())
