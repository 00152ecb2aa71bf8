"""Templates of random layers: each adds a few lines of .dln that are valid by construction.

In: a `Maker` with the arrays made so far.  Out: more lines, and one more array.

    layer f3[j: 5] = tanh(b3[j] + sum[i] w3[K3(i, j)] * x[i])
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .random_maker import LIMIT, Maker, Unsuitable


def dense(m: Maker) -> None:
    name, (n,) = m.pick(1)
    size = m.extent()
    w = m.weight(n, size)
    m.layer({"j": size}, m.act(f"{m.bias({'j': size})}sum[i] {w}[i, j] * {name}[i]"))


def dense_of_all(m: Maker) -> None:
    """A dense layer over two or three axes at once, with the axes of the weight in another order."""
    name, e = m.pick(m.rng.choice([2, 3]), at_most=30)
    size = m.extent(4)
    inner = ["p", "q", "r"][: len(e)]
    order = [("o", size), *zip(inner, e, strict=True)]
    m.rng.shuffle(order)
    w = m.weight(*(n for _, n in order))
    subscripts = ", ".join(a for a, _ in order)
    factors = [f"{w}[{subscripts}]", f"{name}[{', '.join(inner)}]"]
    m.rng.shuffle(factors)
    m.layer({"o": size}, m.act(f"{m.bias({'o': size})}sum[{', '.join(inner)}] {' * '.join(factors)}"))


def affine_map(m: Maker) -> None:
    name, (n,) = m.pick(1)
    size = m.extent()
    a, b = m.rng.choice([-2, -1, 1, 1, 2]), m.rng.choice([-3, -2, -1, -1, 1, 2])
    values = [a * i + b * j for i in range(n) for j in range(size)]
    entries = m.rng.randint(1, max(values) - min(values) + 1)
    c = -m.rng.choice(values) + m.rng.randrange(entries)  # at least one connection exists
    w = m.weight(entries)
    m.lines.append(f"map K{m.number}(i, j) = {a} * i + {b} * j + {c}".replace("+ -", "- "))
    m.layer({"j": size}, m.act(f"{m.bias({'j': size})}sum[i] {w}[K{m.number}(i, j)] * {name}[i]"))


def other_map(m: Maker) -> None:
    """Modular, absolute, divided, minimum: maps that are not affine."""
    name, (n,) = m.pick(1)
    size = m.extent()
    r, d = m.rng.randint(1, 5), m.rng.randint(1, 3)
    body = m.rng.choice(
        [
            f"(j - i) mod {r}",
            f"(2 * i + 3 * j) mod {r}",
            "abs(i - j)",
            "abs(2 * i - j) - 1",
            f"(i + j) div {d + 1}",
            f"i div {d} - j div {d + 1} + 1",
            "min(i, j)",
            f"max(i, j) - {d}",
            f"(i mod {d + 1}) + (j mod 2) * {d}",
            f"i if i < j else {d}",
        ]
    )
    formula = body.replace("mod", "%").replace("div", "//")
    if not any(0 <= eval(formula, {"i": i, "j": j}) < r for i in range(n) for j in range(size)):
        raise Unsuitable  # a map without any connection is an error
    w = m.weight(r)
    m.lines.append(f"map K{m.number}(i, j) = {body}")
    m.layer({"j": size}, m.act(f"sum[i] {w}[K{m.number}(i, j)] * {name}[i]"))


def table_map(m: Maker) -> None:
    name, (n,) = m.pick(1)
    size, entries = m.extent(), m.rng.randint(1, 5)
    rows = [[m.rng.randrange(-1, entries) for _ in range(size)] for _ in range(n)]
    rows[0][0] = 0
    w = m.weight(entries)
    form = m.rng.randrange(3)
    if form == 0:
        m.lines.append(f"map K{m.number}(i, j) = {rows}[i, j]")
    elif form == 1:
        m.lines.append(f"map K{m.number}(i, j) = {rows}")
    else:
        m.files[f"table{m.number}.csv"] = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
        m.lines.append(f'map K{m.number}(i, j) = table "table{m.number}.csv"')
    m.layer({"j": size}, m.act(f"{m.bias({'j': size})}sum[i] {w}[K{m.number}(i, j)] * {name}[i]"))


def banded(m: Maker) -> None:
    """A weight that says itself which of its entries exist."""
    name, (n,) = m.pick(1)
    size = m.extent()
    condition = m.rng.choice(["abs(i - j) <= 1", "i <= j", "(i + j) mod 2 == 0", "i != j or i == 0"])
    if m.weight_entries + n * size > 220:
        raise Unsuitable
    m.weight_entries += n * size
    w = f"w{m.number}a"
    m.weights[w] = (n, size)
    m.lines.append(f"weight {w}[i: {n}, j: {size}] ~ normal(0, 0.5) where {condition}")
    m.layer({"j": size}, m.act(f"sum[i] {w}[i, j] * {name}[i]"))


def convolution(m: Maker) -> None:
    """One or two dimensions, with or without channels; stride, dilation, offset; `else` where it leaves the image."""
    rank = m.rng.choice([1, 2, 3])
    name, e = m.pick(rank, at_most=150)
    channels = rank == 3 or (rank == 2 and m.rng.random() < 0.4)
    space = e[1:] if channels else e
    filters = m.extent(3) if m.rng.random() < 0.7 else 0
    axes: dict[str, int] = {"f": filters} if filters else {}
    inner: dict[str, int] = {"c": e[0]} if channels else {}
    subscripts = ["c"] if channels else []
    needs_else = False
    for position, n in enumerate(space):
        kernel, stride, dilation = m.rng.randint(1, 3), m.rng.choice([1, 1, 2, 3]), m.rng.choice([1, 1, 2])
        offset = m.rng.randint(0, kernel)
        reach = (kernel - 1) * dilation
        valid = (n - 1 - reach) // stride + 1
        if m.rng.random() < 0.4 and valid >= 1:
            offset, out = 0, m.rng.randint(1, valid)
        else:
            out = m.rng.randint(1, n + 1)
            needs_else = True
        y, v = ("y", "v") if position == 0 else ("x", "u")
        axes[y], inner[v] = out, kernel
        subscripts.append(f"{stride} * {y} + {dilation} * {v} - {offset}")
    if math.prod(axes.values()) * math.prod(inner.values()) > LIMIT:
        raise Unsuitable
    extents = ([filters] if filters else []) + list(inner.values())
    w = m.weight(*extents)
    w_subscripts = ", ".join((["f"] if filters else []) + list(inner))
    guard = f" else {m.rng.choice(['0', '-1', '0.25'])}" if needs_else else ""
    term = f"{w}[{w_subscripts}] * {name}[{', '.join(subscripts)}{guard}]"
    m.layer(axes, m.act(f"{m.bias(axes)}sum[{', '.join(inner)}] {term}"))


def weight_gather(m: Maker) -> None:
    """The weight's own subscripts run out of its extents: a convolution written from the other side."""
    name, e = m.pick(m.rng.choice([1, 2]), at_most=40)
    inner = ["i", "k"][: len(e)]
    axes = {a: m.rng.randint(1, n + 1) for a, n in zip(["y", "x"], e, strict=False)}
    stride = m.rng.choice([1, 1, 2])
    extents = [m.rng.randint(1, 3) for _ in e]
    w = m.weight(*extents)
    subscripts = ", ".join(f"{i} - {stride} * {a}" for i, a in zip(inner, axes, strict=True))
    body = f"sum[{', '.join(inner)}] {w}[{subscripts}] * {name}[{', '.join(inner)}]"
    m.layer(axes, m.act(f"{m.bias(axes)}{body}"))


