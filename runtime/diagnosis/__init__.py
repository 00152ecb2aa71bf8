"""What goes on inside of a network: where a NaN comes from, statistics of layers, kernels, the report of a run.

In: an elaborated network, weights, samples.  Out: numbers and pictures.

Read in this order:
    inside                 a network compiled so that the values of all its equations can be looked at
    nonfinite              the equation in which a NaN or an infinity first arose
    evaluation             expressions with NumPy, where a few values are known
    layers                 which equations are layers; the slopes of the functions that bend them
    layer_statistics       activations, dead units, gradients, by layer and by step of time, at some epochs
    learning_rates         the rate over the steps
    predictions            what a network says beside what it should; the loss of each sample
    first_weights          weights that meet the input, as pictures
    tangent_kernel         what a step for one sample changes for another: `dln ntk FILE`
"""
