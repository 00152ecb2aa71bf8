"""The compiler: from the text of a network to machine code. It knows nothing of training, data or the command line.

Data walks through these rooms in this order; a room imports only rooms above it, and the docstring of a room lists what
stands in it in the same way (tests/test_import_direction.py).

    text        record → source → syntax → parsing → parse
    equations   mathematics → elaborate
    graphs      passes
    print       printing
    loops       kernels → schedule
    code        machine
    all of it   stepping, pass_order → stored → pipeline

Two representations, both plain data: the graph of index equations (mathematics/graph.py), and the loops (kernels/loops.py).
"""
