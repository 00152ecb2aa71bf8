"""The multiply-add peak of this machine, measured: independent fused multiply-adds in registers and nothing else.

In: the number of threads.  Out: multiply-adds a second, in float32.

    peak(2)      →   1.16e11      (232 GFLOP/s)
"""

from __future__ import annotations

import ctypes
import threading
import time

import llvmlite.binding as llvm

#: Chains that run at once: enough to hide the latency of the unit (4 cycles, 2 units), few enough for 16 registers.
CHAINS = 12


def kernel_text(lanes: int) -> str:
    """LLVM text of `float peak(i64 rounds)`: CHAINS accumulators of `lanes` lanes, one multiply-add each a round."""
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
            f"declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})",
            'define float @peak(i64 %rounds) "prefer-vector-width"="512" {',
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


def peak(threads: int, seconds: float = 0.2) -> float:
    """Multiply-adds a second by so many threads: the best of three runs of about `seconds` each."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=2
    )
    module = llvm.parse_assembly(kernel_text(lanes))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(engine.get_function_address("peak"))
    rounds = 1_000_000
    begun = time.perf_counter()
    function(rounds)
    rounds = max(1, int(rounds * seconds / (time.perf_counter() - begun)))
    best = 0.0
    for _ in range(3):
        running = [threading.Thread(target=function, args=(rounds,)) for _ in range(threads)]
        begun = time.perf_counter()
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        best = max(best, threads * rounds * CHAINS * lanes / (time.perf_counter() - begun))
    return best
