"""The syntax tree: frozen dataclasses, one per grammar rule. Every node carries its span.

In: nothing.  Out: `Module`, the tree of one file, as `parse.py` builds it and `elaborate` reads it.

    weight w[2] ~ normal(0, 0.1)
    → WeightDeclaration(name="w", axes=(AxisDeclaration(extent=Number(2)),), initializer=Call("normal", …), drawn=True)

Spans take no part in equality, so that two trees compare by what they say.
"""

from __future__ import annotations

from dataclasses import field

from .record import record
from .source import NOWHERE, Span


@record
class Node:
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


# ---------------------------------------------------------------------------------------------- expressions


@record
class Number(Node):
    """`3`, `1e-3`, `70%` (0.7). `value` is an int exactly when it was written as an integer."""

    value: int | float


@record
class String(Node):
    value: str


@record
class Name(Node):
    """A name standing alone; `batch` and `training` are names too. Dotted names (`sklearn.digits`) keep the dots."""

    name: str


@record
class Ellipsis(Node):
    """`..`: all leading axes."""


@record
class Subscript(Node):
    """`base[s1, s2 else e]`: `base` is a Name, a Call or an ArrayLiteral."""

    base: Expression
    subscripts: tuple[Expression, ...]
    otherwise: Expression | None = None


@record
class Call(Node):
    """`f(a, b, key = c)`: a function, a block, a map, an initializer or an optimizer."""

    function: str
    arguments: tuple[Expression, ...]
    named: tuple[tuple[str, Expression], ...] = ()


@record
class Binder(Node):
    """One bound index of a reduction: `i`, `i: 5`, `batch` (name 'batch') or `..` (name '..')."""

    name: str
    extent: Expression | None = None


@record
class BoundCall(Node):
    """`softmax[s where s <= t](e[t, s])`: a block applied along the axis that `s` runs over."""

    function: str
    binders: tuple[Binder, ...]
    where: Expression | None
    arguments: tuple[Expression, ...]


@record
class Reduction(Node):
    """`sum[i, j where i <= j] term`; kind: sum, average, max, min, product, argmax, argmin."""

    kind: str
    binders: tuple[Binder, ...]
    where: Expression | None
    body: Expression


@record
class Unary(Node):
    """operator: '-' or 'not'."""

    operator: str
    operand: Expression


@record
class Binary(Node):
    """operator: + - * / ^ div mod == != < <= > >= and or."""

    operator: str
    left: Expression
    right: Expression


@record
class Conditional(Node):
    """`then if condition else otherwise`."""

    condition: Expression
    then: Expression
    otherwise: Expression


@record
class ArrayLiteral(Node):
    """`[[0, 1], [2, 3]]`: elements are expressions (numbers, or nested literals); ragged rows are the elaborator's error."""

    elements: tuple[Expression, ...]


@record
class TableFile(Node):
    """`table "lattice.csv"`."""

    path: str


Expression = (
    Number
    | String
    | Name
    | Ellipsis
    | Subscript
    | Call
    | BoundCall
    | Reduction
    | Unary
    | Binary
    | Conditional
    | ArrayLiteral
    | TableFile
)

# --------------------------------------------------------------------------------------------- declarations


@record
class AxisDeclaration(Node):
    """One axis in a declaration: `j: 3` (name and extent), `width` or `3` or `N` (extent only; the elaborator decides
    whether a lone name is an extent or an index), `..` (ellipsis)."""

    name: str | None = None
    extent: Expression | None = None
    ellipsis: bool = False


@record
class NetworkDeclaration(Node):
    name: str


@record
class ImportDeclaration(Node):
    """`import "layers.dln"`."""

    path: str


@record
class ParameterDeclaration(Node):
    """`param width = 32`."""

    name: str
    value: Expression


@record
class InputDeclaration(Node):
    """`input image[64]`, `input label: class[10]`, `input token[T]: class[V]`."""

    name: str
    axes: tuple[AxisDeclaration, ...]
    classes: Expression | None = None


@record
class WeightDeclaration(Node):
    """`weight w[N, M] ~ glorot` (drawn=True), `weight b[M] = 0` (drawn=False), `… where abs(i - j) <= 2`, `frozen weight …`.
    `source` is the path of `from "file.safetensors" hidden.w`, `source_name` the name in that file, if any."""

    name: str
    axes: tuple[AxisDeclaration, ...]
    initializer: Expression | None = None
    drawn: bool = False
    where: Expression | None = None
    frozen: bool = False
    source: String | None = None
    source_name: str | None = None


