"""A lowered network: kernels as LLVM text, calls in order, and where everything lies in one block of memory.

In: what schedule.py, memory.py and llvm.py decided.  Out: `Program`, from which native.py makes machine code for any
`Target` and which runtime/program.py allocates and runs. Plain data: no pointer and no ctypes here.

Memory is one block. Weights, states, constants (tables) and inputs come first and keep their place in every routine;
the arena of the families follows. A kernel is a function

    void @kernel(ptr buffer0, …, ptr bufferN, i64 valid, i64 time, i64 begin, i64 end)

`valid` is the number of samples really in the minibatch (≤ capacity), `time` the index of the enclosing time loop (0
outside of one), and [begin, end) the part of the kernel's parallel range that this thread computes. A kernel that packs
(packing.py) has one more argument: memory of the thread's own, whose first word is zero when a thread comes to its first part
of a call; what it writes there is found again when it comes to another part. Equal kernels are shared: a buffer is an argument,
never an address in the text.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

import numpy as np

from ..record import record

DataType = Literal["float32", "float64", "int32", "int64"]


@record
class Placement:
    """Where an array or family lies: byte offset in memory, shape (batch first, as capacity), strides in bytes.

    `batched`: whether the first axis is the batch. None: unknown, taken so where its extent is the capacity.
    """

    name: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    data_type: DataType
    batched: bool | None = None


@record
class Kernel:
    """One LLVM function; `requires` names the vector_math functions and intrinsics that it calls, `scratch` is how many bytes of
    a thread's own memory it needs."""

    name: str
    text: str
    requires: frozenset[str] = frozenset()
    scratch: int = 0


@record
class Call:
    """One kernel on given buffers (byte offsets into memory).

    `extent`: the parallel range is 0 … extent−1.  `barrier`: all threads must have finished the calls before this one.
    `families`: what it computes (profiles, messages).  `multiply_adds`, `bytes`: its cost, for partition and prediction;
    `cycles`: what the cost model expects of one core (0: of a copy, of which bytes alone count).  `scratch`: bytes of its own
    memory that each thread lends to it.
    """

    kernel: str
    buffers: tuple[int, ...]
    extent: int = 1
    barrier: bool = True
    families: tuple[str, ...] = ()
    multiply_adds: int = 0
    bytes: int = 0
    cycles: float = 0.0
    scratch: int = 0


@record
class TimeLoop:
    """Calls repeated for time = 0 … extent−1, or downwards. Kernels of a loop within a loop are told the step of the outer
    one · extent + time."""

    extent: int
    reverse: bool
    body: tuple[Call | TimeLoop, ...]


@record
class Routine:
    """What one native entry runs per minibatch.

    inputs    arrays filled from the data before the calls (batch padded with copies of the last sample)
    outputs   families copied out, row by row, after the calls
    results   families without axes that are summed up, each times `valid`, in double precision
    clocks    whether `step` is advanced before the calls
    """

    name: str
    calls: tuple[Call | TimeLoop, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    advances: bool = False


@record
class Program:
    """Everything that native.py and the runtime need. `constants` are written into memory when it is allocated."""

    name: str
    capacity: int
    placements: dict[str, Placement]
    constants: dict[str, np.ndarray]
    bytes: int
    kernels: dict[str, Kernel]
    routines: dict[str, Routine]
    float_type: DataType = "float32"
    persistent_bytes: int = 0
    notes: tuple[str, ...] = field(default=())
