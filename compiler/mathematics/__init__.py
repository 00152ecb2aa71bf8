"""Index equations as plain data, and what can be proved of them.

In: nothing but numbers and expressions.  Out: `Graph`s of `Family`s, exact counts, inverses of subscripts.

    numbers     threefry → values
    graphs      circles
    equations   expression → walks → scalar → graph
    analysis    draws, affine → algebra, static_values → lattice → counts
"""
