"""A loop of fused multiply-adds in registers, as LLVM text: what speed.py measures a core with.

In: the number of lanes of a vector register.  Out: the text of

    float @dln_speed(i64 rounds)          CHAINS vector multiply-adds a round, none of which waits for another
"""

from __future__ import annotations

#: Chains that run at once: enough to hide the latency of the unit (4 cycles, 2 units), few enough for 16 registers.
CHAINS = 12


def speed_text(lanes: int) -> str:
    """The text for vectors of `lanes` numbers in float32."""
    vector = f"<{lanes} x float>"
    names = [f"a{n}" for n in range(CHAINS)]
    phis = [f"  %{a} = phi {vector} [ %start, %entry ], [ %{a}.next, %loop ]" for a in names]
    steps = [
        f"  %{a}.next = call {vector} @llvm.fma.v{lanes}f32({vector} %{a}, {vector} %factor, {vector} %start)"
        for a in names
    ]
    sums = [
        f"  %s{n} = fadd {vector} %{'s' + str(n - 1) if n else 'start'}, %{a}.next"
        for n, a in enumerate(names)
    ]
    return "\n".join(
        [
            "define float @dln_speed(i64 %rounds) {",
            "entry:",
            f"  %first = insertelement {vector} zeroinitializer, float 1.0, i32 0",
            f"  %start = shufflevector {vector} %first, {vector} zeroinitializer, <{lanes} x i32> zeroinitializer",
            f"  %half = insertelement {vector} zeroinitializer, float 0.5, i32 0",
            f"  %factor = shufflevector {vector} %half, {vector} zeroinitializer, <{lanes} x i32> zeroinitializer",
            "  br label %loop",
            "loop:",
            "  %n = phi i64 [ 0, %entry ], [ %n.next, %loop ]",
            *phis,
            *steps,
            "  %n.next = add i64 %n, 1",
            "  %more = icmp slt i64 %n.next, %rounds",
            "  br i1 %more, label %loop, label %done",
            "done:",
            *sums,
            f"  %out = extractelement {vector} %s{CHAINS - 1}, i32 0",
            "  ret float %out",
            "}",
        ]
    )
