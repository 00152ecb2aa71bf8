"""One equation, or some that are computed together, as loops; loops as text for LLVM.

In: families that were chosen to share a nest of loops.  Out: `Loops`, then the text of a function.

    program     program → memory → guards, processor
    nests       nest, products → canonical, flattening, support → nest_builder → likeness, bounds → plan
    loops       loops → loop_builder, division → arithmetic, evaluation_order → lanes
    tiles       accumulators, waiting, pairing, squares, tile → limits, prefetch → reduction
    kernels     packed → packing → contraction, transpose
    plans       trips → footprints, traffic → cost → candidates → lower_bound → panels, packed_plans → tiling → followed
    text        llvm
"""
