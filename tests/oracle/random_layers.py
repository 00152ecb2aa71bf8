"""More templates of random layers: the prelude's blocks, data-dependent subscripts, conditions that prove ranges, index sets.

In: a `Maker` with the arrays made so far.  Out: more lines, and one more array.

    layer f4[3, 5] = convolution(f2, size = 3, padding = 1, F = 3)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .random_maker import LIMIT, Maker, Unsuitable


def _block_layer(m: Maker, extents: tuple[int, ...], call: str, entries: int = 0) -> None:
    """A layer that is a block of the prelude, perhaps under an activation."""
    if m.weight_entries + entries > 220 or math.prod(extents) > 300:
        raise Unsuitable
    m.weight_entries += entries
    f = m.rng.choice(["", "", "tanh", "relu", "softplus"])
    name = f"f{m.number}"
    shown = ", ".join(map(str, extents))
    axes = f"[{shown}]" if extents else ""
    m.lines.append(f"layer {name}{axes} = " + (f"{f}({call})" if f else call))
    m.arrays[name] = extents


def prelude_dense(m: Maker) -> None:
    name, e = m.pick(m.rng.choice([1, 1, 2]))
    size = m.extent()
    block = m.rng.choice(["dense", "dense", "linear"])
    _block_layer(m, (*e[:-1], size), f"{block}({name})", (e[-1] + (block == "dense")) * size)


def prelude_two_blocks(m: Maker) -> None:
    """Two blocks in one layer, one inside of the other or side by side."""
    name, (n,) = m.pick(1)
    size, inner = m.extent(4), m.extent(4)
    if m.rng.random() < 0.5:
        call = f"dense(relu(dense({name}, M = {inner})))"
        _block_layer(m, (size,), call, (n + 1) * inner + (inner + 1) * size)
    else:
        _block_layer(m, (size,), f"dense({name}) + linear({name})", (2 * n + 1) * size)


def prelude_convolution(m: Maker) -> None:
    rank = m.rng.choice([2, 3, 3])
    name, e = m.pick(rank, at_most=120)
    size, stride, dilation = m.rng.randint(1, 3), m.rng.choice([1, 1, 2]), m.rng.choice([1, 1, 2])
    padding = m.rng.randint(0, 2)
    out = [(n + 2 * padding - dilation * (size - 1) - 1) // stride + 1 for n in e[1:]]
    if min(out) < 1:
        raise Unsuitable
    divisors = [g for g in (1, 2, 3) if e[0] % g == 0]
    groups = m.rng.choice(divisors)
    filters = groups * m.rng.randint(1, 2)
    block = "convolution" if rank == 3 else "convolution_1d"
    options = (
        f"size = {size}, stride = {stride}, padding = {padding}, dilation = {dilation}, groups = {groups}"
    )
    entries = filters * (e[0] // groups * size ** (rank - 1) + 1)
    if filters * math.prod(out) * e[0] // groups * size ** (rank - 1) > LIMIT:
        raise Unsuitable
    _block_layer(m, (filters, *out), f"{block}({name}, {options})", entries)


def prelude_pooling(m: Maker) -> None:
    form = m.rng.choice(["max_pool", "average_pool", "max_pool_1d", "average_pool_1d", "global_average_pool"])
    flat = form.endswith("1d")
    name, e = m.pick(m.rng.choice([1, 2]) if flat else m.rng.choice([2, 3]))
    if form == "global_average_pool":
        _block_layer(m, e[:-2], f"{form}({name})")
        return
    size, stride = m.rng.choice([1, 2, 2, 3]), m.rng.choice([0, 0, 1, 2])
    keep = len(e) - (1 if flat else 2)
    step = stride or size
    out = [(n - size) // step + 1 for n in e[keep:]]
    if min(e[keep:]) < size:
        raise Unsuitable
    options = f", size = {size}" + (f", stride = {stride}" if stride else "")
    _block_layer(m, (*e[:keep], *out), f"{form}({name}{options})")


def prelude_flatten(m: Maker) -> None:
    name, e = m.pick(m.rng.choice([2, 3]), at_most=24)
    _block_layer(m, (math.prod(e),), f"flatten({name})")


def prelude_softmax(m: Maker) -> None:
    name, e = m.pick(m.rng.choice([1, 2]))
    block = m.rng.choice(["softmax", "log_softmax"])
    if len(e) == 2 and m.rng.random() < 0.6:
        s = m.rng.choice(["i", "j"])
        m.layer({"i": e[0], "j": e[1]}, f"{block}[{s}]({name}[i, j])")
    else:
        _block_layer(m, e, f"{block}({name})")


def prelude_hidden(m: Maker) -> None:
    """A block along an axis that does not see all of it."""
    name, e = m.pick(2)
    condition = m.rng.choice(["j <= i or j == 0", "(i + j) mod 2 == 0 or j == 0", "abs(i - j) <= 1 or j < 1"])
    block = m.rng.choice(["softmax", "log_softmax", f"centre{m.number}"])
    if block.startswith("centre"):
        m.lines += [
            f"block {block}(x[.., N]) -> y[.., N] {{",
            "  let m[..]    = average[i] x[.., i]",
            "  let s[.., j] = cos(x[.., j] - m[..])",
            "  let y[.., j] = 1 + s[.., j]^2 * sum[k] s[.., k]",
            "}",
        ]
    m.layer({"i": e[0], "j": e[1]}, f"{block}[j where {condition}]({name}[i, j] * 0.8)")


def prelude_loss(m: Maker) -> None:
    """A function of the prelude that takes whole arrays; the loss gets its value."""
    pairs = [(a, b) for a, e in m.arrays.items() for b, f in m.arrays.items() if a < b and e == f]
    if not pairs:
        raise Unsuitable
    a, b = m.rng.choice(pairs)
    f = m.rng.choice(["squared_error", "mean_squared_error", "mean_absolute_error", "binary_cross_entropy"])
    m.lines.append(f"let f{m.number} = {f}({a}, {b})")
    m.arrays[f"f{m.number}"] = ()


def guarded(m: Maker) -> None:
    """Subscripts that a condition keeps in range."""
    name, (n,) = m.pick(1, at_least=2)
    form = m.rng.randrange(5)
    if form == 0:
        m.layer({"i": n}, f"{name}[i - 1] if i >= 1 else 0.5 * {name}[i]")
    elif form == 1:
        m.layer({"t": n}, f"sum[k where k <= t] {name}[t - k] * {name}[k] * 0.3")
    elif form == 2:
        m.layer({"i": n}, f"{name}[min(i + 1, {n - 1})] - {name}[max(i - 1, 0)]")
    elif form == 3:
        other, e = m.pick()
        here = f"{other}[{', '.join('0' for _ in e)}]" if e else other
        m.layer({"i": n + 1}, f"{name}[i - 1 else {here}]")
    else:
        m.layer({"i": n}, f"({name}[i] if i mod 2 == 0 else {name}[i - 1]) * 0.7")


def data_dependent(m: Maker) -> None:
    """Subscripts that are computed: the place of the largest entry, or a class."""
    name, e = m.pick(m.rng.choice([1, 2]), at_least=2)
    if len(e) == 1:
        m.lines.append(f"let p{m.number} = {m.rng.choice(['argmax', 'argmin'])}[k] {name}[k]")
        other, (size,) = m.pick(1)
        if size >= e[0]:
            m.layer({"i": e[0]}, f"{other}[p{m.number}] * {name}[i]")
        else:
            m.layer({"i": e[0]}, f"{name}[p{m.number}] - {name}[i]")
    else:
        m.lines.append(f"let p{m.number}[i: {e[0]}] = argmax[k] {name}[i, k]")
        w = m.weight(e[1])
        m.layer({"i": e[0]}, m.act(f"{w}[p{m.number}[i]] * {name}[i, p{m.number}[i]]"))


def absent_connections(m: Maker) -> None:
    """Weights that are not there, in reductions other than sums, and outside of reductions."""
    name, (n,) = m.pick(1)
    size = m.rng.randint(1, n)
    w = m.weight(m.rng.randint(1, 3))
    form = m.rng.randrange(4)
    if form == 0:
        m.layer({"j": size}, f"max[i] ({w}[i - j] * {name}[i])")
    elif form == 1:
        m.layer({"j": size}, f"average[i] {w}[i - j] * {name}[i]")
    elif form == 2:
        m.layer({"j": size}, f"product[i] (1 + 0.3 * {w}[i - j] * {name}[i])")
    else:
        m.layer({"j": n}, f"{w}[j] * {name}[j] + {name}[j] * cos({w}[j])")


def real_table(m: Maker) -> None:
    """Fixed numbers, not learned: a transform given by a table."""
    name, (n,) = m.pick(1)
    size = m.extent(4)
    rows = [[round(m.rng.uniform(-1, 1), 2) for _ in range(n)] for _ in range(size)]
    m.layer({"j": size}, m.act(f"sum[i] {rows}[j, i] * {name}[i]"))


def index_set(m: Maker) -> None:
    name, (n,) = m.pick(1)
    size = m.extent(3)
    number = m.number
    m.lines.append(f"index gate{number} = {{open{number}, shut{number}}}")
    if m.weight_entries + 2 * n * size > 220:
        raise Unsuitable
    m.weight_entries += 2 * n * size
    m.weights[f"w{number}a"] = (2, n, size)
    m.lines.append(f"weight w{number}a[gate{number}, {n}, {size}] ~ glorot")
    m.lines.append(f"let a{number}[g, j] = sum[i] w{number}a[g, i, j] * {name}[i]")
    m.layer({"j": size}, f"sigmoid(a{number}[open{number}, j]) * tanh(a{number}[shut{number}, j])")


def user_function(m: Maker) -> None:
    """A function of the user's own over whole arrays, and one of numbers inside of it."""
    name, (n,) = m.pick(1)
    w = m.weight(n)
    f = f"form{m.number}"
    m.lines.append(f"function {f}(a[N], b[N], c = 2) = sum[i] wave(a[i]) * b[i] / c + a[0]")
    call = m.rng.choice([f"{f}({name}, {w})", f"{f}({w}, {name}, c = 3)", f"{f}(a = {name}, b = {name})"])
    m.layer({"j": 2}, f"{call} * (j + 1)")


