"""What goes on inside of a network: where a NaN comes from, statistics of layers, kernels, the report of a run.

In: an elaborated network, weights, samples.  Out: numbers and pictures.

Read in this order:
    inside                 a network compiled so that the values of all its equations can be looked at
    nonfinite              the equation in which a NaN or an infinity first arose
    tangent_kernel         what a step for one sample changes for another: `dln ntk FILE`
"""
