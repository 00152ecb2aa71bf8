"""The loop over minibatches around the kernels of a routine, as LLVM text.

In: a `Program`, a routine's name, and what the machine can do.  Out: the text of

    void @dln_routine_NAME(ptr job, i64 thread)

which every thread of a job enters with its own number. For each minibatch it gathers the rows of the inputs (padding a
minibatch that is not full with copies of its last sample), sets the clocks, makes the routine's calls, adds up the results
and copies the outputs out. job.py says what a job holds.

A call's range is divided evenly between the threads, or the first thread makes the call alone; between the threads stand
barriers: division.py decides on both. In long calls a thread that is done helps the others (driver_pieces.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..kernels.division import Pending, calls_of, is_balanced, is_divided, scratch_of
from ..kernels.program import Call, Placement, Program, Routine, TimeLoop
from ..mathematics.graph import CLOCKS
from .driver_copy import RowCopy, copy_function, data_type_of, is_batched, row_copy
from .driver_job import field_address, field_type
from .driver_pieces import closed_pieces, opened_pieces, piece_text
from .driver_writer import Writer
from .job import ROW_PADDING

#: Calls of a routine that takes LLVM long.
_LONG = 40


def routine_text(
    program: Program,
    name: str,
    *,
    vector_bits: int,
    architecture: str = "",
    profile: bool = False,
    symbols: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, str]]:
    """The LLVM definition of the entry of a routine, and those of the functions by name that copy rows for it.

    It refers to the kernels, to `%dln.job`, and to what driver_support.py defines. `profile`: measure every call.
    `symbols`: other names of kernels.
    On x86 subnormal numbers count as zero while the routine runs.
    """
    driver = _DriverText(program, program.routines[name], vector_bits, architecture == "x86_64", profile)
    driver.symbols = symbols or {}
    return driver.text(), driver.copies


def rows_per_thread(program: Program) -> int:
    """How many numbers each thread has in job.rows: one per lane, and a cache line between threads."""
    return program.capacity + ROW_PADDING


class _DriverText(Writer):
    def __init__(
        self, program: Program, routine: Routine, vector_bits: int, x86: bool, profile: bool
    ) -> None:
        self.program, self.routine = program, routine
        self.vector_bits, self.x86, self.profile = vector_bits, x86, profile
        super().__init__()
        self.symbols: Mapping[str, str] = {}
        self.copies: dict[str, str] = {}  # functions that copy rows, by name
        self.call_number = 0
        self.balanced = 0  # balanced calls so far
        self.turn = "%round"  # how often what stands here was done before

    def barrier(self) -> None:
        after = self.only_if("%several", "wait")
        self.line("call void @dln_barrier(ptr %job, i64 %threads)")
        self.end_if(after)

    def share(self, extent: str) -> tuple[str, str]:
        """[begin, end) of this thread in 0 … extent−1."""
        bounds = []
        for thread in ("%thread", "%after.thread"):
            bounds.append(self.value(f"udiv i64 {self.value(f'mul i64 {thread}, {extent}')}, %threads"))
        return bounds[0], bounds[1]

    # --------------------------------------------------------------------------------------------- the routine

    def text(self) -> str:
        routine = self.routine
        # The time of a long routine is that of its kernels: between them stand calls in a row, and LLVM is not to polish them.
        calls = list(calls_of(routine))
        long = self.x86 and (len(calls) > _LONG or any(map(is_balanced, calls)))
        attributes = "noinline optnone " if long else ""
        self.lines = [
            f"define void @dln_routine_{routine.name}(ptr %job, i64 %thread) {attributes}{{",
            "entry:",
        ]
        self.open()
        self.start_block("minibatch")
        self.line("%position = phi i64 [ %start, %ready ], [ %following, %last ]")
        self.line("%round = phi i64 [ 0, %ready ], [ %next.round, %last ]")
        self.line("%more = icmp slt i64 %position, %stop")
        self.line("br i1 %more, label %begin, label %finish")
        self.start_block("begin")
        self.begin_minibatch()
        self.gather()
        self.barrier()
        halted = self.value(f"icmp ne i64 {self.load_field('halt')}, 0")
        self.line(f"br i1 {halted}, label %finish, label %run")
        self.start_block("run")
        self.calls(routine.calls, "0", Pending())
        self.barrier()
        self.end_minibatch()
        self.line("br label %last")
        self.start_block("last")
        self.line("%next.round = add i64 %round, 1")
        self.line("br label %minibatch")
        self.start_block("finish")
        if self.x86:
            self.line("call void @llvm.x86.sse.ldmxcsr(ptr %mxcsr)")
        self.line("ret void")
        self.lines.append("}")
        if self.balanced:
            self.lines.append(piece_text(f"dln_piece_{routine.name}"))
        return "\n".join([*self.lines, ""])

    def open(self) -> None:
        """What does not change from minibatch to minibatch."""
        if self.x86:
            # Bits 15 and 6 of MXCSR: subnormal results and operands count as zero (Intel SDM, volume 1, 10.2.3).
            self.line("%mxcsr = alloca i32")
            self.line("%flushing = alloca i32")
            self.line("call void @llvm.x86.sse.stmxcsr(ptr %mxcsr)")
            flushing = self.value(f"or i32 {self.value('load i32, ptr %mxcsr')}, {0x8040}")
            self.line(f"store i32 {flushing}, ptr %flushing")
            self.line("call void @llvm.x86.sse.ldmxcsr(ptr %flushing)")
        for name in ("memory", "datasets", "order", "start", "stop", "batch", "results", "outputs",
                     "epoch", "training", "seed", "stop_flag", "threads", "tickets"):  # fmt: skip
            self.line(f"%{name} = load {field_type(name)}, ptr {self.value(field_address(name))}")
        if any(map(is_balanced, calls_of(self.routine))):
            self.line("%pieces = alloca [2 x i64]")
            self.line("%piece.end = getelementptr i64, ptr %pieces, i64 1")
        if size := scratch_of(self.routine):
            lent = self.value(f"mul i64 %thread, {size}")
            self.line(f"%scratch = getelementptr i8, ptr {self.load_field('scratch')}, i64 {lent}")
        own = self.value(f"mul i64 %thread, {rows_per_thread(self.program)}")
        self.line(f"%rows = getelementptr i64, ptr {self.load_field('rows')}, i64 {own}")
        self.line("%after.thread = add i64 %thread, 1")
        self.line("%first = icmp eq i64 %thread, 0")
        self.line("%several = icmp sgt i64 %threads, 1")
        self.line("%ordered = icmp ne ptr %order, null")
        self.line("%stoppable = icmp ne ptr %stop_flag, null")
        self.shares = {
            e: self.share(str(e)) for e in sorted({c.extent for c in calls_of(self.routine) if is_divided(c)})
        }
        self.line("br label %ready")
        self.start_block("ready")
        self.line("br label %minibatch")

    def begin_minibatch(self) -> None:
        """How many samples, the decision to go on, the clocks, and the row of every lane."""
        self.line("%left = sub i64 %stop, %position")
        self.line("%valid = call i64 @llvm.smin.i64(i64 %left, i64 %batch)")
        self.line("%following = add i64 %position, %valid")
        after = self.only_if("%first", "lead")
        self.decide()
        self.set_clocks()
        self.end_if(after)
        self.line("%final = sub i64 %valid, 1")
        self.line("br label %each.lane")
        before = self.block
        self.start_block("each.lane")
        self.line(f"%lane = phi i64 [ 0, %{before} ], [ %lane.next, %lane.done ]")
        self.line("%sample = call i64 @llvm.smin.i64(i64 %lane, i64 %final)")
        self.line("%place = add i64 %position, %sample")
        self.line("br i1 %ordered, label %lookup, label %lane.done")
        self.start_block("lookup")
        looked_up = self.value(f"load i64, ptr {self.value('getelementptr i64, ptr %order, i64 %place')}")
        self.line("br label %lane.done")
        self.start_block("lane.done")
        self.line(f"%row = phi i64 [ %place, %each.lane ], [ {looked_up}, %lookup ]")
        self.line(f"store i64 %row, ptr {self.value('getelementptr i64, ptr %rows, i64 %lane')}")
        self.line("%lane.next = add i64 %lane, 1")
        self.line(f"%lane.more = icmp slt i64 %lane.next, {self.program.capacity}")
        self.line("br i1 %lane.more, label %each.lane, label %rows.known")
        self.start_block("rows.known")

    def decide(self) -> None:
        """The first thread alone looks at the flag, so that all threads stop before the same minibatch."""
        after = self.only_if("%stoppable", "look")
        flag = self.value("load atomic i32, ptr %stop_flag monotonic, align 4")
        wide = self.value(f"zext i1 {self.value(f'icmp ne i32 {flag}, 0')} to i64")
        self.store_field("halt", wide)
        self.end_if(after)

    def set_clocks(self) -> None:
        step = self.value(f"add i64 {self.load_field('step')}, 1")
        values = {
            "step": step, "epoch": "%epoch", "batch_size": "%valid", "training": "%training",
            "random seed": "%seed", "first sample": "%position",
        }  # fmt: skip
        for name in CLOCKS:
            place = self.program.placements.get(name)
            if place is None or place.shape != ():
                continue
            kind = data_type_of(place.data_type)
            value = values[name]
            if kind in ("float", "double"):
                value = self.value(f"sitofp i64 {value} to {kind}")
            elif kind == "i32":
                value = self.value(f"trunc i64 {value} to i32")
            self.line(f"store {kind} {value}, ptr {self.address(place)}")

    def address(self, place: Placement) -> str:
        return self.value(f"getelementptr i8, ptr %memory, i64 {place.offset}")

    def copy_call(
        self, place: Placement, copy: RowCopy, data: str, into_buffer: bool, begin: str, end: str
    ) -> None:
        name = copy.function(into_buffer)
        self.copies.setdefault(name, copy_function(copy, into_buffer))
        buffer, rows, opened = self.address(place), data, []
        below = copy.row_bytes
        for extent, stride in copy.dimensions[:-1]:
            below //= extent
            index = self.open_loop("run", extent)
            opened.append((index, extent))
            buffer = self.value(
                f"getelementptr i8, ptr {buffer}, i64 {self.value(f'mul i64 {index}, {stride}')}"
            )
            rows = self.value(f"getelementptr i8, ptr {rows}, i64 {self.value(f'mul i64 {index}, {below}')}")
        self.line(
            f"call void @{name}(ptr {buffer}, ptr {rows}, ptr %rows, i64 {begin}, i64 {end}, {copy.operands})"
        )
        for index, extent in reversed(opened):
            self.close_loop(index, extent)

    def gather(self) -> None:
        for number, name in enumerate(self.routine.inputs):
            pointer = self.value(f"getelementptr ptr, ptr %datasets, i64 {number}")
            place = self.program.placements[name]
            copy = row_copy(place, self.program.capacity, True, self.vector_bits)
            data = self.value(f"load ptr, ptr {pointer}")
            self.copy_call(place, copy, data, True, *self.share(str(copy.group_count)))

    # ----------------------------------------------------------------------------------------------- the calls

    def calls(self, calls: tuple[Call | TimeLoop, ...], time: str, pending: Pending) -> Pending:
        """The calls in order; consecutive calls of the first thread share one branch."""
        inside = ""  # the end of the open branch of the first thread
        for item in calls:
            if isinstance(item, TimeLoop):
                if inside:
                    self.end_if(inside)
                    inside = ""
                pending = self.time_loop(item, time, pending)
                continue
            needed, pending = pending.before(item)
            divided = is_divided(item)
            if inside and (needed or divided):
                self.end_if(inside)
                inside = ""
            if needed:
                self.barrier()
            if not divided and not inside:
                inside = self.only_if("%first", "alone")
            if is_balanced(item) and (needed or self.turn == "%round"):
                self.balanced_call(item, time)
            else:
                self.one_call(item, time, *(self.shares[item.extent] if divided else ("0", str(item.extent))))
        if inside:
            self.end_if(inside)
        return pending

    def one_call(self, call: Call, time: str, begin: str, end: str) -> None:
        number = self.before_call(call)
        self.call_kernel(call, self.buffers_of(call), time, begin, end)
        self.after_call(number)

    def balanced_call(self, call: Call, time: str) -> None:
        """A call of which each thread does its own part, in pieces, and then what is left of the others': driver_pieces.py."""
        number, buffers = self.before_call(call), self.buffers_of(call)
        word = self.fresh("pieces")
        self.line(f"br i1 %several, label %{word}, label %{word}.whole")
        self.start_block(f"{word}.whole")
        self.call_kernel(call, buffers, time, "0", str(call.extent))
        self.line(f"br label %{word}.done")
        name = f"dln_piece_{self.routine.name}"
        self.lines += opened_pieces(word, name, call.extent, self.balanced, self.turn)
        self.call_kernel(call, buffers, time, f"%{word}.begin", f"%{word}.end")
        self.lines += closed_pieces(word)
        self.block = f"{word}.done"
        self.balanced += 1
        self.after_call(number)

    def buffers_of(self, call: Call) -> str:
        values = [self.value(f"getelementptr i8, ptr %memory, i64 {offset}") for offset in call.buffers]
        return "".join(f"ptr {value}, " for value in values)

    def call_kernel(self, call: Call, buffers: str, time: str, begin: str, end: str) -> None:
        name = self.symbols.get(call.kernel, call.kernel)
        scratch = ", ptr %scratch" if call.scratch else ""
        self.line(f"call void @{name}({buffers}i64 %valid, i64 {time}, i64 {begin}, i64 {end}{scratch})")

    def before_call(self, call: Call) -> int:
        number, self.call_number = self.call_number, self.call_number + 1
        if call.scratch:
            self.line("store i64 0, ptr %scratch")
        if self.profile:
            self.line(f"%before{number} = call i64 @dln_nanoseconds(ptr %job)")
        return number

    def after_call(self, number: int) -> None:
        if self.profile:
            self.line(f"call void @dln_account(ptr %job, i64 %thread, i64 {number}, i64 %before{number})")

    def time_loop(self, loop: TimeLoop, around: str, pending: Pending) -> Pending:
        # What may be pending when the body begins is what was before the loop, or what the body itself leaves.
        for _ in range(3):
            pending = pending | self.after(loop, pending)
        time = self.open_loop("time", loop.extent, loop.reverse)
        step = time
        if around != "0":  # the steps of a loop within a loop are one row-major number
            step = self.value(f"add i64 {self.value(f'mul i64 {around}, {loop.extent}')}, {time}")
        turn, before = self.turn, time
        if loop.reverse:
            before = self.value(f"sub i64 {loop.extent - 1}, {time}")
        self.turn = self.value(f"add i64 {self.value(f'mul i64 {turn}, {loop.extent}')}, {before}")
        pending = self.calls(loop.body, step, pending)
        self.turn = turn
        self.close_loop(time, loop.extent, loop.reverse)
        return pending

    def after(self, loop: TimeLoop, pending: Pending) -> Pending:
        """What is pending after the body of a loop, if `pending` was before it."""
        for item in loop.body:
            pending = (
                pending | self.after(item, pending) if isinstance(item, TimeLoop) else pending.before(item)[1]
            )
        return pending

    # ------------------------------------------------------------------------------------------------- the end

    def end_minibatch(self) -> None:
        placements = self.program.placements
        if self.routine.outputs:
            self.line(f"call void @dln_positions(ptr %rows, i64 %position, i64 {self.program.capacity})")
        for k, name in enumerate(self.routine.outputs):
            pointer = self.value(f"getelementptr ptr, ptr %outputs, i64 {k}")
            target = self.value(f"load ptr, ptr {pointer}")
            after = self.only_if(self.value(f"icmp ne ptr {target}, null"), "wanted")
            self.copy_out(placements[name], target)
            self.end_if(after)
        after = self.only_if("%first", "sum")
        if self.routine.advances:
            self.store_field("step", self.value(f"add i64 {self.load_field('step')}, 1"))
        self.store_field("done", "%following")
        wanted = self.only_if(self.value("icmp ne ptr %results, null"), "results")
        self.line("%samples = sitofp i64 %valid to double")
        for k, name in enumerate([*self.routine.results, ""]):
            product = "%samples"
            if name:
                place = placements[name]
                kind = data_type_of(place.data_type)
                value = self.value(f"load {kind}, ptr {self.address(place)}")
                if kind != "double":
                    value = self.value(f"{'fpext' if kind == 'float' else 'sitofp'} {kind} {value} to double")
                product = self.value(f"fmul double {value}, %samples")
            place_of = self.value(f"getelementptr double, ptr %results, i64 {k}")
            total = self.value(f"fadd double {self.value(f'load double, ptr {place_of}')}, {product}")
            self.line(f"store double {total}, ptr {place_of}")
        self.end_if(wanted)
        self.end_if(after)

    def copy_out(self, place: Placement, target: str) -> None:
        """The rows of an output: whole squares of samples by all threads, the rest, up to `valid`, by the first."""
        capacity = self.program.capacity
        copy = row_copy(place, capacity, is_batched(place, capacity), self.vector_bits)
        groups = self.value(f"udiv i64 %valid, {copy.square}")
        self.copy_call(place, copy, target, False, *self.share(groups))
        if copy.square > 1:
            after = self.only_if("%first", "rest")
            done = self.value(f"mul i64 {groups}, {copy.square}")
            self.copy_call(place, replace(copy, square=1), target, False, done, "%valid")
            self.end_if(after)
