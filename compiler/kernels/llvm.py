"""Prints the loop IR as LLVM text. Nothing else prints kernels, and nothing here decides anything.

In: `Function` (loops.py).  Out: the text of one LLVM function, with intrinsics left undeclared (LLVM's parser knows them) and
the functions of vector_math.py left to native.py, which finds their names in `Kernel.requires`.

    %v7 = fma f32x16   →   %v7 = call <16 x float> @llvm.fma.v16f32(<16 x float> %v4, …)

Loops are printed as do-while loops behind a test, with what they carry in phi nodes, so that no pass has to rebuild them.
"""

from __future__ import annotations

import struct

from .loops import MASKED_BITS, Branch, Function, Loop, Store, Value, first_lanes, number_values, walk
from .program import Kernel

_TYPES = {"f32": "float", "f64": "double", "i64": "i64", "i32": "i32", "i1": "i1", "ptr": "ptr"}
_SIZES = {"f32": 4, "f64": 8, "i64": 8, "i32": 4}

_BINARY = frozenset(
    [
        "add",
        "sub",
        "mul",
        "sdiv",
        "srem",
        "udiv",
        "urem",
        "and",
        "or",
        "xor",
        "ashr",
        "fadd",
        "fsub",
        "fmul",
        "fdiv",
    ]
)  # LLVM's own names

_REDUCE = {
    ("sum", "f"): "fadd", ("product", "f"): "fmul", ("max", "f"): "fmaximum", ("min", "f"): "fminimum",
    ("sum", "i"): "add", ("product", "i"): "mul", ("max", "i"): "smax", ("min", "i"): "smin",
}  # fmt: skip


def kernel(function: Function) -> Kernel:
    """The kernel of a function: its text and what it requires."""
    return Kernel(function.name, print_function(function), function.requires, function.scratch)


def print_function(function: Function) -> str:
    """A function as LLVM text."""
    number_values(function)
    return _Printer(function).text()


def type_of(value: Value) -> str:
    """LLVM's type of a value."""
    scalar = _TYPES[value.element]
    lanes = value.lanes
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def suffix(value: Value) -> str:
    """How intrinsics spell a type in their names: v16f32, i64."""
    lanes = "" if value.lanes == 1 else f"v{value.lanes}"
    return lanes + ("p0" if value.element == "ptr" else value.element)


def number_text(number: object, element: str) -> str:
    """A constant as LLVM reads it; floating-point numbers as their bits, so that none is lost."""
    if element == "i1":
        return "true" if number else "false"
    if element[0] == "i":
        return str(number)
    value = float(number)  # type: ignore[arg-type]
    if element == "f32":
        try:
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        except OverflowError:
            value = float("inf") if value > 0 else float("-inf")
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def operand(value: Value) -> str:
    """A value where it is used."""
    if value.number >= 0 and value.operation != "lanes":
        return f"%v{value.number}"
    if value.operation == "argument":
        return f"%{value.attribute}"
    if value.operation == "lanes":
        scalar = _TYPES[value.element]
        return "<" + ", ".join(f"{scalar} {n}" for n in range(value.lanes)) + ">"
    if value.is_constant:
        text = number_text(value.attribute, value.element)
        return text if value.lanes == 1 else f"splat ({_TYPES[value.element]} {text})"
    return f"%v{value.number}"


def typed(value: Value) -> str:
    return f"{type_of(value)} {operand(value)}"


