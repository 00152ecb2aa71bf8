"""The loop IR: what the machine does. Loops, loads, stores and vector operations on values that are assigned once.

In: what contraction.py builds through loop_builder.py.  Out: `Function`, which llvm.py prints as LLVM text.

    loop %p = %begin to %end step 1
      %7 = address %b0 %6 : ptr
      %9 = load %7 : f32x16
      %11 = call %9 [tanh] : f32x16
      store %11 to %10

A value has an element type and a number of lanes (1: a scalar). Loops carry values round (accumulators); what they carried
last is the loop's result, or the initial values where the loop does not run. `Branch` is a loop that runs once or never.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Literal

from ..record import record

#: Vectors of so many bits have masks in hardware.
MASKED_BITS = 512

Element = Literal["f32", "f64", "i64", "i32", "i1", "ptr"]


class LoopError(AssertionError):
    """The loop IR breaks its own rules: a bug of the compiler, never of the user's file."""


class Scope:
    """A body under construction. `guarded`: it runs under a condition, so that what is unsafe must stay inside."""

    __slots__ = ("depth", "guarded", "is_open", "statements", "table")

    def __init__(self, depth: int, guarded: bool) -> None:
        self.depth = depth
        self.guarded = guarded
        self.is_open = True
        self.statements: list[Statement] = []
        self.table: dict[object, Value] = {}


class Value:
    """The result of one operation. Values compare by identity."""

    __slots__ = ("attribute", "element", "is_constant", "lanes", "number", "operands", "operation", "scope")

    def __init__(
        self,
        operation: str,
        operands: tuple[Value, ...],
        element: Element,
        lanes: int,
        attribute: object,
        scope: Scope,
    ) -> None:
        self.operation = operation
        self.operands = operands
        self.element = element
        self.lanes = lanes
        self.attribute = attribute
        self.scope = scope
        self.number = -1
        self.is_constant = operation == "constant"

    @property
    def type(self) -> str:
        return self.element if self.lanes == 1 else f"{self.element}x{self.lanes}"

    def __repr__(self) -> str:
        if self.is_constant:
            return f"{self.attribute}"
        return f"%{self.attribute if self.operation == 'argument' else self.number}"


@record(frozen=False, eq=False)
class Store:
    """`value` to `pointer`: contiguous lanes, or lane k at element `index[k]` behind it. Lanes outside `mask` are left."""

    pointer: Value
    value: Value
    index: Value | None = None
    mask: Value | None = None


@record(frozen=False, eq=False)
class Loop:
    """`variable` = lower, lower + step, … below upper. `results[n]` is what `carried[n]` became at last."""

    variable: Value
    lower: Value
    upper: Value
    step: int
    initial: tuple[Value, ...]
    carried: tuple[Value, ...]
    body: list[Statement]
    final: tuple[Value, ...] = ()
    results: tuple[Value, ...] = ()


@record(frozen=False, eq=False)
class Branch:
    """The body where `condition` holds; `results[n]` is `final[n]` then and `initial[n]` otherwise."""

    condition: Value
    initial: tuple[Value, ...]
    body: list[Statement]
    final: tuple[Value, ...] = ()
    results: tuple[Value, ...] = ()


Statement = Value | Store | Loop | Branch


@record(frozen=False)
class Function:
    """One kernel. `parameters` are the buffers, then valid, time, begin, end, and the thread's memory (see program.py).

    `requires` names the functions of vector_math.py that are called.  `scratch`: bytes of the thread's memory that it needs.
    """

    name: str
    parameters: tuple[Value, ...]
    body: list[Statement]
    requires: frozenset[str] = frozenset()
    vector_bits: int = 0
    notes: list[str] = field(default_factory=list)
    scratch: int = 0


def walk(body: list[Statement]) -> Iterator[tuple[int, Statement, bool]]:
    """(depth, statement, whether its body ends here) for every statement, in order; loops and branches come twice."""
    stack: list[tuple[Iterator[Statement], Loop | Branch | None]] = [(iter(body), None)]
    while stack:
        rest, owner = stack[-1]
        depth = len(stack) - 1
        for statement in rest:
            yield depth, statement, False
            if statement.__class__ is not Value and isinstance(statement, Loop | Branch):
                stack.append((iter(statement.body), statement))
                break
        else:
            stack.pop()
            if owner is not None:
                yield depth - 1, owner, True


def number_values(function: Function) -> None:
    """Give every value its number, in order of appearance."""
    count = 0

    def give(values: Sequence[Value]) -> None:
        nonlocal count
        for value in values:
            value.number = count
            count += 1

    for _, statement, ends in walk(function.body):
        if statement.__class__ is Value:
            statement.number = count
            count += 1
            continue
        match statement:
            case Loop() if not ends:
                give([statement.variable, *statement.carried])
            case Loop() | Branch() if ends:
                give(statement.results)


def first_lanes(mask: Value | None) -> int | None:
    """How many lanes a mask has, if they are the first ones and their number is known."""
    if mask is None or mask.operation != "icmp" or mask.attribute != "slt":
        return None
    lanes, count = mask.operands
    known = lanes.operation == "lanes" and count.is_constant
    return max(0, min(int(count.attribute), mask.lanes)) if known else None  # type: ignore[call-overload]