def batch_coupled(m: Maker) -> None:
    """Reductions over the batch and an index at once."""
    name, (n,) = m.pick(1)
    m.lines.append(f"let m{m.number} = average[batch, i] {name}[i]")
    m.lines.append(f"let v{m.number} = average[batch, i] ({name}[i] - m{m.number})^2")
    m.layer({"i": n}, f"({name}[i] - m{m.number}) / sqrt(v{m.number} + 0.1)")


def recurrence(m: Maker) -> None:
    """A family that mentions itself one or two steps before or after, over a sequence of numbers or of vectors."""
    name, e = m.pick(m.rng.choice([1, 2, 2]), at_most=30)
    delay = m.rng.choice(["t - 1", "t - 1", "t + 1", "t - 2"])
    if len(e) == 1:
        a = m.weight(m.rng.randint(1, 2))
        start = m.rng.choice(["0", "0.5", f"{a}[0]"])
        m.layer({"t": e[0]}, f"tanh({a}[0] * f{m.number}[{delay} else {start}] + {name}[t])")
        return
    size = m.extent(3)
    u, w = m.weight(size, size), m.weight(e[1], size)
    start = m.rng.choice(["0", "0", "0.25", f"{u}[0, q]"])
    into = f"sum[i] {w}[i, k] * {name}[t, i]"
    if m.rng.random() < 0.6:
        m.layer(
            {"t": e[0], "k": size}, f"tanh({into} + sum[q] {u}[q, k] * f{m.number}[{delay}, q else {start}])"
        )
        return
    # Two families that depend on each other, as the cell and the output of an LSTM.
    c = f"c{m.number}"
    m.lines.append(
        f"let {c}[t: {e[0]}, k: {size}] = sigmoid({into}) * {c}[{delay}, k else 0]"
        f" + sum[q] {u}[q, k] * f{m.number}[{delay}, q else {start}]"
    )
    m.layer({"t": e[0], "k": size}, f"tanh({c}[t, k]) + 0.1 * {name}[t, 0]")


TEMPLATES: tuple[tuple[Callable[[Maker], None], int], ...] = (
    (prelude_dense, 4), (prelude_two_blocks, 2), (prelude_convolution, 4), (prelude_pooling, 3), (prelude_flatten, 1),
    (prelude_softmax, 2),
    (prelude_hidden, 2), (prelude_loss, 1), (guarded, 3), (data_dependent, 2), (absent_connections, 3), (real_table, 2),
    (index_set, 2), (user_function, 2), (batch_coupled, 1),
    (recurrence, 4),
)  # fmt: skip