class _Printer:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.lines: list[str] = []
        self.label = "entry"
        self.labels = 0
        self.helpers = 0

    def text(self) -> str:
        function = self.function
        parameters = ", ".join(f"{_TYPES[p.element]} %{p.attribute}" for p in function.parameters)
        attributes = "nounwind"
        if function.vector_bits:
            bits = function.vector_bits
            attributes += f' "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
        self.lines.append(f"define void @{function.name}({parameters}) {attributes} {{")
        self.lines.append("entry:")
        ends: list[
            tuple[str, str, str, int]
        ] = []  # labels before, in and behind; line of the body's first phi
        for _, statement, closing in walk(function.body):
            if isinstance(statement, Value):
                self.value(statement)
                continue
            match statement:
                case Store():
                    self.store(statement)
                case Loop() | Branch() if not closing:
                    ends.append(self.open(statement))
                case _:
                    self.close(statement, *ends.pop())
        self.lines += ["  ret void", "}"]
        return "\n".join(self.lines) + "\n"

    def say(self, text: str) -> None:
        self.lines.append("  " + text)

    def start(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def name(self) -> str:
        """A fresh name for a value that the loop IR does not know."""
        self.helpers += 1
        return f"%h{self.helpers}"

    # ------------------------------------------------------------------------------------------------ bodies

    def open(self, statement: Loop | Branch) -> tuple[str, str, str, int]:
        self.labels += 1
        before, body, behind = self.label, f"body{self.labels}", f"end{self.labels}"
        if isinstance(statement, Branch):
            self.say(f"br i1 {operand(statement.condition)}, label %{body}, label %{behind}")
            self.start(body)
            return before, body, behind, 0
        if _surely_runs(statement):
            self.say(f"br label %{body}")
        else:
            test = self.name()
            self.say(f"{test} = icmp slt i64 {operand(statement.lower)}, {operand(statement.upper)}")
            self.say(f"br i1 {test}, label %{body}, label %{behind}")
        self.start(body)
        at = len(self.lines)
        names, first = [statement.variable, *statement.carried], [statement.lower, *statement.initial]
        for value, initial in zip(names, first, strict=True):  # `close` adds what comes round the loop
            self.say(f"{operand(value)} = phi {type_of(value)} [ {operand(initial)}, %{before} ], ")
        return before, body, behind, at

    def close(self, statement: Loop | Branch, before: str, body: str, behind: str, at: int) -> None:
        latch = self.label
        runs = False
        if isinstance(statement, Loop):
            runs = _surely_runs(statement)
            after, more = self.name(), self.name()
            self.say(f"{after} = add nsw i64 {operand(statement.variable)}, {statement.step}")
            self.say(f"{more} = icmp slt i64 {after}, {operand(statement.upper)}")
            self.say(f"br i1 {more}, label %{body}, label %{behind}")
            for n, text in enumerate((after, *map(operand, statement.final))):
                self.lines[at + n] += f"[ {text}, %{latch} ]"
        else:
            self.say(f"br label %{behind}")
        self.start(behind)
        for value, initial, final in zip(statement.results, statement.initial, statement.final, strict=True):
            edges = "" if runs else f"[ {operand(initial)}, %{before} ], "
            self.say(f"{operand(value)} = phi {type_of(value)} {edges}[ {operand(final)}, %{latch} ]")

    # ---------------------------------------------------------------------------------------------- operations

    def store(self, statement: Store) -> None:
        value, pointer = statement.value, statement.pointer
        align = _SIZES[value.element]
        if statement.index is None and statement.mask is None:
            self.say(f"store {typed(value)}, ptr {operand(pointer)}, align {align}")
            return
        count = first_lanes(statement.mask)
        if statement.index is None and count is not None and self.function.vector_bits < MASKED_BITS:
            self.store_pieces(value, pointer, count)
            return
        mask = typed(statement.mask) if statement.mask else f"<{value.lanes} x i1> splat (i1 true)"
        if statement.index is None:
            self.say(
                f"call void @llvm.masked.store.{suffix(value)}.p0({typed(value)}, ptr align {align} {operand(pointer)}, {mask})"
            )
            return
        places = self.places(pointer, statement.index, value)
        self.say(
            f"call void @llvm.masked.scatter.{suffix(value)}.v{value.lanes}p0"
            f"({typed(value)}, <{value.lanes} x ptr> align {align} {places}, {mask})"
        )

    def store_pieces(self, value: Value, pointer: Value, count: int) -> None:
        """The first lanes of a vector, as vectors of 4, 2 and 1: masked stores are slow where vectors have no masks."""
        scalar, at = _TYPES[value.element], 0
        while at < count:
            lanes = 1 << ((count - at).bit_length() - 1)
            piece, place = self.name(), self.name()
            chosen = ", ".join(f"i32 {n}" for n in range(at, at + lanes))
            self.say(
                f"{piece} = shufflevector {typed(value)}, {type_of(value)} poison, <{lanes} x i32> <{chosen}>"
            )
            self.say(f"{place} = getelementptr {scalar}, ptr {operand(pointer)}, i64 {at}")
            self.say(f"store <{lanes} x {scalar}> {piece}, ptr {place}, align {_SIZES[value.element]}")
            at += lanes

    def places(self, pointer: Value, index: Value, value: Value) -> str:
        """Pointers to elements `index` behind `pointer`."""
        name = self.name()
        self.say(f"{name} = getelementptr {_TYPES[value.element]}, ptr {operand(pointer)}, {typed(index)}")
        return name

    def value(self, value: Value) -> None:
        if value.operation == "lanes":
            return
        if value.operation == "prefetch":  # into all caches
            write = int(value.attribute == "write")
            level = 2 if value.attribute == "near" else 3
            self.say(
                f"call void @llvm.prefetch.p0({typed(value.operands[0])}, i32 {write}, i32 {level}, i32 1)"
            )
            return
        self.say(f"{operand(value)} = {self.instruction(value)}")

    def instruction(self, value: Value) -> str:
        operands = value.operands
        kind = type_of(value)
        match value.operation:
            case operation if operation in _BINARY:
                return f"{operation} {typed(operands[0])}, {operand(operands[1])}"
            case "fneg":
                return f"fneg {typed(operands[0])}"
            case "icmp" | "fcmp":
                return f"{value.operation} {value.attribute} {typed(operands[0])}, {operand(operands[1])}"
            case "select":
                return f"select {', '.join(map(typed, operands))}"
            case "convert":
                return f"{value.attribute} {typed(operands[0])} to {kind}"
            case "fma":
                return f"call {kind} @llvm.fma.{suffix(value)}({', '.join(map(typed, operands))})"
            case "smin" | "smax":
                return (
                    f"call {kind} @llvm.{value.operation}.{suffix(value)}({', '.join(map(typed, operands))})"
                )
            case "call":
                return self.call(value)
            case "splat":
                name, scalar = self.name(), type_of(operands[0])
                self.say(f"{name} = insertelement {kind} poison, {typed(operands[0])}, i64 0")
                assert scalar == _TYPES[value.element]
                return f"shufflevector {kind} {name}, {kind} poison, <{value.lanes} x i32> zeroinitializer"
            case "shuffle":
                lanes = ", ".join(f"i32 {n}" for n in value.attribute)  # type: ignore[attr-defined]
                return f"shufflevector {typed(operands[0])}, {typed(operands[1])}, <{value.lanes} x i32> <{lanes}>"
            case "address":
                return f"getelementptr i8, ptr {operand(operands[0])}, i64 {operand(operands[1])}"
            case "load":
                return f"load {kind}, ptr {operand(operands[0])}, align {_SIZES[value.element]}"
            case "masked load":
                pointer = f"ptr align {_SIZES[value.element]} {operand(operands[0])}"
                return (
                    f"call {kind} @llvm.masked.load.{suffix(value)}.p0"
                    f"({pointer}, {typed(operands[1])}, {kind} zeroinitializer)"
                )
            case "gather":
                places = self.places(operands[0], operands[1], value)
                mask = typed(operands[2]) if len(operands) > 2 else f"<{value.lanes} x i1> splat (i1 true)"
                return (
                    f"call {kind} @llvm.masked.gather.{suffix(value)}.v{value.lanes}p0"
                    f"(<{value.lanes} x ptr> align {_SIZES[value.element]} {places}, {mask}, {kind} zeroinitializer)"
                )
            case "reduce":
                return self.reduce(value)
        raise AssertionError(f"no text for {value.operation}")

    def call(self, value: Value) -> str:
        name = str(value.attribute)
        arguments = ", ".join(map(typed, value.operands))
        if name == "llvm.abs":
            arguments += ", i1 false"
        if name.startswith("llvm."):
            name = f"{name}.{suffix(value)}"
        return f"call {type_of(value)} @{name}({arguments})"

    def reduce(self, value: Value) -> str:
        """All lanes in one. `reassoc` allows a tree instead of a chain, nothing else."""
        (vector,) = value.operands
        how = _REDUCE[str(value.attribute), value.element[0]]
        start, flags = "", ""
        if how in ("fadd", "fmul"):
            neutral = number_text(-0.0 if how == "fadd" else 1.0, value.element)
            start, flags = f"{type_of(value)} {neutral}, ", "reassoc "
        return (
            f"call {flags}{type_of(value)} @llvm.vector.reduce.{how}.{suffix(vector)}({start}{typed(vector)})"
        )


def _surely_runs(loop: Loop) -> bool:
    return (
        loop.lower.is_constant and loop.upper.is_constant and loop.lower.attribute < loop.upper.attribute  # type: ignore[operator]
    )
