"""First values of weights and states, from their declarations and a seed.

In: an `Array` with its `Initializer`, a seed.  Out: an array of float64, or the same written where it belongs.

    initial_values(graph.arrays["hidden.w"], seed=0)
    write_initial_values(memory.view("hidden.w"), graph.arrays["hidden.w"], seed=0)

Every weight draws from a generator of its own, seeded by `seed` and the weight's *name*: adding a weight to a
file does not change how the others start. Draws are made in double precision, so that a float32 network starts
where the float64 one does, but for rounding.

Sources: glorot: Glorot and Bengio 2010, eq. 16 (uniform). he: He et al. 2015, eq. 10 (normal). orthogonal: Saxe
et al. 2014 (QR of a normal matrix, signs fixed as in Mezzadri 2007). identity: Le, Jaitly and Hinton 2015.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..compiler.mathematics.expression import Apply, Axis, Constant, Expression, Load, Lookup
from ..compiler.mathematics.graph import Array, Initializer, Table
from ..compiler.mathematics.scalar import SCALAR_FUNCTIONS
from ..compiler.mathematics.walks import postorder
from .errors import RunError

Loader = Callable[[str], np.ndarray]

#: Numbers that are drawn at a time, where they are independent: they stay in a near cache until they are written.
_PIECE = 16_384
#: Matrices of more columns are made orthogonal by LAPACK.
_REFLECTED = 256
#: Draws whose numbers are independent of each other.
_INDEPENDENT = ("draw normal", "draw uniform", "draw glorot", "draw he")


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for one purpose, independent of every other: the same seed and names, the same numbers."""
    words = [seed if seed >= 0 else (1 << 64) + seed]
    for name in names:
        text = str(name).encode()
        words.append(int.from_bytes(hashlib.sha256(text).digest()[:8], "little"))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def initial_values(
    array: Array,
    seed: int,
    tables: Mapping[str, Table] | None = None,
    load: Loader | None = None,
) -> np.ndarray:
    """The first values, of shape `array.extents`, in float64; entries that do not exist (`where`) are 0.

    `load` gives the values of other arrays, for a state that starts as a copy of its weight.
    """
    extents = array.extents
    if array.initializer is None:
        return np.zeros(extents)
    initializer = array.initializer
    if isinstance(initializer.value, Constant) and array.where is None:
        return np.broadcast_to(np.float64(initializer.value.value), extents)
    draws: list[np.random.Generator] = []  # one for all draws of an array, made by the first

    def draw(node: Apply, arguments: list[np.ndarray]) -> np.ndarray:
        if not draws:
            draws.append(generator(seed, array.name))
        return _draw(node.function, arguments, initializer, extents, draws[0], array.name)

    def value_of(root: Expression) -> np.ndarray:
        values = evaluate_on_grid(root, initializer.axes, tables or {}, load, draw)
        return np.broadcast_to(values, extents)

    values = value_of(initializer.value).astype(np.float64, copy=False)
    if array.where is not None:
        values = np.where(value_of(array.where), values, 0.0)
    return values


