"""Runs a lowered program by the plainest means: LLVM's execution engine, one thread, one call after another.

In: `Program`.  Out: `Runner`, whose arrays are NumPy views of one block of memory.

    runner = Runner(lower(graph, capacity=16, target=TARGET))
    runner.set("x", x); runner.run("forward", samples=3); runner.get("h", samples=3)

It is independent of compiler/machine/native.py and of the driver, so that kernels are tested by themselves. A margin on both
sides of the memory is filled with a pattern that no kernel may change.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import llvmlite.binding as binding
import numpy as np
from dln.compiler.kernels.program import Call, Program, TimeLoop
from dln.compiler.machine.vector_math import definitions

MARGIN = 4096


@dataclass(frozen=True)
class VectorMachine:
    """A vector machine for `lower`; LLVM splits vectors that the host does not have."""

    vector_bits: int = 512
    registers: int = 32


_engines: list[object] = []


def machine_code(text: str):  # type: ignore[no-untyped-def]
    """An execution engine for a module's text, verified first: LLVM aborts on what is invalid."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(text)
    module.verify()
    features = binding.get_host_cpu_features().flatten()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features, opt=2
    )
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _engines.append(engine)
    return engine


class Runner:
    def __init__(self, program: Program) -> None:
        self.program = program
        names = {n for k in program.kernels.values() for n in k.requires}
        self.text = "\n".join([definitions(names), *(k.text for k in program.kernels.values())])
        self.engine = machine_code(self.text)
        self.block = np.full(program.bytes + 2 * MARGIN + 64, 0xA5, dtype=np.uint8)
        start = MARGIN + (-(self.block.ctypes.data + MARGIN)) % 64
        self.start = start
        self.memory = self.block[start : start + program.bytes]
        self.memory[:] = 0
        for name, values in program.constants.items():
            self.view(name)[...] = values
        self.functions: dict[tuple[str, int], object] = {}

    def view(self, name: str) -> np.ndarray:
        place = self.program.placements[name]
        return np.ndarray(place.shape, place.data_type, self.memory, place.offset, place.strides)

    def set(self, name: str, values: np.ndarray, batched: bool = False) -> None:
        """Write an array; lanes behind the last sample are copies of it, as the driver makes them."""
        view = self.view(name)
        if not batched:
            view[...] = values
            return
        view[: len(values)] = values
        view[len(values) :] = values[-1]

    def get(self, name: str, samples: int | None = None) -> np.ndarray:
        view = self.view(name)
        return np.array(view if samples is None else view[:samples])

    def run(self, routine: str, samples: int, threads: int = 1) -> None:
        """Run the calls of a routine; `threads` only splits each call's range, one part after the other, last first."""
        for item in self.program.routines[routine].calls:
            self._run(item, 0, samples, threads)
        assert (self.block[: self.start] == 0xA5).all(), "a kernel wrote in front of the memory"
        assert (self.block[self.start + len(self.memory) :] == 0xA5).all(), "a kernel wrote behind the memory"

    def _run(self, item: Call | TimeLoop, time: int, samples: int, threads: int) -> None:
        if isinstance(item, TimeLoop):
            steps = range(item.extent)
            for step in reversed(steps) if item.reverse else steps:
                for inner in item.body:
                    self._run(inner, time * item.extent + step, samples, threads)
            return
        function = self._function(item.kernel, len(item.buffers))
        size = self.program.kernels[item.kernel].scratch
        scratch = [np.full(size + MARGIN, 0xA5, np.uint8)] if size else []
        for own in scratch:
            own[:8] = 0
        base = self.memory.ctypes.data
        for t in reversed(range(threads)):
            begin, end = item.extent * t // threads, item.extent * (t + 1) // threads
            function(
                *(base + b for b in item.buffers),
                samples,
                time,
                begin,
                end,
                *(own.ctypes.data for own in scratch),
            )  # type: ignore[operator]

        for own in scratch:
            assert (own[size:] == 0xA5).all(), "a kernel wrote behind the memory of its thread"

    def _function(self, name: str, buffers: int) -> object:
        key = (name, buffers)
        if key not in self.functions:
            own = [ctypes.c_void_p] if self.program.kernels[name].scratch else []
            kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * buffers, *[ctypes.c_int64] * 4, *own)
            self.functions[key] = kind(self.engine.get_function_address(name))
        return self.functions[key]
