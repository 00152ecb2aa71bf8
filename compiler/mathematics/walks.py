"""Walks over expressions: every distinct node once, children first, without recursion.

In: expressions.  Out: their nodes in order, rebuilt trees, the indices and loads that occur.

    substitute(w[i] * x[i], {i: j + 1})   →   w[j + 1] * x[j + 1]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from .expression import BATCH, TRUE, Apply, Axis, Expression, Load


def postorder(*roots: Expression) -> tuple[Expression, ...]:
    """Every distinct node below (and with) the roots once, children before parents, in a deterministic order.

    The order of a tree is remembered, so the nodes may be those of an equal tree that was walked earlier. Where it matters
    which of two equal nodes comes (in elaborate/), use `own_postorder`.
    """
    if len(roots) == 1:
        return _remembered(roots[0])
    return tuple(dict.fromkeys(node for root in roots for node in _remembered(root)))


def own_postorder(*roots: Expression) -> list[Expression]:
    """The same without a memory: the nodes are those of these trees."""
    order: dict[Expression, None] = {}
    stack: list[Expression | None] = [*reversed(roots)]
    while stack:
        node = stack.pop()
        if node is None:  # the children of the node below it are done
            node = stack.pop()
            assert node is not None
            order.setdefault(node)
        elif node not in order:
            children = node.children
            if children:
                stack.append(node)
                stack.append(None)
                stack.extend(children[::-1])
            else:
                order[node] = None
    return list(order)


def _remembered(root: Expression) -> tuple[Expression, ...]:
    return _order_of(root) if root.children else (root,)


@lru_cache(maxsize=4096)
def _order_of(root: Expression) -> tuple[Expression, ...]:
    return tuple(own_postorder(root))


def forget_walks() -> None:
    """Let go of the trees whose orders are remembered."""
    _order_of.cache_clear()


def rebuild(root: Expression, rule: Callable[[Expression], Expression | None]) -> Expression:
    """The tree with `rule` applied to every node whose children are already rebuilt; None keeps the node."""
    done: dict[Expression, Expression] = {}
    for node in postorder(root):
        children = node.children
        if not children:
            fresh = node
        else:
            new = tuple([done[c] for c in children])
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
        if not children:
            done[node] = node
            continue
        new = tuple([done[c] for c in children])
        done[node] = node if new == children else node.with_children(new)
    return done[root]


def axes_in(*roots: Expression) -> tuple[Axis, ...]:
    """The distinct axes that occur, in order of first visit."""
    return tuple([node for node in postorder(*roots) if node.__class__ is Axis])  # type: ignore[misc]


def loads_in(*roots: Expression) -> tuple[Load, ...]:
    """The distinct loads that occur, loads inside subscripts included."""
    return tuple([node for node in postorder(*roots) if node.__class__ is Load])  # type: ignore[misc]


def is_static(root: Expression) -> bool:
    """True where the value depends on indices and tables only, so that it is known when compiled."""
    return not any(isinstance(n, Load) or n == BATCH for n in postorder(root))


def conjuncts(condition: Expression) -> tuple[Expression, ...]:
    """The conditions that `condition` is the conjunction of, in order; () for TRUE."""
    out: list[Expression] = []
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, Apply) and node.function == "and":
            stack.extend(reversed(node.arguments))
        elif node != TRUE:
            out.append(node)
    return tuple(out)