def elementwise(m: Maker) -> None:
    name, e = m.pick()
    others = [n for n, x in m.arrays.items() if x == e]
    other = m.rng.choice(others)
    axes = dict(zip("ijkl", e, strict=False))
    here = f"[{', '.join(axes)}]" if axes else ""
    x, y = f"{name}{here}", f"{other}{here}"
    body = m.rng.choice(
        [
            f"{x} + {y}",
            f"{x} * {y}",
            f"tanh({x}) - 0.5 * {y}",
            f"max({x}, {y})",
            f"{x} if {y} > 0.1 else 0.3 * {y}",
            f"{x} / (1 + {y}^2)",
            f"exp(-{x}^2) * {y}",
            f"sqrt(1 + {x} * {x}) - abs({y})",
            f"min({x}, 0.4) + sigmoid({y})",
            f"log({x}^2 + 0.5) * stop_gradient({y})",
        ]
    )
    m.layer(axes, body)


def rearranged(m: Maker) -> None:
    """Reading one array at other places: reversed, shifted, wrapped, thinned, transposed, repeated."""
    name, e = m.pick(m.rng.choice([1, 2]), at_most=60)
    axes: dict[str, int] = {}
    subscripts = []
    needs_else = False
    for a, n in zip("ij", e, strict=False):
        form = m.rng.randrange(7)
        axes[a] = n
        if form == 0:
            subscripts.append(f"{n - 1} - {a}")
        elif form == 1:
            needs_else = True
            subscripts.append(f"{a} - 1")
        elif form == 2:
            subscripts.append(f"({a} + {m.rng.randint(1, 5)}) mod {n}")
        elif form == 3:
            axes[a] = (n + 1) // 2
            subscripts.append(f"2 * {a}")
        elif form == 4:
            axes[a] = min(2 * n, 8)
            if axes[a] > 2 * n:
                raise Unsuitable
            subscripts.append(f"{a} div 2")
        elif form == 5:
            subscripts.append(f"abs({a} - {n // 2})")
        else:
            subscripts.append(a)
    order = list(axes)
    if len(order) == 2 and m.rng.random() < 0.4:
        axes = {a: axes[a] for a in reversed(order)}
    guard = f" else {m.rng.choice(['0', '0.5'])}" if needs_else else ""
    m.layer(axes, f"{name}[{', '.join(subscripts)}{guard}] * 0.9 + 0.1")


