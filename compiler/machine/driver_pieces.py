"""Pieces: in a long call every thread does its own part, and then what is left of the others'.

In: the name of the call's blocks, its range, its number among such calls, its turn.  Out: lines of LLVM text around the call.

    part of a thread   |     1/2     |  1/4  | 1/8 | 1/16 | 1/32 | 1/32 |    the owner and its helpers take the first that is left

Cores are not equally fast: another program may have one for a while. A thread takes a piece by drawing a ticket, an atomic
counter of each call and part (job.tickets). Every thread draws until it is told that nothing is left, so that each minibatch,
and each step of a time loop, takes as many tickets, and counters need never be set back; between two turns stands a barrier.
Which thread computes a piece changes none of its bits.
(R. Blumofe and C. Leiserson, Scheduling multithreaded computations by work stealing, Journal of the ACM 46, 1999.)
"""

from __future__ import annotations

from .job import ROW_PADDING

#: Pieces of a part: each half of what is left, the last two alike. A thread waits for one of these at the end.
PIECES = 6
_FINEST = 1 << (PIECES - 1)


def piece_text(name: str) -> str:
    """The function that draws the next piece for a thread: it gives where the piece begins, or −1 if nothing is left.

    number  of the call among such calls;  turn: how often it was before
    state   of the thread: in how many parts it has found nothing left, and where the last piece ends
    """

    def edge(name: str, piece: str) -> list[str]:
        return [
            f"  %{name}.left = lshr i64 {_FINEST}, {piece}",
            f"  %{name}.parts = sub i64 {_FINEST}, %{name}.left",
            f"  %{name}.of = mul i64 %size, %{name}.parts",
            f"  %{name}.far = udiv i64 %{name}.of, {_FINEST}",
            f"  %{name} = add i64 %first, %{name}.far",
        ]

    lines = [
        f"define internal i64 @{name}(ptr %tickets, i64 %number, i64 %turn, i64 %extent, i64 %thread, i64 %threads,"
        " ptr %state) noinline nounwind {",
        "entry:",
        f"  %each = add i64 %threads, {PIECES}",
        "  %drawn = mul i64 %turn, %each",
        "  %counters = mul i64 %threads, %number",
        "  %finished = load i64, ptr %state",
        "  br label %part",
        "part:",
        "  %parts = phi i64 [ %finished, %entry ], [ %next.parts, %left ]",
        "  %more = icmp slt i64 %parts, %threads",
        "  br i1 %more, label %draw, label %nothing",
        "draw:",
        "  %sum = add i64 %thread, %parts",
        "  %owner = urem i64 %sum, %threads",
        "  %after = add i64 %owner, 1",
        "  %low = mul i64 %owner, %extent",
        "  %high = mul i64 %after, %extent",
        "  %first = udiv i64 %low, %threads",
        "  %stop = udiv i64 %high, %threads",
        "  %size = sub i64 %stop, %first",
        "  %counter = add i64 %counters, %owner",
        f"  %offset = mul i64 %counter, {ROW_PADDING}",
        "  %place = getelementptr i64, ptr %tickets, i64 %offset",
        "  %ticket = atomicrmw add ptr %place, i64 1 monotonic",
        "  %piece = sub i64 %ticket, %drawn",
        f"  %some = icmp slt i64 %piece, {PIECES}",
        "  br i1 %some, label %take, label %left",
        "left:",
        "  %next.parts = add i64 %parts, 1",
        "  store i64 %next.parts, ptr %state",
        "  br label %part",
        "take:",
        "  %next = add i64 %piece, 1",
        *edge("begin", "%piece"),
        *edge("end", "%next"),
        "  %end.place = getelementptr i64, ptr %state, i64 1",
        "  store i64 %end, ptr %end.place",
        "  ret i64 %begin",
        "nothing:",
        "  ret i64 -1",
        "}",
    ]
    return "\n".join([*lines, ""])


def opened_pieces(word: str, name: str, extent: int, number: int, turn: str) -> list[str]:
    """From the block `word` to where the kernel is called for [%word.begin, %word.end). `name`: of the function that draws."""
    return [
        f"{word}:",
        "  store i64 0, ptr %pieces",
        f"  br label %{word}.draw",
        f"{word}.draw:",
        f"  %{word}.begin = call i64 @{name}(ptr %tickets, i64 {number}, i64 {turn}, i64 {extent}, i64 %thread,"
        " i64 %threads, ptr %pieces)",
        f"  %{word}.some = icmp sge i64 %{word}.begin, 0",
        f"  br i1 %{word}.some, label %{word}.run, label %{word}.done",
        f"{word}.run:",
        f"  %{word}.end = load i64, ptr %piece.end",
    ]


def closed_pieces(word: str) -> list[str]:
    """From behind the kernel's call to the block `word.done`."""
    return [f"  br label %{word}.draw", f"{word}.done:"]
