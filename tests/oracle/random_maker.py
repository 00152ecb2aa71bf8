"""The text of a random network while it grows, and the small choices that all templates share."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

Extents = tuple[int, ...]
LIMIT = 4000  # index points of one reduction


class Unsuitable(Exception):
    """No array made so far fits this template."""


@dataclass
class Maker:
    """The text under construction."""

    rng: random.Random
    lines: list[str] = field(default_factory=list)
    arrays: dict[str, Extents] = field(default_factory=dict)
    weights: dict[str, Extents] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    classes: int = 0  # of the input `label`, if there is one
    weight_entries: int = 0
    number: int = 0
    functions: tuple[str, ...] = ("tanh", "sigmoid", "sin", "cos")

    def pick(self, rank: int | None = None, at_least: int = 1, at_most: int = 400) -> tuple[str, Extents]:
        fitting = [
            (name, e)
            for name, e in self.arrays.items()
            if (rank is None or len(e) == rank) and all(n >= at_least for n in e) and math.prod(e) <= at_most
        ]
        if not fitting:
            raise Unsuitable
        weights = [1 + 2 * k for k in range(len(fitting))]  # later arrays more often: deep networks
        return self.rng.choices(fitting, weights)[0]

    def extent(self, most: int = 6) -> int:
        return self.rng.choice([n for n in (1, 2, 2, 3, 3, 4, 5, 5, 6, 7, 8) if n <= most])

    def weight(self, *extents: int) -> str:
        if self.weight_entries + math.prod(extents) > 220:
            raise Unsuitable
        self.weight_entries += math.prod(extents)
        name = f"w{self.number}" + next(c for c in "abcd" if f"w{self.number}{c}" not in self.weights)
        self.weights[name] = extents
        sizes = ", ".join(map(str, extents))
        drawn = self.rng.choice(
            ["~ normal(0, 0.5)", "~ uniform(-1, 1)", "= 0.5", "~ uniform(-2, 2) / sqrt(fan_in)"]
        )
        self.lines.append(f"weight {name}[{sizes}] {drawn}")
        return name

    def act(self, body: str) -> str:
        f = self.rng.choice([*self.functions, "", "", "soft"])
        if f == "":
            return f"0.5 * ({body})"
        if f == "soft":
            return f"log1p(exp(-abs({body}))) + max({body}, 0)"
        return f"{f}({body})"

    def layer(self, axes: dict[str, int], body: str, kind: str = "") -> None:
        name = f"f{self.number}"
        kind = kind or self.rng.choice(["layer", "layer", "let"])
        head = ", ".join(f"{a}: {n}" for a, n in axes.items())
        self.lines.append(f"{kind} {name}" + (f"[{head}]" if head else "") + f" = {body}")
        self.arrays[name] = tuple(axes.values())

    def bias(self, axes: dict[str, int]) -> str:
        """A bias over some of the axes, or nothing."""
        chosen = [a for a in axes if self.rng.random() < 0.6]
        if not chosen or self.rng.random() < 0.3:
            return ""
        return f"{self.weight(*(axes[a] for a in chosen))}[{', '.join(chosen)}] + "
