"""Write straight-line LLVM text over vectors of any width, with Python's operators.

In: formulas over `Value`s.  Out: the text of one function. vector_math.py writes its functions with it, so that a formula
reads as mathematics and is the same for 1, 4, 8 or 16 lanes and for float32 and float64.

    text = LaneText(16)
    x = text.argument("x", "float")
    text.define("dln_square_v16f32", [x], x * x)

gives `define internal <16 x float> @dln_square_v16f32(<16 x float> %x) … { %1 = fmul <16 x float> %x, %x … }`.

Only operations with one correct result in IEEE 754 are used (and `fma`, asked for by name), none with fast-math flags: so
the bits are the same on every machine and at every width.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..record import record

_FLOATS = ("float", "double")


def float_constant(value: float, element: str) -> str:
    """A constant as LLVM writes it: the 64 bits of the double that is equal to it."""
    if element == "float":
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@record(eq=False)
class Value:
    """An LLVM value: `element` is float, double, i1, i32 or i64; `name` how it is written in an operand.

    Operators build instructions of the kind that the element asks for. `>>` is arithmetic.
    """

    text: LaneText
    element: str
    name: str

    def _binary(self, real: str, integer: str, other: Value | float, swap: bool = False) -> Value:
        opcode = real if self.element in _FLOATS else integer
        other = self.text.constant(other, self.element) if not isinstance(other, Value) else other
        first, second = (other, self) if swap else (self, other)
        assert first.element == second.element, (opcode, first.element, second.element)
        return self.text.instruction(
            self.element, f"{opcode} {self.text.type(self.element)} {first.name}, {second.name}"
        )

    def __add__(self, other: Value | float) -> Value:
        return self._binary("fadd", "add", other)

    __radd__ = __add__

    def __sub__(self, other: Value | float) -> Value:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: float) -> Value:
        return self._binary("fsub", "sub", other, swap=True)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary("fmul", "mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other: float) -> Value:
        return self._binary("fdiv", "sdiv", other, swap=True)

    def __and__(self, other: Value | int) -> Value:
        return self._binary("", "and", other)

    def __or__(self, other: Value | int) -> Value:
        return self._binary("", "or", other)

    def __xor__(self, other: Value | int) -> Value:
        return self._binary("", "xor", other)

    def __lshift__(self, other: int) -> Value:
        return self._binary("", "shl", other)

    def __rshift__(self, other: int) -> Value:
        return self._binary("", "ashr", other)

    def __neg__(self) -> Value:
        if self.element not in _FLOATS:
            return 0 - self
        return self.text.instruction(self.element, f"fneg {self.text.type(self.element)} {self.name}")

    def _compare(self, condition: str, other: Value | float) -> Value:
        other = self.text.constant(other, self.element) if not isinstance(other, Value) else other
        opcode = f"fcmp {condition}" if self.element in _FLOATS else f"icmp {condition}"
        return self.text.instruction(
            "i1", f"{opcode} {self.text.type(self.element)} {self.name}, {other.name}"
        )

    def less(self, other: Value | float) -> Value:
        """self < other; false if either is NaN."""
        return self._compare("olt" if self.element in _FLOATS else "slt", other)

    def greater(self, other: Value | float) -> Value:
        """self > other; false if either is NaN."""
        return self._compare("ogt" if self.element in _FLOATS else "sgt", other)

    def equal(self, other: Value | float) -> Value:
        """self = other; false if either is NaN."""
        return self._compare("oeq" if self.element in _FLOATS else "eq", other)

    def differs(self, other: Value | float) -> Value:
        """self ≠ other; true if either is NaN."""
        return self._compare("une" if self.element in _FLOATS else "ne", other)


class LaneText:
    """The instructions of one function over `lanes` lanes; `definition` is its text once `define` was called."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self.definition = ""
        self._count = 0

    def type(self, element: str) -> str:
        """The LLVM type of a value: `float` alone, or `<16 x float>`."""
        return element if self.lanes == 1 else f"<{self.lanes} x {element}>"

    def argument(self, name: str, element: str) -> Value:
        return Value(self, element, f"%{name}")

    def constant(self, value: float, element: str) -> Value:
        """The same constant in every lane."""
        literal = float_constant(value, element) if element in _FLOATS else str(int(value))
        name = literal if self.lanes == 1 else f"splat ({element} {literal})"
        return Value(self, element, name)

    def instruction(self, element: str, right: str) -> Value:
        """Append `%n = right`, which gives a value of this element."""
        self._count += 1
        self.lines.append(f"  %v{self._count} = {right}")
        return Value(self, element, f"%v{self._count}")

    def suffix(self, element: str) -> str:
        """The type's suffix in the name of an intrinsic: v16f32, or f64 for one lane."""
        short = {"float": "f32", "double": "f64"}.get(element, element)
        return short if self.lanes == 1 else f"v{self.lanes}{short}"

    def call(self, function: str, *arguments: Value) -> Value:
        """Call a function whose result has the type of its arguments."""
        kind = self.type(arguments[0].element)
        operands = ", ".join(f"{kind} {a.name}" for a in arguments)
        return self.instruction(arguments[0].element, f"call {kind} @{function}({operands})")

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        return self.call(f"llvm.{name}.{self.suffix(arguments[0].element)}", *arguments)

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        """a·b + c, rounded once."""
        b = self.constant(b, a.element) if not isinstance(b, Value) else b
        c = self.constant(c, a.element) if not isinstance(c, Value) else c
        return self.intrinsic("fma", a, b, c)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """Σ coefficients[k]·x^k by Horner's rule."""
        total = self.constant(coefficients[-1], x.element)
        for coefficient in reversed(coefficients[:-1]):
            total = self.fma(total, x, coefficient)
        return total

    def select(self, condition: Value, a: Value | float, b: Value | float) -> Value:
        """a where the condition holds, else b."""
        element = next(v.element for v in (a, b) if isinstance(v, Value))
        a = self.constant(a, element) if not isinstance(a, Value) else a
        b = self.constant(b, element) if not isinstance(b, Value) else b
        kind = self.type(element)
        return self.instruction(
            element,
            f"select {self.type('i1')} {condition.name}, {kind} {a.name}, {kind} {b.name}",
        )

    def clamp(self, x: Value, low: float | None, high: float | None) -> Value:
        """x held within [low, high]; NaN stays NaN."""
        if high is not None:
            x = self.select(x.greater(high), high, x)
        if low is not None:
            x = self.select(x.less(low), low, x)
        return x

    def absolute(self, x: Value) -> Value:
        return self.intrinsic("fabs", x)

    def copy_sign(self, magnitude: Value, sign: Value) -> Value:
        return self.intrinsic("copysign", magnitude, sign)

    def bits(self, x: Value) -> Value:
        """The bits of a real number as an integer of the same size."""
        return self._cast("bitcast", x, {"float": "i32", "double": "i64"}[x.element])

    def real(self, x: Value) -> Value:
        """The real number that has these bits."""
        return self._cast("bitcast", x, {"i32": "float", "i64": "double"}[x.element])

    def convert(self, x: Value, element: str) -> Value:
        """The value in another type: float to double and back (rounded), integer to real, integer to integer."""
        opcodes = {
            ("float", "double"): "fpext",
            ("double", "float"): "fptrunc",
            ("i64", "i32"): "trunc",
            ("i32", "i64"): "sext",
        }
        opcode = opcodes.get((x.element, element), "sitofp")
        return self._cast(opcode, x, element)

    def logical_right_shift(self, x: Value, by: int) -> Value:
        return x._binary("", "lshr", by)

    def _cast(self, opcode: str, x: Value, element: str) -> Value:
        return self.instruction(element, f"{opcode} {self.type(x.element)} {x.name} to {self.type(element)}")

    def define(self, name: str, arguments: Sequence[Value], result: Value, inline: bool) -> None:
        """Close the function: `definition` is its text."""
        parameters = ", ".join(f"{self.type(a.element)} {a.name}" for a in arguments)
        kind = self.type(result.element)
        attributes = "alwaysinline nounwind" if inline else "noinline nounwind"
        body = "\n".join([*self.lines, f"  ret {kind} {result.name}"])
        self.definition = f"define internal {kind} @{name}({parameters}) {attributes} {{\n{body}\n}}\n"
