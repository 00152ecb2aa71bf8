"""Random networks of middling size, for the kernels: tiles and their remainders, lanes and their tails, blocks of caches.

In: a seed.  Out: a `RandomNetwork` whose extents go up to a hundred, so that derivatives are compared along directions only.

    layer f2[a: 17, b: 33] = tanh(sum[c, d] w2[c, b, d] * f1[d, a, c])
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from .random_networks import RandomNetwork

POINTS = 1_500_000  # of a reduction, batch included
EXTENTS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 23, 31, 32, 33, 47, 48, 64, 65, 100]


@dataclass
class _Text:
    rng: random.Random
    samples: int
    lines: list[str] = field(default_factory=list)
    arrays: dict[str, tuple[int, ...]] = field(default_factory=dict)
    number: int = 0

    def extent(self, most: int = 100) -> int:
        return self.rng.choice([n for n in EXTENTS if n <= most])

    def fits(self, *extents: int, most: int = POINTS) -> bool:
        return math.prod(extents) * self.samples <= most

    def activation(self, body: str) -> str:
        return self.rng.choice([f"tanh({body})", f"relu({body})", f"sigmoid({body})", f"0.5 * ({body})"])

    def weight(self, letter: str, extents: tuple[int, ...], fan: int) -> str:
        name = f"{letter}{self.number}"
        self.lines.append(
            f"weight {name}[{', '.join(map(str, extents))}] ~ normal(0, {1 / math.sqrt(fan):.3f})"
        )
        return name

    def layer(self, axes: dict[str, int], body: str) -> None:
        name = f"f{self.number}"
        head = ", ".join(f"{a}: {n}" for a, n in axes.items())
        self.lines.append(f"layer {name}[{head}] = {body}" if axes else f"layer {name} = {body}")
        self.arrays[name] = tuple(axes.values())


def _einsum(t: _Text) -> bool:
    """A sum of products over random indices, operands with their axes in any order, some of them shifted."""
    rng = t.rng
    name, extents = rng.choice(list(t.arrays.items()))
    letters = "abcd"[: len(extents)]
    kept = [a for a in letters if rng.random() < 0.45]
    summed = {a: n for a, n in zip(letters, extents, strict=True) if a not in kept}
    new = {a: t.extent(64) for a in "uv"[: rng.choice([0, 1, 1, 2])]}
    out = {a: n for a, n in zip(letters, extents, strict=True) if a in kept} | new
    order = list(out)
    rng.shuffle(order)
    out = {a: out[a] for a in order}
    if not summed or len(out) > 3 or not t.fits(*out.values(), *summed.values()):
        return False
    of_weight = [*summed, *new] + [a for a in kept if rng.random() < 0.3]
    rng.shuffle(of_weight)
    sizes = {**summed, **out}
    if math.prod(sizes[a] for a in of_weight) > 20_000:
        return False
    fan = math.prod(summed.values())
    w = t.weight("w", tuple(sizes[a] for a in of_weight), fan)
    subscripts = list(letters)
    guard = ""
    if rng.random() < 0.3:
        axis = rng.randrange(len(letters))
        subscripts[axis] = f"{letters[axis]} {rng.choice(['+', '-'])} {rng.randint(1, 3)}"
        guard = f" else {rng.choice(['0', '0.5'])}"
    elif rng.random() < 0.2:
        axis = rng.randrange(len(letters))
        subscripts[axis] = f"{extents[axis] - 1} - {letters[axis]}"
    factors = [f"{w}[{', '.join(of_weight)}]", f"{name}[{', '.join(subscripts)}{guard}]"]
    others = [n for n, e in t.arrays.items() if len(e) == 1 and e[0] in summed.values()]
    if others and rng.random() < 0.3:
        other = rng.choice(others)
        index = next(a for a, n in summed.items() if n == t.arrays[other][0])
        factors.append(f"{other}[{index}]")
    rng.shuffle(factors)
    where = ""
    if rng.random() < 0.3:
        a = next(iter(summed))
        choices = [f"{a} mod 2 == 0", f"{a} >= {rng.randrange(summed[a])}"]
        if out:
            o = next(iter(out))
            choices += [f"{a} <= {o}", f"abs({a} - {o}) <= 3"]
        condition = rng.choice(choices)
        if condition.startswith("abs") and next(iter(out.values())) > summed[a] + 3:
            condition = f"{a} mod 3 == 0"
        where = f" where {condition}"
    body = f"sum[{', '.join(summed)}{where}] {' * '.join(factors)}"
    if out and rng.random() < 0.5:
        axes = [a for a in out if rng.random() < 0.7]
        if axes:
            bias = t.weight("b", tuple(out[a] for a in axes), 1)
            body = f"{bias}[{', '.join(axes)}] + {body}"
    t.layer(out, t.activation(body))
    return True


def _convolution(t: _Text) -> bool:
    rng = t.rng
    images = [(n, e) for n, e in t.arrays.items() if len(e) == 3 and min(e[1:]) >= 4]
    if not images:
        return False
    name, (c, h, w) = rng.choice(images)
    size, stride, padding, dilation = (
        rng.choice([1, 2, 3, 5]),
        rng.choice([1, 1, 2]),
        rng.randint(0, 2),
        rng.choice([1, 1, 2]),
    )
    out = [(n + 2 * padding - dilation * (size - 1) - 1) // stride + 1 for n in (h, w)]
    groups = rng.choice([g for g in (1, 1, 2, 4) if c % g == 0])
    filters = groups * rng.choice([1, 2, 3, 5, 8])
    if min(out) < 1 or not t.fits(filters, *out, c // groups, size, size):
        return False
    options = (
        f"size = {size}, stride = {stride}, padding = {padding}, dilation = {dilation}, groups = {groups}"
    )
    t.lines.append(f"layer f{t.number}[{filters}, {out[0]}, {out[1]}] = tanh(convolution({name}, {options}))")
    t.arrays[f"f{t.number}"] = (filters, *out)
    return True


def _pool(t: _Text) -> bool:
    images = [(n, e) for n, e in t.arrays.items() if len(e) >= 2 and min(e[-2:]) >= 2]
    if not images:
        return False
    name, e = t.rng.choice(images)
    block, size = t.rng.choice(["max_pool", "average_pool"]), t.rng.choice([2, 2, 3])
    if min(e[-2:]) < size:
        return False
    out = (*e[:-2], (e[-2] - size) // size + 1, (e[-1] - size) // size + 1)
    t.lines.append(f"layer f{t.number}[{', '.join(map(str, out))}] = {block}({name}, size = {size})")
    t.arrays[f"f{t.number}"] = out
    return True


def _dense(t: _Text) -> bool:
    name, e = t.rng.choice([(n, e) for n, e in t.arrays.items() if e] or [("", ())])
    if not e:
        return False
    size = t.extent()
    if e[-1] * size > 12_000 or not t.fits(*e, size):
        return False
    out = (*e[:-1], size)
    t.lines.append(f"layer f{t.number}[{', '.join(map(str, out))}] = {t.activation(f'dense({name})')}")
    t.arrays[f"f{t.number}"] = out
    return True


def _shared(t: _Text) -> bool:
    """A dense layer through a map, or by a large random table."""
    rows = [(n, e) for n, e in t.arrays.items() if len(e) == 1]
    if not rows:
        return False
    name, (n,) = t.rng.choice(rows)
    size, entries = t.extent(64), t.rng.choice([1, 5, 16, 33, 64])
    if not t.fits(n, size):
        return False
    form = t.rng.choice(
        [f"(i - j) mod {entries}", "i - j", "abs(i - j)", "i div 2 - j", f"(3 * i + 5 * j) mod {entries}"]
    )
    w = t.weight("w", (entries,), max(1, n // 2))
    t.lines.append(f"map K{t.number}(i, j) = {form}")
    t.layer({"j": size}, t.activation(f"sum[i] {w}[K{t.number}(i, j)] * {name}[i]"))
    return True


def _softmax(t: _Text) -> bool:
    name, e = t.rng.choice([(n, e) for n, e in t.arrays.items() if e] or [("", ())])
    if not e:
        return False
    block = t.rng.choice(["softmax", "log_softmax"])
    t.lines.append(f"layer f{t.number}[{', '.join(map(str, e))}] = {block}({name})")
    t.arrays[f"f{t.number}"] = e
    return True


def large_network(seed: int) -> RandomNetwork:
    """Three to six layers, and the mean square of the last ones as loss."""
    rng = random.Random(seed)
    capacity = rng.choice([1, 2, 4, 8, 16, 32, 33, 64])
    samples = rng.choice([1, capacity, capacity, capacity + 1, max(1, capacity - 1), 2 * capacity + 3])
    t = _Text(rng, samples)
    t.lines.append(f"network large_{seed}")
    shapes = [
        (64,),
        (100,),
        (33,),
        (3, 12, 12),
        (1, 16, 16),
        (4, 9, 11),
        (2, 8, 8),
        (17, 8),
        (5, 31),
        (12, 16),
        (4, 5, 6, 3),
    ]
    for name in ["source", "side"][: rng.choice([1, 2])]:
        t.arrays[name] = rng.choice(shapes)
        t.lines.append(f"input {name}[{', '.join(map(str, t.arrays[name]))}]")
    makers = [_einsum] * 6 + [_convolution] * 3 + [_dense] * 3 + [_pool, _shared, _shared, _softmax]
    wanted = rng.randint(3, 6)
    made: list[str] = []
    for _ in range(80):
        if len(made) == wanted:
            break
        before = list(t.lines)
        t.number += 1
        maker = rng.choice(makers)
        if maker(t):
            made.append(maker.__name__[1:])
        else:
            t.lines = before
    families = [n for n in t.arrays if n.startswith("f")]
    text = "\n".join(t.lines)
    terms = []
    for name, e in t.arrays.items():
        used = any(
            f"{name}{mark}" in text.replace(f"layer {name}", "").replace(f"input {name}", "")
            for mark in "[),"
        )
        if name in families[-2:] or not used:
            axes = ", ".join("abcd"[: len(e)])
            inner = f"average[batch, {axes}] {name}[{axes}]^2" if e else f"average[batch] {name}^2"
            terms.append(inner)
    t.lines.append("loss " + " + ".join(terms))
    return RandomNetwork(seed, "\n".join(t.lines) + "\n", {}, capacity, samples, made)
