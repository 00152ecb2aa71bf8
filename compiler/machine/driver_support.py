"""Small functions that the entries of all routines call: the barrier, rows in order, clocks for profiles.

In: the name of the machine's architecture.  Out: LLVM text, once per module.

    support_text("x86_64")
"""

from __future__ import annotations

from .driver_job import field_address
from .driver_threads import barrier_text


def support_text(architecture: str) -> str:
    """All of them; those that nothing calls are dropped with the module's other dead code."""
    return f"""{barrier_text(architecture)}
define internal void @dln_positions(ptr %rows, i64 %position, i64 %lanes) noinline nounwind {{
  br label %lane
lane:
  %lane.now = phi i64 [ 0, %0 ], [ %lane.next, %lane ]
  %row = add i64 %position, %lane.now
  %place = getelementptr i64, ptr %rows, i64 %lane.now
  store i64 %row, ptr %place
  %lane.next = add i64 %lane.now, 1
  %more = icmp slt i64 %lane.next, %lanes
  br i1 %more, label %lane, label %done
done:
  ret void
}}
define internal i64 @dln_nanoseconds(ptr %job) noinline nounwind {{
  %time = alloca [2 x i64]
  %function.place = {field_address("clock_function")}
  %function = load ptr, ptr %function.place
  %ignored = call i32 %function(i32 1, ptr %time)
  %seconds = load i64, ptr %time
  %rest.place = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.place
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  ret i64 %now
}}
define internal void @dln_account(ptr %job, i64 %thread, i64 %call, i64 %before) noinline nounwind {{
  %table.place = {field_address("profile")}
  %table = load ptr, ptr %table.place
  %wanted = icmp ne ptr %table, null
  %first = icmp eq i64 %thread, 0
  %both = and i1 %wanted, %first
  br i1 %both, label %add, label %done
add:
  %now = call i64 @dln_nanoseconds(ptr %job)
  %spent = sub i64 %now, %before
  %place = getelementptr i64, ptr %table, i64 %call
  %old = load i64, ptr %place
  %new = add i64 %old, %spent
  store i64 %new, ptr %place
  br label %done
done:
  ret void
}}
"""