def reduction(m: Maker) -> None:
    """Max, min, product, average and sum over some axes, with a condition or without."""
    name, e = m.pick(m.rng.choice([1, 2, 2, 3]))
    names = list("ijk"[: len(e)])
    over = sorted(m.rng.sample(names, m.rng.randint(1, len(names))))
    kind = m.rng.choice(["max", "min", "average", "sum", "product"])
    if kind == "product" and math.prod(n for a, n in zip(names, e, strict=True) if a in over) > 12:
        kind = "max"
    axes = {a: n for a, n in zip(names, e, strict=True) if a not in over}
    condition = ""
    if m.rng.random() < 0.5:
        a = over[0]
        choices = [f"{a} mod 2 == 0", f"{a} <= {m.rng.randint(0, 3)}"]
        if axes:
            o = next(iter(axes))
            choices += [f"{a} <= {o} or {a} == 0", f"abs({a} - {o}) <= 1 or {a} == 0"]
        condition = f" where {m.rng.choice(choices)}"
    body = f"{name}[{', '.join(names)}]"
    if kind == "product":
        body = f"(1 + 0.2 * {body})"
    m.layer(axes, f"{kind}[{', '.join(over)}{condition}] {body}")


def triangular(m: Maker) -> None:
    """Sums over a triangle or a band of another family's axis: attention without the softmax."""
    name, (n,) = m.pick(1, at_least=2)
    condition = m.rng.choice(
        ["s <= t", "s < t", "abs(s - t) <= 1", "s >= t and s <= t + 2", "(s + t) mod 2 == 0"]
    )
    m.layer({"t": n}, f"sum[s where {condition}] {name}[s] * {name}[t] * 0.5")


