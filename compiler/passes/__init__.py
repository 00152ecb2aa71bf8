"""Graph to graph: each file is one step from the equations of a network to those of its training step.

In: a `Graph`.  Out: a `Graph` that means the same and more: gradients, updates, gathers in place of scatters.

    order       order → recurrence
    passes      simplify → operands → gradient → effort → regularise → sums → tables → connections → sharing → shared_values
"""