@record
class IndexDeclaration(Node):
    """`index gate = {input, forget, cell, output}`."""

    name: str
    values: tuple[str, ...]


@record
class MapDeclaration(Node):
    """`map K(i, j) = i - j`; the body may be a TableFile or an ArrayLiteral (subscripted or not)."""

    name: str
    parameters: tuple[str, ...]
    body: Expression


@record
class FamilyDeclaration(Node):
    """`layer h[j: 3] = …` (kind 'layer') or `let y[.., j] = …` (kind 'let').

    `frozen` and `source` are for the weights of the blocks in its expression, as those of a weight are for it.
    """

    kind: str
    name: str
    axes: tuple[AxisDeclaration, ...]
    body: Expression
    frozen: bool = False
    source: String | None = None
    source_name: str | None = None


@record
class FunctionDeclaration(Node):
    """`function relu(z) = max(z, 0)`."""

    name: str
    parameters: tuple[BlockParameter, ...]
    body: Expression


@record
class BlockParameter(Node):
    """`x[.., N]` (axes given: an array), `keep` (axes None: a scalar or an extent), `stride = 1` (with a default)."""

    name: str
    axes: tuple[AxisDeclaration, ...] | None = None
    default: Expression | None = None


@record
class BlockDeclaration(Node):
    """`block dense(x[.., N]) -> y[.., M] { … }`; `results` has one entry or more."""

    name: str
    parameters: tuple[BlockParameter, ...]
    results: tuple[BlockParameter, ...]
    body: tuple[Declaration, ...]


@record
class StateDeclaration(Node):
    """`state m = 0`, `state mean[N] = 0`."""

    name: str
    axes: tuple[AxisDeclaration, ...]
    initial: Expression


@record
class UpdateDeclaration(Node):
    """`update m <- beta1 * m + (1 - beta1) * gradient`, `update mean[n] <- …`."""

    name: str
    axes: tuple[AxisDeclaration, ...]
    value: Expression


@record
class LossDeclaration(Node):
    value: Expression


@record
class MetricDeclaration(Node):
    """`metric accuracy(score, label)`, or with a name: `metric hits = …`. Without one the called function's name serves."""

    value: Expression
    name: str | None = None


@record
class OptimizerDeclaration(Node):
    """`optimizer adam(rate = 1e-3) { state … update … }`."""

    name: str
    parameters: tuple[BlockParameter, ...]
    body: tuple[Declaration, ...]


@record
class Setting(Node):
    """One line of a data, train or search section: a key and what follows it, as expressions.

    `batch 32` → Setting("batch", (Number(32),));  `optimizer adam(rate = 1e-3)` → Setting("optimizer", (Call(…),));
    `from sklearn.digits` → Setting("from", (Name("sklearn.digits"),));  `from csv "x.csv"` → (Name("csv"), String("x.csv"));
    `split 70% train, 15% test` → Setting("split", (Number(0.7), Name("train"), Number(0.15), Name("test"))).
    `epochs 60` → Setting("epochs", (Number(60),)).
    """

    key: str
    values: tuple[Expression, ...]


@record
class Column(Node):
    """`image = data / 16` in a data section: what feeds an input, as an expression over the source's columns."""

    name: str
    value: Expression


@record
class DataDeclaration(Node):
    entries: tuple[Setting | Column, ...]


@record
class TrainDeclaration(Node):
    entries: tuple[Setting, ...]


@record
class SearchDeclaration(Node):
    """`search { rate log(1e-4, 1e-1) … }`: ranges of params and settings, and how they are searched."""

    entries: tuple[Setting, ...]


Declaration = (
    NetworkDeclaration
    | ImportDeclaration
    | ParameterDeclaration
    | InputDeclaration
    | WeightDeclaration
    | IndexDeclaration
    | MapDeclaration
    | FamilyDeclaration
    | FunctionDeclaration
    | BlockDeclaration
    | StateDeclaration
    | UpdateDeclaration
    | LossDeclaration
    | MetricDeclaration
    | OptimizerDeclaration
    | DataDeclaration
    | TrainDeclaration
    | SearchDeclaration
)


@record
class Module(Node):
    """One file: its declarations in order."""

    path: str
    declarations: tuple[Declaration, ...]
