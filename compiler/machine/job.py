"""The job: what one native call is told, and what it tells back. The one place where its layout is written down.

In: nothing.  Out: `Job` for Python (ctypes); `FIELDS`, from which driver_job.py makes the same layout for LLVM.

    job = Job()
    job.memory, job.start, job.stop, job.batch = address, 0, 1000, 32
    code.run("train", job, threads=2)
    job.done                                       # 1000, or less where the stop flag was raised

Pointers are addresses (integers, None for none). The caller keeps alive what they point to.
"""

from __future__ import annotations

import ctypes
from typing import Any

# name, LLVM type; for readers:
# memory     the program's block, aligned to 64 bytes
# datasets   one pointer per input of the routine: rows of the input's values, row-major, of the placement's type
# order      int64: position → row of the datasets; null: the position itself
# start…stop positions to go through, `batch` (≤ the program's capacity) at a time
# results    double: per result of the routine the sum of value · samples, and last the number of samples; added to
# outputs    one pointer per output of the routine (null: not wanted): a row per position, row-major
# step       minibatches done by routines that advance it; read and written
# epoch, training, seed   values of the clocks of these names (seed: of random draws)
# stop_flag  int32; a minibatch is begun only while it is 0; null: none
# done       written: the position after the last minibatch that was done
# profile    int64: nanoseconds per call of the routine, added to; null: none. Only code compiled with `profile` writes it.
# threads    how many threads run the job; clock_function, yield_function: addresses in the system (Code.run sets the three)
# rows       int64: room for each thread to note the row of every lane (Code.run)
# tickets    int64: for each balanced call and thread the number of pieces of its part that were asked for (Code.run)
# scratch    bytes that the calls of each thread may use (division.scratch_of), aligned to 64 bytes (Code.run)
# halt       the first thread's decision to stop
# arrived, generation   of the barrier between calls; each on a cache line of its own
FIELDS: tuple[tuple[str, str], ...] = (
    ("memory", "ptr"),
    ("datasets", "ptr"),
    ("order", "ptr"),
    ("start", "i64"),
    ("stop", "i64"),
    ("batch", "i64"),
    ("results", "ptr"),
    ("outputs", "ptr"),
    ("step", "i64"),
    ("epoch", "i64"),
    ("training", "i64"),
    ("seed", "i64"),
    ("stop_flag", "ptr"),
    ("done", "i64"),
    ("profile", "ptr"),
    ("threads", "i64"),
    ("clock_function", "ptr"),
    ("yield_function", "ptr"),
    ("rows", "ptr"),
    ("tickets", "ptr"),
    ("scratch", "ptr"),
    ("halt", "i64"),
    ("padding1", "[16 x i64]"),
    ("arrived", "i32"),
    ("padding2", "[16 x i64]"),
    ("generation", "i32"),
    ("padding3", "[16 x i64]"),
)
#: LLVM's types of fields for ctypes.
FIELD_TYPES: dict[str, Any] = {
    "ptr": ctypes.c_void_p,
    "i64": ctypes.c_int64,
    "i32": ctypes.c_int32,
    "[16 x i64]": ctypes.c_int64 * 16,
}


#: Bytes of a cache line.
LINE = 64
#: Numbers between the rows of two threads in job.rows, and between two numbers in job.tickets: a cache line.
ROW_PADDING = LINE // 8


class Job(ctypes.Structure):
    """One native call. All fields start as 0 or null; FIELDS says what they mean."""

    _fields_ = [(name, FIELD_TYPES[kind]) for name, kind in FIELDS]
