"""The order in which the nodes of an expression are evaluated, and what each of them depends on.

In: an expression of a nest, and the axes of a register tile.  Out: `Step`s, operands first.

    @0[10 r0 + a0] · @1[r0 + @2[a1]], tile a0, a1   →   @0[…] (a0), @2[a1] (a1), @1[…] (a1), the product (a0, a1)

An offset is one step, that is summed from its atoms, and not node by node. A product that is added to something is no step: it
is part of a fused multiply-add.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.affine import Linear, linear
from ..mathematics.expression import Apply, Axis, Expression, Load
from ..mathematics.walks import postorder
from ..record import record
from .nest import is_access, is_guarded


@record(frozen=False)
class Step:
    """A node in order of evaluation: which shifted axes it depends on, and whether it depends on a guarded load."""

    node: Expression
    bits: tuple[int, ...]
    guarded: bool
    form: Linear | None


class Orders:
    """The orders of expressions, found once each. `shifted`: the axes that vary within a tile."""

    def __init__(self, shifted: Sequence[Axis]) -> None:
        self.shifted = tuple(shifted)
        self._known: dict[Expression, list[Step]] = {}
        self._steps: dict[Expression, Step] = {}

    def step(self, root: Expression) -> Step:
        """The last step of `root`: that of the node itself."""
        found = self._steps.get(root)
        return self.of(root)[-1] if found is None else found

    def of(self, root: Expression) -> list[Step]:
        """The nodes to evaluate for `root`, operands first. Offsets are summed from their atoms, not node by node."""
        found = self._known.get(root)
        if found is not None:
            return found
        order: list[Step] = []
        done: dict[Expression, Step] = {}
        stack: list[tuple[Expression, bool]] = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            form, parts = _parts(node)
            if not ready and parts:
                stack.append((node, True))
                stack.extend((p, False) for p in reversed(parts) if p not in done)
                continue
            bits = {b for p in parts for b in done[p].bits}
            then = under_condition(node)
            if then is not None:
                bits.update(self.step(then).bits)
            direct = [node] if isinstance(node, Axis) else list(form.coefficients) if form else []
            bits |= {n for n, a in enumerate(self.shifted) if a in direct}
            if isinstance(node, Load) and node.array.startswith(" total"):
                bits = set(range(len(self.shifted)))
            guarded = is_guarded(node) or then is not None or any(done[p].guarded for p in parts)
            done[node] = self._steps[node] = Step(node, tuple(sorted(bits)), guarded, form)
            order.append(done[node])
        self._known[root] = order
        return order


def _parts(node: Expression) -> tuple[Linear | None, tuple[Expression, ...]]:
    """The linear form that a node is summed from, if it is one, and the nodes whose values it needs."""
    if is_access(node):
        form = linear(node.children[0])
        return form, tuple(a for a in form.coefficients if not isinstance(a, Axis))
    if isinstance(node, Apply):
        if node.type == "integer" and node.function in ("+", "-", "*", "neg"):
            form = linear(node)
            if node not in form.coefficients:
                return form, tuple(a for a in form.coefficients if not isinstance(a, Axis))
        if node.function in ("+", "-") and node.type == "real":
            return None, fused_operands(node)
        if under_condition(node) is not None:
            return None, (node.arguments[0], node.arguments[2])
        return None, node.arguments
    return None, ()


def under_condition(node: Expression) -> Expression | None:
    """What a `select` has where its condition holds, if that loads what is in range only there (guards.py)."""
    if not (isinstance(node, Apply) and node.function == "select"):
        return None
    then = node.arguments[1]
    return then if any(map(is_guarded, postorder(then))) else None


def is_product(node: Expression) -> bool:
    return isinstance(node, Apply) and node.function == "*" and node.type == "real"


def fused_operands(node: Apply) -> tuple[Expression, ...]:
    """The operands of a sum of reals: (a, b) for a + b, (x, y, b) for x·y + b or b + x·y, and so for differences."""
    left, right = node.arguments
    if is_product(left):
        return (*left.children, right)
    if is_product(right):
        return (*right.children, left)
    return left, right