def pooling(m: Maker) -> None:
    kind = m.rng.choice(["max", "average", "min"])
    name, (h, w) = m.pick(2, at_least=2)
    k = m.rng.choice([2, 3])
    if min(h, w) < k:
        raise Unsuitable
    stride = m.rng.choice([1, 2])
    axes = {"y": (h - k) // stride + 1, "x": (w - k) // stride + 1}
    m.layer(axes, f"{kind}[v: {k}, u: {k}] {name}[{stride} * y + v, {stride} * x + u]")


def outer(m: Maker) -> None:
    """An array of higher rank from two of lower rank, with or without a tensor of weights between."""
    (a, e), (b, f) = m.pick(1), m.pick(1)
    if e[0] * f[0] > 60:
        raise Unsuitable
    axes = {"i": e[0], "j": f[0]}
    if m.rng.random() < 0.4:
        size = m.extent(3)
        w = m.weight(e[0], f[0], size)
        m.layer({**axes, "c": size}, m.act(f"{w}[i, j, c] * {a}[i] * {b}[j]"))
    else:
        m.layer(axes, m.act(f"{a}[i] * {b}[j] - {a}[i]"))


def nested(m: Maker) -> None:
    """A reduction inside of a reduction."""
    (a, (n,)), (b, (k,)) = m.pick(1), m.pick(1)
    size = m.extent(4)
    w, u = m.weight(size, n), m.weight(n, k)
    inner = m.rng.choice([f"tanh(sum[k] {u}[i, k] * {b}[k])", f"(sum[k] {u}[i, k] * {b}[k])"])
    m.layer({"j": size}, m.act(f"sum[i] {w}[j, i] * {inner} * {a}[i]"))


def tied(m: Maker) -> None:
    """A weight used again by another family, with subscripts that may leave its extents."""
    chosen = [(w, e) for w, e in m.weights.items() if len(e) in (1, 2) and w.startswith("w")]
    if not chosen:
        raise Unsuitable
    w, e = m.rng.choice(chosen)
    name, (n,) = m.pick(1)
    size = m.extent(5)
    shift = m.rng.choice([0, 0, 1]) if size > 1 and max(e) > 1 else 0
    if len(e) == 1:
        body = f"sum[i] {w}[i - j + {shift}] * {name}[i]"
    else:  # the index declares its extent, since the weight's is another
        first = f"{w}[i, j + {shift}]" if m.rng.random() < 0.5 and shift < e[1] else f"{w}[j, i]"
        body = f"sum[i: {n}] {first} * {name}[i]"
    m.layer({"j": size}, m.act(body))


def softmax(m: Maker) -> None:
    name, (n,) = m.pick(1)
    number = m.number
    m.lines.append(f"let e{number}[i: {n}] = exp({name}[i] - max[k] {name}[k])")
    m.layer({"i": n}, f"e{number}[i] / sum[k] e{number}[k]")


def block(m: Maker) -> None:
    """A block of the user's own, used on the last axis."""
    name, e = m.pick(m.rng.choice([1, 2]))
    size = m.extent(3)
    if m.weight_entries + e[-1] * size + size > 220:
        raise Unsuitable
    m.weight_entries += e[-1] * size + size
    b = f"mix{m.number}"
    m.lines += [
        f"block {b}(x[.., N], gain = 1) -> y[.., M] {{",
        "  weight w[N, M] ~ normal(0, 0.5)",
        "  weight c[M] = 0.1",
        "  let s[.., j] = c[j] + sum[i] w[i, j] * x[.., i]",
        "  let y[.., j] = tanh(gain * s[.., j]) - 0.1 * s[.., j]",
        "}",
    ]
    gain = m.rng.choice(["", ", gain = 0.5", ", 2"])
    extents = ", ".join(map(str, (*e[:-1], size)))
    f = m.rng.choice(["", "sin", "wave"])
    body = f"{b}({name}{gain})"
    m.lines.append(f"layer f{m.number}[{extents}] = " + (f"{f}({body})" if f else body))
    m.arrays[f"f{m.number}"] = (*e[:-1], size)


def batch_statistics(m: Maker) -> None:
    """Something that is one for the whole batch, and is subtracted again."""
    name, (n,) = m.pick(1)
    kind = m.rng.choice(["average", "average", "sum"])
    scale = "0.1 * " if kind == "sum" else ""
    m.lines.append(f"let m{m.number}[i: {n}] = {kind}[batch] {scale}{name}[i]")
    m.layer({"i": n}, f"{name}[i] - m{m.number}[i] * {name}[{n - 1} - i]")


def embedding(m: Maker) -> None:
    """A weight subscripted by data."""
    if not m.classes:
        raise Unsuitable
    size = m.extent(4)
    w = m.weight(m.classes, size)
    m.layer({"d": size}, f"tanh({w}[label, d])")


TEMPLATES: tuple[tuple[Callable[[Maker], None], int], ...] = (
    (dense, 4), (dense_of_all, 3), (affine_map, 5), (other_map, 5), (table_map, 4), (banded, 2), (convolution, 6),
    (weight_gather, 3), (elementwise, 4), (rearranged, 3), (reduction, 4), (triangular, 2), (pooling, 2), (outer, 3),
    (nested, 2), (tied, 3), (softmax, 1), (block, 2), (batch_statistics, 1), (embedding, 1),
)  # fmt: skip