def show(function: Function) -> str:
    """The function as text, for people and for tests."""
    number_values(function)
    lines = [f"function {function.name}({', '.join(f'{p!r}: {p.type}' for p in function.parameters)})"]
    for depth, statement, ends in walk(function.body):
        match statement:
            case Value(operation=operation, operands=operands, attribute=attribute):
                note = "" if attribute is None else f" [{attribute}]"
                text = f"{statement!r} = {operation} {' '.join(map(repr, operands))}{note} : {statement.type}"
            case Store():
                place = f"{statement.pointer!r}" + (f" at {statement.index!r}" if statement.index else "")
                text = f"store {statement.value!r} to {place}" + (
                    f" where {statement.mask!r}" if statement.mask else ""
                )
            case Loop() if not ends:
                text = f"loop {statement.variable!r} = {statement.lower!r} to {statement.upper!r} step {statement.step}"
                if statement.carried:
                    text += f" carries {list(statement.carried)} from {list(statement.initial)}"
            case Branch() if not ends:
                text = f"if {statement.condition!r}"
            case _:
                if not statement.results:
                    continue
                text = f"gives {list(statement.results)} from {list(statement.final)}"
        lines.append("  " * (depth + 1) + text)
    return "\n".join(lines) + "\n"


def verify(function: Function) -> None:
    """Check that values are defined before they are used, and that types agree."""
    number_values(function)
    known: list[set[Value]] = [set(function.parameters)]

    def need(value: Value, element: str | None = None, lanes: int | None = None) -> None:
        if not value.is_constant and not any(value in level for level in known):
            raise LoopError(f"{function.name}: {value!r} ({value.operation}) is used before it is defined")
        if element is not None and value.element != element:
            raise LoopError(f"{function.name}: {value!r} is {value.type}, not {element}")
        if lanes is not None and value.lanes != lanes:
            raise LoopError(f"{function.name}: {value!r} has {value.lanes} lanes, not {lanes}")

    def agree(values: Sequence[Value], others: Sequence[Value]) -> None:
        if [v.type for v in values] != [v.type for v in others]:
            raise LoopError(f"{function.name}: carried values {values} and {others} differ in type")

    for _, statement, ends in walk(function.body):
        match statement:
            case Value():
                for operand in statement.operands:
                    need(operand)
                _verify_operation(function, statement)
                known[-1].add(statement)
            case Store():
                need(statement.pointer, "ptr", 1)
                need(statement.value)
                if statement.index is not None:
                    need(statement.index, None, statement.value.lanes)
                if statement.mask is not None:
                    need(statement.mask, "i1", statement.value.lanes)
            case Loop() if not ends:
                need(statement.lower, "i64", 1)
                need(statement.upper, "i64", 1)
                if statement.step < 1:
                    raise LoopError(f"{function.name}: a loop does not advance")
                for value in statement.initial:
                    need(value)
                agree(statement.initial, statement.carried)
                known.append({statement.variable, *statement.carried})
            case Branch() if not ends:
                need(statement.condition, "i1", 1)
                for value in statement.initial:
                    need(value)
                known.append(set())
            case _:
                for value in statement.final:
                    need(value)
                agree(statement.final, statement.initial)
                agree(statement.results, statement.initial)
                known.pop()
                known[-1].update(statement.results)


_SAME = frozenset(
    [
        "add",
        "sub",
        "mul",
        "sdiv",
        "srem",
        "and",
        "or",
        "xor",
        "ashr",
        "fadd",
        "fsub",
        "fmul",
        "fdiv",
        "fneg",
        "fma",
    ]
)


def _verify_operation(function: Function, value: Value) -> None:
    def fail() -> None:
        kinds = [o.type for o in value.operands]
        raise LoopError(f"{function.name}: {value.operation} of {kinds} gives {value.type}")

    operands = value.operands
    match value.operation:
        case operation if operation in _SAME:
            if any(o.type != value.type for o in operands):
                fail()
        case "select":
            condition, a, b = operands
            if condition.element != "i1" or condition.lanes not in (1, value.lanes):
                fail()
            if a.type != value.type or b.type != value.type:
                fail()
        case "icmp" | "fcmp":
            if operands[0].type != operands[1].type or value.element != "i1":
                fail()
            if operands[0].lanes != value.lanes:
                fail()
        case "splat":
            if operands[0].lanes != 1 or operands[0].element != value.element:
                fail()
        case "shuffle":
            if operands[0].type != operands[1].type or operands[0].element != value.element:
                fail()
        case "address":
            if operands[0].type != "ptr" or operands[1].type != "i64":
                fail()
        case "prefetch":
            if operands[0].type != "ptr" or value.attribute not in ("read", "write", "near"):
                fail()
        case "load" | "masked load" | "gather":
            if operands[0].type != "ptr" or any(o.lanes != value.lanes for o in operands[1:]):
                fail()
