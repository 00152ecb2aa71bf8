"""What threads do in native code: the barrier between calls, and the loops of a pool.

In: the name of the machine's architecture.  Out: LLVM text, of which driver.py calls the barrier and threads.py the rest.

    void dln_barrier(ptr job, i64 threads)                            returns when all threads of the job have called it
    ptr  dln_pool_worker(ptr worker)                                  one thread of a pool: waits for jobs for ever
    void dln_pool_run(ptr pool, ptr entry, ptr job, i32 workers)      returns when all threads have done the job
"""

from __future__ import annotations

from .driver_job import field_address

#: How often a waiting thread looks again at once (tens of nanoseconds each) before it lets others run; and how often an idle
#: one looks for work before it sleeps. It gives way in between: the thread that has the work may be waiting for this very core.
_LOOKS_IN_BARRIER = 64
_LOOKS_FOR_WORK = 512
_LOOKS_PER_TURN = 16

_PAUSES = {
    "x86_64": "call void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.isb(i32 15)",
    "arm64": "call void @llvm.aarch64.isb(i32 15)",
}


def pause(architecture: str) -> str:
    """The instruction that tells a core that it is only waiting."""
    return _PAUSES.get(architecture, "")


def barrier_text(architecture: str) -> str:
    """`void dln_barrier(ptr job, i64 threads)`: returns when all threads of the job have called it.

    A counter of arrivals and a generation that the last to arrive advances (the central barrier of J. Mellor-Crummey and M.
    Scott, "Algorithms for scalable synchronization", TOCS 9, 1991). It passes on all that was written before it.
    """
    return f"""define internal void @dln_barrier(ptr %job, i64 %threads) noinline nounwind {{
entry:
  %arrived.place = {field_address("arrived")}
  %generation.place = {field_address("generation")}
  %generation = load atomic i32, ptr %generation.place monotonic, align 4
  %arrived = atomicrmw add ptr %arrived.place, i32 1 acq_rel
  %count = trunc i64 %threads to i32
  %others = sub i32 %count, 1
  %last = icmp eq i32 %arrived, %others
  br i1 %last, label %release, label %look
release:
  store atomic i32 0, ptr %arrived.place monotonic, align 4
  %next = add i32 %generation, 1
  store atomic i32 %next, ptr %generation.place release, align 4
  ret void
look:
  %looks = phi i32 [ 0, %entry ], [ %more, %again ]
  %now = load atomic i32, ptr %generation.place acquire, align 4
  %same = icmp eq i32 %now, %generation
  br i1 %same, label %wait, label %done
wait:
  {pause(architecture)}
  %more = add i32 %looks, 1
  %patient = icmp slt i32 %more, {_LOOKS_IN_BARRIER}
  br i1 %patient, label %again, label %yield
yield:
  %function.place = {field_address("yield_function")}
  %function = load ptr, ptr %function.place
  %none = icmp eq ptr %function, null
  br i1 %none, label %again, label %call
call:
  %ignored = call i32 %function()
  br label %again
again:
  br label %look
done:
  ret void
}}
"""


#: What a pool's threads share, by name and LLVM type; threads.py has the same as a ctypes structure.
POOL_FIELDS: tuple[tuple[str, str], ...] = (
    ("entry", "ptr"),
    ("job", "ptr"),
    ("mutex", "ptr"),
    ("condition", "ptr"),
    ("lock", "ptr"),
    ("unlock", "ptr"),
    ("wait", "ptr"),
    ("broadcast", "ptr"),
    ("yield_function", "ptr"),
    # The two counters lie on cache lines of their own.
    ("padding1", "[16 x i64]"),
    ("generation", "i32"),
    ("padding2", "[16 x i64]"),
    ("running", "i32"),
    ("padding3", "[16 x i64]"),
)