def write_initial_values(
    into: np.ndarray,
    array: Array,
    seed: int,
    tables: Mapping[str, Table] | None = None,
    load: Loader | None = None,
) -> None:
    """Write what `initial_values` gives. Long draws are made piece by piece, so that they need no memory of their own."""
    initializer, extents = array.initializer, array.extents
    root = initializer.value if initializer is not None else None
    if (
        isinstance(root, Apply)
        and root.function in _INDEPENDENT
        and all(isinstance(child, Constant) for child in root.children)
        and array.where is None
        and extents
    ):
        assert initializer is not None
        arguments = [np.float64(child.value) for child in root.children]  # type: ignore[attr-defined]
        draws = generator(seed, array.name)
        rows = max(1, _PIECE // max(1, math.prod(extents[1:])))
        for first in range(0, extents[0], rows):
            part = (min(rows, extents[0] - first), *extents[1:])
            into[first : first + rows] = _draw(root.function, arguments, initializer, part, draws, array.name)
        return
    into[...] = initial_values(array, seed, tables, load)


def evaluate_on_grid(
    root: Expression,
    axes: tuple[Axis, ...],
    tables: Mapping[str, Table],
    load: Loader | None = None,
    draw: Callable[[Apply, list[np.ndarray]], np.ndarray] | None = None,
) -> np.ndarray:
    """An expression at every point of the grid that `axes` span; the result broadcasts to their extents."""
    values: dict[Expression, np.ndarray] = {}
    for position, axis in enumerate(axes):
        shape = [1] * len(axes)
        shape[position] = axis.size
        values[axis] = np.arange(axis.size).reshape(shape)
    with np.errstate(all="ignore"):
        for node in postorder(root):
            if node in values:
                continue
            children = [values[c] for c in node.children]
            match node:
                case Constant():
                    values[node] = np.asarray(node.value)
                case Lookup():
                    values[node] = tables[node.table].values[tuple(children)]
                case Load() if load is not None:
                    values[node] = load(node.array)[tuple(children)]
                case Apply() if node.function.startswith("draw ") and draw is not None:
                    values[node] = draw(node, children)
                case Apply():
                    values[node] = np.asarray(SCALAR_FUNCTIONS[node.function].value(*children))
                case _:
                    raise RunError(f"{node!r} has no value before the first step")
    return values[root]


def _draw(
    function: str,
    arguments: Sequence[np.ndarray | np.float64],
    initializer: Initializer,
    extents: tuple[int, ...],
    draws: np.random.Generator,
    name: str,
) -> np.ndarray:
    match function:
        case "draw normal":
            mean, deviation = arguments
            return mean + deviation * draws.standard_normal(extents)
        case "draw uniform":
            low, high = arguments
            return low + (high - low) * draws.random(extents)
        case "draw glorot":
            limit = math.sqrt(6 / max(1, initializer.fan_in + initializer.fan_out))
            return limit * (2 * draws.random(extents) - 1)
        case "draw he":
            return math.sqrt(2 / max(1, initializer.fan_in)) * draws.standard_normal(extents)
        case "draw orthogonal" | "draw identity" if len(extents) < 2:
            kind = function.removeprefix("draw ")
            raise RunError(f"'{name}' starts {kind}, but has {len(extents)} axes; it needs two")
        case "draw orthogonal":
            return (arguments[0] if arguments else 1.0) * orthogonal(extents, draws)
        case "draw identity":
            return np.broadcast_to(
                (arguments[0] if arguments else 1.0) * np.eye(extents[-2], extents[-1]), extents
            )
    raise RunError(f"'{name}' starts with '{function}', which is not known here")


def orthogonal(extents: tuple[int, ...], draws: np.random.Generator) -> np.ndarray:
    """Matrices over the last two axes with orthonormal rows or columns (the fewer of them), for every leading index."""
    rows, columns = extents[-2:]
    q = _orthonormal(draws.standard_normal((*extents[:-2], max(rows, columns), min(rows, columns))))
    return q if rows >= columns else np.swapaxes(q, -1, -2)


def _orthonormal(tall: np.ndarray) -> np.ndarray:
    """The Q of tall = QR with a positive diagonal of R: that makes the draw uniform over all such matrices.

    Householder's reflections (Golub and Van Loan, Matrix Computations, 4th edition, algorithm 5.2.1), for large matrices by
    LAPACK: its threads wait for each other, which takes seconds for a hundred columns where another program has a core.
    """
    columns = tall.shape[-1]
    if columns > _REFLECTED:
        q, r = np.linalg.qr(tall)
        return q * np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., np.newaxis, :]  # type: ignore[no-any-return]
    rest = tall.copy()
    reflections: list[tuple[np.ndarray, np.ndarray]] = []

    def reflect(block: np.ndarray, v: np.ndarray, scaled: np.ndarray) -> None:
        block -= scaled[..., :, np.newaxis] * np.einsum("...i,...ij->...j", v, block)[..., np.newaxis, :]

    signs = np.empty((*tall.shape[:-2], columns))
    for k in range(columns):
        v = rest[..., k:, k].copy()
        signs[..., k] = np.where(v[..., 0] < 0, 1.0, -1.0)  # of R's diagonal
        v[..., 0] -= signs[..., k] * np.sqrt((v * v).sum(-1))
        square = (v * v).sum(-1, keepdims=True)
        scaled = v * (2 / np.where(square == 0, 1, square))
        reflect(rest[..., k:, k + 1 :], v, scaled)
        reflections.append((v, scaled))
    q = np.zeros(tall.shape)
    q[..., range(columns), range(columns)] = signs
    for k, (v, scaled) in reversed(list(enumerate(reflections))):
        reflect(q[..., k:, k:], v, scaled)
    return q
