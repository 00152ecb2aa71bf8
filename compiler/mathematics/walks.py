"""Walks over expressions: every distinct node once, children first, without recursion.

In: expressions.  Out: their nodes in order, rebuilt trees, the indices and loads that occur.

    substitute(w[i] * x[i], {i: j + 1})   →   w[j + 1] * x[j + 1]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .expression import BATCH, Axis, Expression, Load


def postorder(*roots: Expression) -> list[Expression]:
    """Every distinct node below (and with) the roots once, children before parents, in a deterministic order."""
    order: list[Expression] = []
    seen: set[Expression] = set()
    stack: list[tuple[Expression, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if node in seen:
            continue
        children = node.children
        if ready or not children:
            seen.add(node)
            order.append(node)
        else:
            stack.append((node, True))
            stack.extend((c, False) for c in reversed(children))
    return order


def rebuild(root: Expression, rule: Callable[[Expression], Expression | None]) -> Expression:
    """The tree with `rule` applied to every node whose children are already rebuilt; None keeps the node."""
    done: dict[Expression, Expression] = {}
    for node in postorder(root):
        children = node.children
        new = tuple(done[c] for c in children)
        fresh = node if new == children else node.with_children(new)
        replaced = rule(fresh)
        done[node] = fresh if replaced is None else replaced
    return done[root]


def substitute(root: Expression, mapping: Mapping[Any, Expression]) -> Expression:
    """The tree with every occurrence of a key replaced by its value; replaced parts are not looked into again."""
    if not mapping:
        return root
    done: dict[Expression, Expression] = {}
    for node in postorder(root):
        if node in mapping:
            done[node] = mapping[node]
            continue
        children = node.children
        new = tuple(done[c] for c in children)
        done[node] = node if new == children else node.with_children(new)
    return done[root]


def axes_in(*roots: Expression) -> tuple[Axis, ...]:
    """The distinct axes that occur, in order of first visit."""
    return tuple(node for node in postorder(*roots) if isinstance(node, Axis))


def loads_in(*roots: Expression) -> tuple[Load, ...]:
    """The distinct loads that occur, loads inside subscripts included."""
    return tuple(node for node in postorder(*roots) if isinstance(node, Load))


def is_static(root: Expression) -> bool:
    """True where the value depends on indices and tables only, so that it is known when compiled."""
    return not any(isinstance(n, Load) or n == BATCH for n in postorder(root))
