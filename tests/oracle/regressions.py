"""Networks on which a pass was once wrong, cut down by hand. Each stays here, with what was wrong."""

from __future__ import annotations

REGRESSIONS = {
    # sharing.py left the axis that a scatter adds to inside of the body.
    "gradient of min reaches a product": """
network r
input source[3, 2]
weight w[3]
let f[y: 3, x: 2] = w[y] * source[y, x]
layer g[j: 2] = min[i] f[i, j]
loss average[batch] sum[i] g[i]^2
""",
    "two data-dependent subscripts of one weight": """
network r
input source[3]
input row: class[3]
input column: class[4]
weight E[3, 4]
weight w[3]
layer h[c: 3] = E[row, column] * w[c] * source[c]
loss average[batch] (sum[i] h[i]^2 + w[row] * sum[q: 4] E[row, q])
""",
    # contraction.py took the end of a loop over lanes for that of its axis, where a condition ended it earlier.
    "a shifted subscript in a gradient whose lanes end early": """
network r
input source[2, 8]
weight w[1, 2]
layer f[b: 2, u: 1, c: 8] = source[b, c + 1 else 0] * w[u, b]
weight v[1, 1, 8]
layer g[k: 1, a: 2, b: 1] = sum[c] f[a, b, c] * v[k, b, c]
loss average[batch, a, b, c] g[a, b, c]^2
""",
    # The runtime cut the samples into minibatches, and gave each the mean of its own.
    "a layer that is a mean over all samples": """
network r
input source[3]
weight w[3]
layer m = average[batch] sum[i] w[i] * source[i]
layer s[i] = sum[batch] w[i] * source[i]
loss average[batch] sum[i] w[i]^2 * source[i]
""",
    # operands.py lifted a factor of a recurrence with fewer steps than the recurrence has.
    "a recurrence whose factor is needed at some steps only": """
network r
input source[5]
weight w[2, 2]
layer f[t: 5, k: 2] = tanh(source[t] * (k + 1) + sum[q] w[q, k] * f[t - 1, q else source[0]] * f[t - 1, q else 0])
loss average[batch] sum[t, k] f[t, k]^2
""",
    "a recurrence whose weight ends before it does": """
network r
input source[5]
weight w[2, 2]
layer f[t: 5, k: 2] = tanh(source[t] * (k + 1) + sum[q] w[q, t] * f[t + 1, q else w[0, q]])
loss average[batch] sum[t, k] f[t, k]^2
""",
}