def pool_text(architecture: str) -> str:
    """The functions of a pool. An idle worker looks for work for a while, then sleeps on the pool's condition."""
    fields = {name: k for k, (name, _) in enumerate(POOL_FIELDS)}
    pool_type = ", ".join(kind for _, kind in POOL_FIELDS)

    def place(name: str) -> str:
        return f"getelementptr %dln.pool, ptr %pool, i64 0, i32 {fields[name]}"

    wait = pause(architecture)
    return f"""%dln.pool = type {{ {pool_type} }}
%dln.worker = type {{ ptr, i64 }}
define ptr @dln_pool_worker(ptr %worker) nounwind {{
  %pool = load ptr, ptr %worker
  %thread.place = getelementptr %dln.worker, ptr %worker, i64 0, i32 1
  %thread = load i64, ptr %thread.place
  %entry.place = {place("entry")}
  %job.place = {place("job")}
  %generation.place = {place("generation")}
  %running.place = {place("running")}
  %mutex.place = {place("mutex")}
  %mutex = load ptr, ptr %mutex.place
  %condition.place = {place("condition")}
  %condition = load ptr, ptr %condition.place
  %lock.place = {place("lock")}
  %lock = load ptr, ptr %lock.place
  %unlock.place = {place("unlock")}
  %unlock = load ptr, ptr %unlock.place
  %wait.place = {place("wait")}
  %wait = load ptr, ptr %wait.place
  %yield.place = {place("yield_function")}
  %yield = load ptr, ptr %yield.place
  br label %idle
idle:
  %seen = phi i32 [ 0, %0 ], [ %new, %work ]
  br label %look
look:
  %looks = phi i32 [ 0, %idle ], [ %more, %look.again ]
  %now = load atomic i32, ptr %generation.place acquire, align 4
  %same = icmp eq i32 %now, %seen
  br i1 %same, label %again, label %work
again:
  {wait}
  %more = add i32 %looks, 1
  %turn = and i32 %more, {_LOOKS_PER_TURN - 1}
  %next.turn = icmp eq i32 %turn, 0
  br i1 %next.turn, label %give.way, label %look.again
give.way:
  %given.way = call i32 %yield()
  br label %look.again
look.again:
  %patient = icmp slt i32 %more, {_LOOKS_FOR_WORK}
  br i1 %patient, label %look, label %sleep
sleep:
  %locked = call i32 %lock(ptr %mutex)
  br label %check
check:
  %changed = load atomic i32, ptr %generation.place acquire, align 4
  %still = icmp eq i32 %changed, %seen
  br i1 %still, label %doze, label %wake
doze:
  %dozed = call i32 %wait(ptr %condition, ptr %mutex)
  br label %check
wake:
  %unlocked = call i32 %unlock(ptr %mutex)
  br label %work
work:
  %new = phi i32 [ %now, %look ], [ %changed, %wake ]
  %entry = load ptr, ptr %entry.place
  %job = load ptr, ptr %job.place
  call void %entry(ptr %job, i64 %thread)
  %before = atomicrmw sub ptr %running.place, i32 1 acq_rel
  br label %idle
}}
define void @dln_pool_run(ptr %pool, ptr %entry, ptr %job, i32 %workers) nounwind {{
  %entry.place = {place("entry")}
  %job.place = {place("job")}
  %generation.place = {place("generation")}
  %running.place = {place("running")}
  %mutex.place = {place("mutex")}
  %mutex = load ptr, ptr %mutex.place
  %condition.place = {place("condition")}
  %condition = load ptr, ptr %condition.place
  %lock.place = {place("lock")}
  %lock = load ptr, ptr %lock.place
  %unlock.place = {place("unlock")}
  %unlock = load ptr, ptr %unlock.place
  %broadcast.place = {place("broadcast")}
  %broadcast = load ptr, ptr %broadcast.place
  %yield.place = {place("yield_function")}
  %yield = load ptr, ptr %yield.place
  store ptr %entry, ptr %entry.place
  store ptr %job, ptr %job.place
  store atomic i32 %workers, ptr %running.place monotonic, align 4
  %locked = call i32 %lock(ptr %mutex)
  %advanced = atomicrmw add ptr %generation.place, i32 1 acq_rel
  %woken = call i32 %broadcast(ptr %condition)
  %unlocked = call i32 %unlock(ptr %mutex)
  call void %entry(ptr %job, i64 0)
  br label %look
look:
  %looks = phi i32 [ 0, %0 ], [ %more, %again ]
  %running = load atomic i32, ptr %running.place acquire, align 4
  %busy = icmp ne i32 %running, 0
  br i1 %busy, label %wait, label %done
wait:
  {wait}
  %more = add i32 %looks, 1
  %patient = icmp slt i32 %more, {_LOOKS_IN_BARRIER}
  br i1 %patient, label %again, label %yielding
yielding:
  %ignored = call i32 %yield()
  br label %again
again:
  br label %look
done:
  ret void
}}
"""
