"""The tree of printed mathematics.

In: nothing.  Out: `Term`, its walks, and `Terms`, which makes each term once.

    terms.make("symbol", "w", k)      →   w[k]      the same object whenever it is asked for

What the kinds mean stands at `Term`; notation.py has the algebra, typeset.py and latex.py print.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """One node. Equality is identity (see `Notation`).

    kind        value                      children
    number      int or float
    symbol      name                       subscripts
    partial     name                       subscripts                   (∂E/∂name[subscripts])
    lookup      name                       arguments                    (K(i, j))
    guarded     name                       subscripts, value outside    (x[i − 1 else 0])
    tuple                                  members
    sum                                    terms
    product     coefficient                factors other than numbers, sums of which are kept whole
    power       exponent                   base
    apply       function                   arguments
    bracket                                conditions                   (1 where all hold, else 0)
    cases                                  condition, then, otherwise
    relation    operators                  sides: one more than operators (a chain 0 ≤ i < n has two)
    reduction   (kind, number of indices)  indices, conditions, body
    """

    kind: str
    value: object = None
    children: tuple[Term, ...] = ()


class Terms:
    """Makes terms; equal ones are one object."""

    def __init__(self) -> None:
        self._terms: dict[tuple[object, ...], Term] = {}

    def make(self, kind: str, value: object = None, *children: Term) -> Term:
        key = (kind, type(value), value, *map(id, children))
        found = self._terms.get(key)
        if found is None:
            found = self._terms[key] = Term(kind, value, children)
        return found

    def number(self, value: float) -> Term:
        """A number; one that is whole becomes an int, so that 2.0 and 2 are the same."""
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            value = int(value)
        return self.make("number", value)

    def symbol(self, name: str, *subscripts: Term) -> Term:
        return self.make("symbol", name, *subscripts)


def parts_of_reduction(term: Term) -> tuple[list[Term], list[Term], Term]:
    """indices, conditions, body."""
    count = term.value[1]  # type: ignore[index]
    return list(term.children[:count]), list(term.children[count:-1]), term.children[-1]


def is_negative(term: Term) -> bool:
    """True where the term prints with a leading minus sign."""
    return term.kind in ("number", "product") and term.value < 0  # type: ignore[operator]


def size_of(root: Term, limit: int) -> int:
    """Number of nodes of the term written out as a tree, counted up to `limit`."""
    sizes: dict[Term, int] = {}
    for term in postorder(root):
        sizes[term] = min(limit, 1 + sum(sizes[c] for c in term.children))
    return sizes[root]


def postorder(*roots: Term) -> list[Term]:
    """Every distinct term once, children first, without recursion."""
    order: list[Term] = []
    seen: set[Term] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        term, ready = stack.pop()
        if term in seen:
            continue
        if ready or not term.children:
            seen.add(term)
            order.append(term)
        else:
            stack.append((term, True))
            stack.extend((c, False) for c in reversed(term.children))
    return order
