"""The compiler: from the text of a network to machine code. It knows nothing of training, data or the command line.

Data walks through these rooms in this order; a room imports only rooms above it (tests/test_import_direction.py).

    text        source → syntax → parsing → parse
    mathematics threefry → values → expression → walks → scalar → graph → draws, affine → static_values → lattice → counts →
                elaborate
    passes      order → recurrence → algebra → simplify → operands → gradient → regularise → sums → connections → sharing
    printing    notation_terms → notation_conditions → notation → typeset → latex, tidy_sums → equations, listing
    drawing     layered → picture
    kernels     program → memory → guards → nest → canonical, flattening → nest_builder → bounds → plan, products → loops →
                loop_builder → arithmetic → lanes → contraction → trips, cost → tiling → transpose → llvm
    schedule    relayout, partial_sums → padding, factoring → grouping → fusion → updates, routines → schedule
    machine     vector_math, job → driver → module → cache → native → threads, team → machine_code
    all of it   stepping, pipeline

Two representations, both plain data: the graph of index equations (graph.py), and the loops (loops.py).
"""
