"""The graph as plain text, one line per array, table and family: what `--stage` prints and golden files hold.

In: a graph.  Out: text in the manner of .dln, with every index and condition as it is.

    input    x[batch, 4]
    weight   w[2]
    term     h.sum[batch, j: 3] = sum[i: 4 where 0 <= i - j and i - j < 2] w[i - j] * x[batch, i]
    layer    h[batch, j: 3] = tanh(h.sum[batch, j])

Indices are told apart by primes, never by serial numbers, so that the text depends on the graph alone. Large parts that
occur several times in a body are named after it: `where a1 = …`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..mathematics.expression import BATCH, Apply, Axis, Constant, Expression, Load, Lookup
from ..mathematics.graph import Array, Family, Graph, Initializer, Table
from ..mathematics.walks import postorder

_OPERATORS = {
    "or": (1, " or "), "and": (2, " and "), "==": (4, " == "), "!=": (4, " != "), "<": (4, " < "), "<=": (4, " <= "),
    ">": (4, " > "), ">=": (4, " >= "), "+": (5, " + "), "-": (5, " - "), "*": (6, " * "), "/": (6, " / "),
    "div": (6, " div "), "mod": (6, " mod "), "^": (8, "^"),
}  # fmt: skip
_CHOICE, _NEGATION, _SIGN, _ATOM = 0, 3, 7, 9

#: A repeated part of at least so many characters gets a name.
_LONG = 40


def text(graph: Graph) -> str:
    """The whole graph, ending in a newline."""
    lines = [f"graph {graph.name}".rstrip()]
    lines += [_array(a) for a in graph.arrays.values()]
    lines += [_table(t) for t in graph.tables.values()]
    lines += [family_text(f) for f in graph.families.values()]
    if graph.outputs:
        lines.append(f"outputs {', '.join(graph.outputs)}")
    lines += [f"metric {metric} = {family}" for metric, family in graph.metrics.items()]
    lines += [f"update {target} <- {family}" for target, family in graph.updates.items()]
    lines += [f"gradient {target} = {family}" for target, family in graph.gradients.items()]
    return "\n".join(lines) + "\n"


def _array(array: Array) -> str:
    extents = [*(["batch"] if array.batched else []), *map(str, array.extents)]
    names: dict[Axis, str] = {}
    if array.initializer is not None:
        names = _named({}, array.initializer.axes)
        if len(array.extents) == len(array.initializer.axes):
            shown = (f"{names[a]}: {a.extent}" for a in array.initializer.axes)
            extents[len(extents) - len(array.extents) :] = shown
    line = f"{array.kind:<8} {array.name}" + (f"[{', '.join(extents)}]" if extents else "")
    if array.classes is not None:
        line += f": class[{array.classes}]"
    if array.initializer is not None:
        line += f" = {_Writer(names).write(array.initializer.value)}{_fans(array.initializer)}"
    if array.where is not None:
        line += f" where {_Writer(names).write(array.where)}"
    return f"frozen {line}" if array.frozen else line


def _fans(initializer: Initializer) -> str:
    draws = any(isinstance(n, Apply) and n.function.startswith("draw") for n in postorder(initializer.value))
    return f" (fan_in {initializer.fan_in}, fan_out {initializer.fan_out})" if draws else ""


def _table(table: Table) -> str:
    kind = "integers" if table.type == "integer" else "reals"
    return f"table    {table.name}[{', '.join(map(str, table.values.shape))}] of {kind}"


def family_text(family: Family) -> str:
    """One line."""
    names = _named({}, family.axes)
    left = family.name + _axes(family.axes, names)
    writer = _Writer(names)
    if family.reduction is None:
        right = writer.write(family.body)
    else:
        reduction = family.reduction
        writer.names = _named(names, reduction.axes)
        bound = ", ".join(_axis(a, writer.names) for a in reduction.axes)
        where = " and ".join(writer.write(c, 3) for c in reduction.where)
        bound += f" where {where}" if where else ""
        right = f"{reduction.kind}[{bound}] {writer.write(family.body, 6)}"
        for axis, target in reduction.scatter:
            right += f" at {writer.names[axis]} = {writer.write(target)}"
    definitions = "; ".join(f"{name} = {value}" for name, value in writer.definitions)
    return f"{family.role:<8} {left} = {right}" + (f"  where {definitions}" if definitions else "")


def _named(outer: dict[Axis, str], axes: Iterable[Axis]) -> dict[Axis, str]:
    names = dict(outer)
    for axis in axes:
        name = axis.name
        while name in names.values():
            name += "'"
        names[axis] = name
    return names


def _axis(axis: Axis, names: dict[Axis, str]) -> str:
    return names[axis] if axis == BATCH else f"{names[axis]}: {axis.extent}"


def _axes(axes: tuple[Axis, ...], names: dict[Axis, str]) -> str:
    return f"[{', '.join(_axis(a, names) for a in axes)}]" if axes else ""


class _Writer:
    """Expressions as text. `definitions` collects the parts that got a name."""

    def __init__(self, names: dict[Axis, str]):
        self.names = names
        self.definitions: list[tuple[str, str]] = []

    def write(self, root: Expression, level: int = 0) -> str:
        """The text of an expression in a place of the given tightness."""
        order = postorder(root)
        uses: dict[Expression, int] = {}
        for node in order:
            for child in node.children:
                uses[child] = uses.get(child, 0) + 1
        done: dict[Expression, tuple[str, int]] = {}
        for node in order:
            part, tightness = self._node(node, [done[c] for c in node.children])
            if uses.get(node, 0) > 1 and len(part) >= _LONG:
                name = f"a{len(self.definitions) + 1}"
                self.definitions.append((name, part))
                part, tightness = name, _ATOM
            done[node] = part, tightness
        return _within(done[root], level)

    def _node(self, node: Expression, children: list[tuple[str, int]]) -> tuple[str, int]:
        plain = ", ".join(part for part, _ in children)
        match node:
            case Constant(value=bool() as value):
                return str(value).lower(), _ATOM
            case Constant(value=value, type=kind):
                number = str(value) if kind == "integer" else f"{float(value):.12g}"
                return number, _ATOM if value >= 0 else _SIGN
            case Axis():
                return self.names.get(node, node.name), _ATOM
            case Load(array=name):
                return (f"{name}[{plain}]" if children else name), _ATOM
            case Lookup(table=name):
                return f"{name}({plain})", _ATOM
            case Apply(function=name):
                return _applied(name, children, plain)
        raise TypeError(node)


def _applied(name: str, children: list[tuple[str, int]], plain: str) -> tuple[str, int]:
    if name in _OPERATORS and len(children) == 2:
        level, sign = _OPERATORS[name]
        right = level if name in ("and", "or") else level + 1
        return f"{_within(children[0], level)}{sign}{_within(children[1], right)}", level
    match name:
        case "neg":
            return f"-{_within(children[0], _SIGN)}", _SIGN
        case "not":
            return f"not {_within(children[0], _NEGATION)}", _NEGATION
        case "select":
            condition, then, otherwise = children
            return f"{_within(then, 1)} if {_within(condition, 1)} else {_within(otherwise, 0)}", _CHOICE
    return f"{name}({plain})", _ATOM


def _within(part: tuple[str, int], level: int) -> str:
    return part[0] if part[1] >= level else f"({part[0]})"
