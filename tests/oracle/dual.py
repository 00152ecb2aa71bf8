"""Numbers that carry their derivatives: forward-mode differentiation over NumPy arrays.

In: float64 arrays and the partial derivatives of the inputs.  Out: values with partial derivatives, exact to rounding.

    x = Dual(np.array([2.0]), tangent=np.array([[1.0]]))      # one number, one direction
    (x * x).tangent                                           → [[4.0]]

The derivatives stand here as in a textbook, apart from the compiler's table, so that the two can disagree.
`exists` marks the points at which every weight in the term is really there (rule 2 of the language).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass
class Dual:
    """`value` may be real, integer or boolean; `tangent` has one more dimension, the directions (None: constant).

    `seen`: where no `where` of a block applied along an axis, softmax[s where s <= t](…), hides the entry.
    """

    value: Array
    tangent: Array | None = None
    exists: Array | None = None
    seen: Array | None = None

    @property
    def is_real(self) -> bool:
        return self.value.dtype.kind == "f"

    def real(self) -> Dual:
        if self.is_real:
            return self
        return Dual(self.value.astype(np.float64), None, self.exists, self.seen)

    def settled(self) -> Dual:
        """Terms whose connection does not exist contribute nothing: zero there."""
        if self.exists is None:
            return self
        result = select(Dual(self.exists), Dual(self.value, self.tangent), Dual(np.zeros_like(self.value)))
        result.seen = self.seen
        return result


def both_exist(*parts: Dual) -> Array | None:
    masks = [p.exists for p in parts if p.exists is not None]
    if not masks:
        return None
    result = masks[0]
    for mask in masks[1:]:
        result = result & mask
    return result


def all_seen(*parts: Dual) -> Array | None:
    """Hidden in any part is hidden in the whole."""
    masks = [p.seen for p in parts if p.seen is not None]
    return np.logical_and.reduce(np.broadcast_arrays(*masks)) if masks else None


def chain(value: Array, *links: tuple[Array | float, Dual], exists: Array | None = None) -> Dual:
    """A value whose tangent is Σ derivative · tangent of each argument."""
    tangent: Array | None = None
    for derivative, argument in links:
        if argument.tangent is not None:
            term = np.asarray(derivative)[..., None] * argument.tangent
            tangent = term if tangent is None else tangent + term
    if tangent is not None:
        tangent = np.broadcast_to(tangent, (*value.shape, tangent.shape[-1]))
    return Dual(value, tangent, exists)


def _integers(a: Dual, b: Dual) -> bool:
    return a.value.dtype.kind == "i" and b.value.dtype.kind == "i"


def binary(operator: str, a: Dual, b: Dual) -> Dual:
    """One operator of the language, with its partial derivatives."""
    exists = both_exist(a, b)
    if operator in COMPARISONS:
        return Dual(COMPARISONS[operator](a.value, b.value), None, exists)
    if operator in ("div", "mod"):
        return Dual((np.floor_divide if operator == "div" else np.mod)(a.value, b.value), None, exists)
    if _integers(a, b) and operator in ("+", "-", "*"):
        return Dual(INTEGER[operator](a.value, b.value), None, exists)
    if _integers(a, b) and operator in ("max", "min"):
        return Dual((np.maximum if operator == "max" else np.minimum)(a.value, b.value), None, exists)
    if _integers(a, b) and operator == "^" and b.value.size == 1 and b.value.min() >= 0:
        return Dual(np.power(a.value, b.value), None, exists)
    a, b = a.real(), b.real()
    x, y = a.value, b.value
    with np.errstate(all="ignore"):
        if operator in ("+", "-"):
            sign = 1.0 if operator == "+" else -1.0
            return chain(x + sign * y, (1.0, a), (sign, b), exists=exists)
        if operator == "*":
            return chain(x * y, (y, a), (x, b), exists=exists)
        if operator == "/":
            return chain(x / y, (1 / y, a), (-x / (y * y), b), exists=exists)
        if operator == "^":
            value = np.power(x, y)
            by_base = y * np.power(x, y - 1)
            by_exponent = np.where(x > 0, value * np.log(np.where(x > 0, x, 1.0)), 0.0)
            return chain(value, (by_base, a), (by_exponent, b), exists=exists)
        if operator in ("max", "min"):
            # As NumPy: a NaN on either side wins. The gradient of a tie goes to the second argument.
            value = (np.maximum if operator == "max" else np.minimum)(x, y)
            first = (x > y) if operator == "max" else (x < y)
            return chain(value, (first * 1.0, a), (1.0 - first, b), exists=exists)
    raise ValueError(f"no operator {operator}")


INTEGER: dict[str, Callable[..., Array]] = {"+": np.add, "-": np.subtract, "*": np.multiply}

COMPARISONS: dict[str, Callable[..., Array]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
    ">=": np.greater_equal, "and": np.logical_and, "or": np.logical_or,
}  # fmt: skip

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _logistic(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


#: name → (value, derivative) of one real variable.
UNARY: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "exp": (np.exp, np.exp),
    "expm1": (np.expm1, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "log1p": (np.log1p, lambda x: 1 / (1 + x)),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(np.clip(x, -350, 350)) ** 2),
    "sigmoid": (_logistic, lambda x: _logistic(x) * _logistic(-x)),
    "erf": (_erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2))),
    "abs": (np.abs, np.sign),
    "floor": (np.floor, np.zeros_like),
    "sign": (np.sign, np.zeros_like),
    "stop_gradient": (lambda x: x, np.zeros_like),
    "real": (lambda x: x, np.ones_like),
}


def unary(name: str, a: Dual) -> Dual:
    if name == "not":
        return Dual(np.logical_not(a.value), None, a.exists)
    if name in ("abs", "-", "sign") and a.value.dtype.kind == "i":
        value = {"abs": np.abs, "-": np.negative, "sign": np.sign}[name](a.value)
        return Dual(value, None, a.exists)
    a = a.real()
    if name == "-":
        return chain(-a.value, (-1.0, a), exists=a.exists)
    value, derivative = UNARY[name]
    with np.errstate(all="ignore"):
        return chain(value(a.value), (derivative(a.value), a), exists=a.exists)


def select(condition: Dual, a: Dual, b: Dual) -> Dual:
    """`a if condition else b`, point by point; the branch not taken may hold anything, NaN included."""
    if a.is_real or b.is_real:
        a, b = a.real(), b.real()
    chosen = condition.value
    value = np.where(chosen, a.value, b.value)
    exists = None
    if a.exists is not None or b.exists is not None or condition.exists is not None:
        masks = [np.ones(value.shape, bool) if p.exists is None else p.exists for p in (a, b)]
        exists = np.where(chosen, *masks)
        if condition.exists is not None:
            exists = exists & condition.exists
    tangent = None
    if a.tangent is not None or b.tangent is not None:
        parts = [np.zeros(1) if p.tangent is None else p.tangent for p in (a, b)]
        tangent = np.where(chosen[..., None], *parts)
        tangent = np.broadcast_to(tangent, (*value.shape, tangent.shape[-1]))
    return Dual(value, tangent, exists)


def reduce(kind: str, body: Dual, holds: Array, dims: tuple[int, ...]) -> Dual:
    """Reduce the dimensions `dims` (kept with extent 1 only for the batch, dimension 0) over the points where `holds`.

    The body and `holds` must have their full extents in `dims`. The first of equal winners wins.
    """
    rest = [d for d in range(holds.ndim) if d not in dims]
    order = [*rest, *dims]
    shape = np.broadcast_shapes(body.value.shape, holds.shape)
    holds = np.broadcast_to(holds, shape)
    value = np.broadcast_to(body.value, shape)
    count = math.prod(shape[d] for d in dims)

    def flat(array: Array, extra: int = 0) -> Array:
        axes = [*order, *range(len(order), len(order) + extra)]
        tail = [array.shape[len(order)]] if extra else []
        return array.transpose(axes).reshape([*(shape[d] for d in rest), count, *tail])

    v, inside = flat(value), flat(holds)
    t = None
    if body.tangent is not None:
        t = flat(np.broadcast_to(body.tangent, (*shape, body.tangent.shape[-1])), 1)
        t = np.where(inside[..., None], t, 0.0)
    out, tangent = _reduce_last(kind, v, inside, t)
    if 0 in dims:
        out = out[None]
        tangent = None if tangent is None else tangent[None]
    return Dual(out, tangent)


def _reduce_last(kind: str, v: Array, inside: Array, t: Array | None) -> tuple[Array, Array | None]:
    """Reduce the last dimension of `v` (and the last but one of `t`)."""
    if kind == "sum":
        return np.where(inside, v, 0).sum(-1), None if t is None else t.sum(-2)
    v = v.astype(np.float64)
    if kind == "average":
        with np.errstate(all="ignore"):
            number = inside.sum(-1).astype(np.float64)
            total = np.where(inside, v, 0).sum(-1) / number
            return total, None if t is None else t.sum(-2) / number[..., None]
    if kind == "product":
        factors = np.where(inside, v, 1.0)
        tangent = None
        if t is not None:
            ones = np.ones((*factors.shape[:-1], 1))
            before = np.cumprod(np.concatenate([ones, factors[..., :-1]], -1), -1)
            after = np.cumprod(np.concatenate([ones, factors[..., :0:-1]], -1), -1)[..., ::-1]
            tangent = (t * (before * after)[..., None]).sum(-2)
        return factors.prod(-1), tangent
    worst = -np.inf if kind in ("max", "argmax") else np.inf
    candidates = np.where(inside, v, worst)
    finder = np.argmax if kind in ("max", "argmax") else np.argmin
    winner = finder(candidates, axis=-1)
    if kind.startswith("arg"):
        return winner, None
    best = np.take_along_axis(candidates, winner[..., None], -1)[..., 0]
    if t is not None:
        t = np.take_along_axis(t, winner[..., None, None], -2)[..., 0, :]
    return best, t
