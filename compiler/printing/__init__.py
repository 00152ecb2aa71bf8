"""What a person reads of a graph: equations as text and LaTeX, lists of stages, the network as a picture.

In: a `Graph`.  Out: text, LaTeX, MathML, SVG.

    formulas    notation_terms → notation_conditions → notation → typeset → latex, tidy_sums, indicators → equations, mathml
    stages      listing
    drawing     layered → picture
"""
