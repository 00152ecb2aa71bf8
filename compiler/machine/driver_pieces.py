"""Pieces: in a long call every thread does its own part, and then what is left of the others'.

In: the name of the call's blocks, its range, its number among such calls, its turn.  Out: lines of LLVM text around the call.

    part of a thread   |        1/2        |  1/4   | 1/8 | 1/8 |     the owner takes pieces from the left; so do its helpers

Cores are not equally fast: another program may have one for a while. A thread takes a piece by drawing a ticket, an atomic
counter of each call and part (job.tickets). Every thread draws until it is told that nothing is left, so that each minibatch,
and each step of a time loop, takes as many tickets, and counters need never be set back; between two turns stands a barrier.
Which thread computes a piece changes none of its bits.
(R. Blumofe and C. Leiserson, Scheduling multithreaded computations by work stealing, Journal of the ACM 46, 1999.)
"""

from __future__ import annotations

from .job import ROW_PADDING

#: Pieces of a part: each half of what is left, the last two alike.
PIECES = 4
_FINEST = 1 << (PIECES - 1)


def opened_pieces(word: str, extent: int, number: int, turn: str) -> list[str]:
    """From the block `word` to where the kernel is called for [%word.begin, %word.end). `turn`: how often it was before."""

    def edge(name: str, piece: str) -> list[str]:
        return [
            f"  %{word}.{name}.left = lshr i64 {_FINEST}, {piece}",
            f"  %{word}.{name}.parts = sub i64 {_FINEST}, %{word}.{name}.left",
            f"  %{word}.{name}.of = mul i64 %{word}.size, %{word}.{name}.parts",
            f"  %{word}.{name}.far = udiv i64 %{word}.{name}.of, {_FINEST}",
            f"  %{word}.{name} = add i64 %{word}.first, %{word}.{name}.far",
        ]

    return [
        f"{word}:",
        f"  %{word}.each = add i64 %threads, {PIECES}",
        f"  %{word}.drawn = mul i64 {turn}, %{word}.each",
        f"  %{word}.counters = mul i64 %threads, {number}",
        f"  br label %{word}.part",
        f"{word}.part:",
        f"  %{word}.turn = phi i64 [ 0, %{word} ], [ %{word}.next.turn, %{word}.left ]",
        f"  %{word}.sum = add i64 %thread, %{word}.turn",
        f"  %{word}.owner = urem i64 %{word}.sum, %threads",
        f"  %{word}.after = add i64 %{word}.owner, 1",
        f"  %{word}.low = mul i64 %{word}.owner, {extent}",
        f"  %{word}.high = mul i64 %{word}.after, {extent}",
        f"  %{word}.first = udiv i64 %{word}.low, %threads",
        f"  %{word}.stop = udiv i64 %{word}.high, %threads",
        f"  %{word}.size = sub i64 %{word}.stop, %{word}.first",
        f"  %{word}.counter = add i64 %{word}.counters, %{word}.owner",
        f"  %{word}.offset = mul i64 %{word}.counter, {ROW_PADDING}",
        f"  %{word}.place = getelementptr i64, ptr %tickets, i64 %{word}.offset",
        f"  br label %{word}.draw",
        f"{word}.draw:",
        f"  %{word}.ticket = atomicrmw add ptr %{word}.place, i64 1 monotonic",
        f"  %{word}.piece = sub i64 %{word}.ticket, %{word}.drawn",
        f"  %{word}.some = icmp slt i64 %{word}.piece, {PIECES}",
        f"  br i1 %{word}.some, label %{word}.run, label %{word}.left",
        f"{word}.run:",
        f"  %{word}.next = add i64 %{word}.piece, 1",
        *edge("begin", f"%{word}.piece"),
        *edge("end", f"%{word}.next"),
    ]


def closed_pieces(word: str) -> list[str]:
    """From behind the kernel's call to the block `word.done`."""
    return [
        f"  br label %{word}.draw",
        f"{word}.left:",
        f"  %{word}.next.turn = add i64 %{word}.turn, 1",
        f"  %{word}.more = icmp slt i64 %{word}.next.turn, %threads",
        f"  br i1 %{word}.more, label %{word}.part, label %{word}.done",
        f"{word}.done:",
    ]
