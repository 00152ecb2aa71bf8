"""Graph to graph: each file is one step from the equations of a network to those of its training step.

In: a `Graph`.  Out: a `Graph` that means the same and more: gradients, updates, gathers in place of scatters.

    order       order → recurrence
    equations   simplify → operands → gradient → effort → regularise
    subscripts  sums → tables → connections → digits → sharing → shared_values → choices → slopes
"""
