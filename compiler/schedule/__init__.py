"""A graph as a program: which equations share loops, how arrays lie in memory, which routines run when.

In: a `Graph` without scatters.  Out: a `Program` of kernels with its plan of memory.

    layouts     relayout, reading_order, partial_sums, columns → cyclic, padding
    grouping    one_sample, own_sums, factoring → grouping → fusion
    all of it   updates, routines → schedule
"""
