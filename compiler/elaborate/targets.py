"""What a subscript can stand behind: arrays (`Slot`), families (`Unit`), and families seen through fixed indices (`View`).

In: declarations.  Out: objects that terms refer to until names and axes are final.

    weight w[N, M] ~ glorot          →  Slot("weight", label="w", sizes=[N, M])
    let y[.., j] = b[j] + sum[i] …   →  Unit("let", label="y", indices=[…, j], body=…)

`Site` and `Instance` say where a target is made, from which its path follows: the weights of
`layer hidden[32] = relu(dense(image))` are `hidden.w` and `hidden.b`.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from .. import syntax
from ..mathematics.expression import TRUE, Expression, Type
from ..mathematics.graph import ArrayKind
from ..record import record
from ..source import NOWHERE, Span
from .terms import Index, SizeVariable


@record(frozen=False, eq=False)
class Target:
    """label: the name as the file says it.  shown: how messages call it, if otherwise.  name: the final name in the graph."""

    label: str
    sizes: list[Expression] = field(default_factory=list)
    type: Type = "real"
    span: Span = NOWHERE
    axis_spans: list[Span] = field(default_factory=list)
    name: str = ""
    shown: str = ""
    used: bool = False

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def final(self) -> Target:
        return self


@record(frozen=False, eq=False)
class Slot(Target):
    """An array. `declaration` and `scope` are kept for the initializer, which is read last."""

    kind: ArrayKind = "input"
    classes: Expression | None = None
    indices: tuple[Index, ...] = ()
    where: Expression = TRUE
    initial: Expression | None = None
    frozen: bool = False
    file: str | None = None
    batched: bool = False
    home: Instance | None = None
    fan_in: SizeVariable | None = None
    fan_out: SizeVariable | None = None
    updates: list[tuple[int, Unit]] = field(default_factory=list)


@record(frozen=False, eq=False)
class Unit(Target):
    """An index equation. Its path is that of `home`, then `suffix` (or the label).

    `open`: its axes are not known yet.  `now`: of an update, what is read below it.
    `merged`: the layer that took this equation over, being nothing else than it; its `body_home` is then the block.
    """

    role: str = "let"
    home: Site | Instance | None = None
    suffix: str = ""
    indices: list[Index] = field(default_factory=list)
    names: dict[str, Index] = field(default_factory=dict)
    ellipsis: tuple[Index, ...] | None = None
    body: Expression | None = None
    site: Site | None = None
    of: Slot | None = None
    merged: Unit | None = None
    body_home: Instance | None = None
    now: Unit | None = None
    batched: bool = False
    poisoned: bool = False
    open: bool = False

    def is_result(self, instance: Instance) -> bool:
        """Whether it is a result of this block, and so a real number for whoever uses it."""
        return self.home is instance and bool(self.shown)

    @property
    def block(self) -> Instance | None:
        """The instance in whose body its equation stands."""
        if self.body_home is not None:
            return self.body_home
        return self.home if isinstance(self.home, Instance) else None

    @property
    def final(self) -> Target:
        unit = self
        while unit.merged is not None:
            unit = unit.merged
        return unit


@record(frozen=False, eq=False)
class View(Target):
    """A target with its first subscripts fixed, or with entries left out: an argument that depends on outer indices.

    `mask` is a condition over `mask_indices` (the remaining subscripts); where it is false the entry does not exist for
    the block `instance`.
    """

    base: Target = field(default_factory=lambda: Target("?"))
    prefix: tuple[Expression, ...] = ()
    mask: Expression = TRUE
    mask_indices: tuple[Index, ...] = ()
    instance: Instance | None = None


@record(frozen=False, eq=False)
class Site:
    """A declaration in whose expression blocks are used."""

    name: str
    instance: Instance | None
    span: Span = NOWHERE
    instances: list[Instance] = field(default_factory=list)

    @property
    def path(self) -> str:
        return joined(self.instance.path if self.instance else "", self.name)


@record(frozen=False, eq=False)
class Instance:
    """One use of a block (or of a function that takes arrays); the network itself is the instance without a site."""

    block: str = ""
    site: Site | None = None
    span: Span = NOWHERE
    depth: int = 0
    slots: list[Slot] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    scope: Any = None
    declarations: tuple[syntax.Declaration, ...] = ()
    work: list[Any] = field(default_factory=list)
    group: tuple[Expression, ...] | None = None
    active: tuple[tuple[object, Span], ...] = ()
    _path: str | None = None

    @property
    def parent(self) -> Instance | None:
        return self.site.instance if self.site else None

    @property
    def calls(self) -> tuple[tuple[Span, str], ...]:
        """The places of the calls that led here, outermost first."""
        chain: list[tuple[Span, str]] = []
        instance: Instance | None = self
        while instance is not None and instance.site is not None:
            chain.append((instance.span, instance.block))
            instance = instance.parent
        return tuple(reversed(chain))

    @property
    def bears_weights(self) -> bool:
        """Whether it, or a block in it, has weights or states. Right only when its body has been read."""
        return bool(self.slots) or any(i.bears_weights for site in self.sites for i in site.instances)

    @property
    def path(self) -> str:
        """The prefix of the names inside: the site's own path for the only block with weights there, else with its name."""
        if self.site is None:
            return ""
        if self._path is None:
            bearing = [i for i in self.site.instances if i.bears_weights]
            self._path = self.site.path if bearing == [self] else joined(self.site.path, self.short_name)
        return self._path

    @property
    def short_name(self) -> str:
        """dense, dense_2, …: the name among the blocks of its site."""
        assert self.site is not None
        bearing = [i for i in self.site.instances if i.bears_weights]
        alike = [i for i in self.site.instances if i.block == self.block]
        if len(bearing) == 1 and bearing[0] is not self:
            alike = [i for i in alike if i is not bearing[0]]
        number = next((n for n, i in enumerate(alike) if i is self), 0) + 1  # 0 after a mistake in its use
        return self.block + (f"_{number}" if number > 1 else "")


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
