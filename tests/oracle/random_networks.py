"""Random .dln texts by seed: DAGs of two to eight families, valid by construction.

In: a seed.  Out: `RandomNetwork`: the text, the tables that it reads, and how large a batch to try.

    random_network(7).text    →   'network random_7\\ninput x[5]\\n…'
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from . import random_families, random_layers
from .random_maker import Maker, Unsuitable


@dataclass
class RandomNetwork:
    seed: int
    text: str
    files: dict[str, str]
    capacity: int
    samples: int
    templates: list[str] = field(default_factory=list)


def random_network(seed: int, prelude: bool = True) -> RandomNetwork:
    """The network of a seed. `prelude`: let layers of the prelude take part."""
    rng = random.Random(seed)
    m = Maker(rng)
    m.lines += [f"network random_{seed}", "function wave(z) = z * cos(z)"]
    m.functions = (*m.functions, "wave", *(("relu", "softplus") if prelude else ()))
    for name in ["source", "side"][: rng.choice([1, 1, 2])]:
        rank = rng.choice([1, 1, 1, 2, 2, 3])
        extents = tuple(m.extent(7 if rank == 1 else 5) for _ in range(rank))
        m.lines.append(f"input {name}[{', '.join(map(str, extents))}]")
        m.arrays[name] = extents
    if rng.random() < 0.35:
        m.classes = rng.randint(2, 6)
        m.lines.append(f"input label: class[{m.classes}]")
    every = random_families.TEMPLATES + random_layers.TEMPLATES
    rows = [row for row in every if prelude or not row[0].__name__.startswith("prelude")]
    templates = [row[0] for row in rows]
    weights = [row[1] for row in rows]
    used: list[str] = []
    wanted = rng.randint(2, 8)
    for _ in range(60):
        if len(used) == wanted:
            break
        before = (list(m.lines), dict(m.arrays), dict(m.weights), dict(m.files), m.weight_entries)
        m.number += 1
        template = rng.choices(templates, weights)[0]
        try:
            template(m)
        except Unsuitable:
            m.lines, m.arrays, m.weights, m.files, m.weight_entries = before
            continue
        used.append(template.__name__)
    _finish(m)
    capacity = rng.choice([4, 4, 4, 16, 32])
    samples = rng.choice([1, 3, 5, 7]) if capacity == 4 else rng.choice([1, 5, 19, 37])
    return RandomNetwork(seed, "\n".join(m.lines) + "\n", m.files, capacity, samples, used)


def _finish(m: Maker) -> None:
    """A loss that every array feeds into, so that every gradient is asked for, and a metric or two."""
    terms = []
    families = [name for name in m.arrays if name.startswith("f")]
    inputs = [name for name in m.arrays if not name.startswith("f")]
    ends = families[-3:]
    used_inputs = inputs + ([] if not m.classes else ["label"])
    text = "\n".join(m.lines)
    for name in [*families, *inputs]:
        e = m.arrays[name]
        mentioned = text.count(name + "[") + text.count(name + ")") + text.count(name + ",") > 1
        if name in ends or not mentioned:
            axes = "ijkl"[: len(e)]
            here = f"{name}[{', '.join(axes)}]" if e else name
            inner = f"sum[{', '.join(axes)}] {here}^2" if e else f"{here}^2"
            terms.append(f"{m.rng.choice(['', '0.5 * '])}average[batch] {inner}")
    if m.classes and "label" in used_inputs:
        fitting = [n for n, e in m.arrays.items() if len(e) == 1 and e[0] >= m.classes]
        if fitting:
            name = m.rng.choice(fitting)
            size = m.arrays[name][0]
            m.lines.append(f"let top = max[k: {size}] {name}[k]")
            m.lines.append(f"let total = log(sum[k: {size}] exp({name}[k] - top)) + top")
            terms.append(f"average[batch] (total - {name}[label])")
            if size > 1:
                m.lines.append(f"metric hits = average[batch] (1 if (argmax[k] {name}[k]) == label else 0)")
        elif "[label" not in text:
            terms.append("average[batch] (0.1 * label)")
    if m.weights and m.rng.random() < 0.4:
        w, e = m.rng.choice(list(m.weights.items()))
        axes = "ijkl"[: len(e)]
        terms.append(f"0.01 * sum[{', '.join(axes)}] {w}[{', '.join(axes)}]^2")
    if not m.weights and m.weight_entries == 0:
        m.lines.append("weight w0 = 0.5")
        terms.append(f"average[batch] (w0 * {families[-1]}{_zeros(m.arrays[families[-1]])})^2")
    if not any(line.startswith("layer") for line in m.lines):
        last = max(n for n, line in enumerate(m.lines) if line.startswith(f"let {families[-1]}"))
        m.lines[last] = m.lines[last].replace("let", "layer", 1)
    m.lines.append("loss " + " + ".join(terms))


def _zeros(extents: tuple[int, ...]) -> str:
    return f"[{', '.join('0' for _ in extents)}]" if extents else ""


def random_values(
    shapes: dict[str, tuple[int, ...]],
    inputs: dict[str, tuple[tuple[int, ...], int]],
    samples: int,
    seed: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights and a batch of inputs: normal numbers, or classes where `inputs` gives a number of them."""
    generator = np.random.default_rng(seed)
    weights = {name: 0.6 * generator.standard_normal(shape) for name, shape in shapes.items()}
    data: dict[str, np.ndarray] = {}
    for name, (extents, classes) in inputs.items():
        shape = (samples, *extents)
        data[name] = generator.integers(0, classes, shape) if classes else generator.standard_normal(shape)
    return weights, data
