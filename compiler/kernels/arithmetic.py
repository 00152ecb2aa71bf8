"""Scalar functions on values of the loop IR: the lowering column of scalar.py, and what needs several instructions.

In: an `Apply` node and its operands as values of the same number of lanes.  Out: the value.

    max(z, 0)    →   select(0 > z, 0, z)          NaN stays NaN, as in numpy.maximum
    a div 8      →   a >> 3                        floor semantics for every sign

Nothing here is "fast mathematics": the only liberty is the fused multiply-add.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.affine import Range
from ..mathematics.expression import Apply, Constant
from ..mathematics.scalar import SCALAR_FUNCTIONS
from .loop_builder import Builder
from .loops import Element, Value


class CannotLower(Exception):
    """Something in the graph that no kernel can be made for."""


class Arithmetic:
    """Emits scalar functions into a builder; `real` is the element type of real numbers."""

    def __init__(self, builder: Builder, real: Element) -> None:
        self.builder = builder
        self.real = real

    def apply(self, node: Apply, operands: list[Value], ranges: Sequence[Range | None]) -> Value:
        """The value of a function of operands with equal lanes; `ranges` are those of its integer arguments."""
        builder, lanes = self.builder, operands[0].lanes
        name = node.function
        row = SCALAR_FUNCTIONS.get(name)
        if row is None:
            raise CannotLower(f"no lowering for '{name}'")
        on_integers = node.arguments[-1].type == "integer"
        on_booleans = node.arguments[-1].type == "boolean"
        match name:
            case "real":
                return builder.convert(operands[0], self.real)
            case "stop_gradient":
                return operands[0]
            case "random" | "random2":
                return self.random(name, operands)
            case "not":
                true = builder.constant(True, "i1", lanes)
                return builder.emit("xor", (operands[0], true), "i1", lanes)
            case "select":
                return self.select(*operands)
            case "max" | "min":
                if on_integers:
                    return (builder.maximum if name == "max" else builder.minimum)(*operands)
                return self.extreme(name, *operands)
            case "sign":
                return self._sign(operands[0])
            case "div" | "mod":
                return self.divide(name, operands[0], operands[1], ranges[0])
            case "abs" if on_integers:
                return builder.emit("call", tuple(operands), operands[0].element, lanes, "llvm.abs")
            case "neg" if on_integers:
                return builder.subtract(builder.constant(0, operands[0].element, lanes), operands[0])
            case "neg":
                return self.negate(operands[0])
            case "^":
                return self._power(node, operands[0], operands[1])
            case "==" | "!=" if on_booleans:
                different = builder.emit("xor", tuple(operands), "i1", lanes)
                if name == "!=":
                    return different
                return builder.emit("xor", (different, builder.constant(True, "i1", lanes)), "i1", lanes)
        how = row.lowering[1 if on_integers or on_booleans else 0]
        if how.startswith("@"):
            return self.call(how[1:], operands)
        if how.startswith("llvm."):
            return builder.emit("call", tuple(operands), operands[0].element, lanes, how)
        operation, _, attribute = how.partition(" ")
        if not operation:
            raise CannotLower(f"no lowering for '{name}' of type {node.arguments[-1].type}")
        if operation in ("icmp", "fcmp"):
            return builder.emit(operation, tuple(operands), "i1", lanes, attribute)
        if operation in ("and", "or"):
            return (
                builder.both(*operands)
                if operation == "and"
                else builder.emit("or", tuple(operands), "i1", lanes)
            )
        if on_integers:
            fold = {"add": builder.add, "sub": builder.subtract, "mul": builder.multiply}
            return fold[operation](*operands)
        return builder.emit(operation, tuple(operands), operands[0].element, lanes)

    def call(self, name: str, operands: Sequence[Value]) -> Value:
        """A function of vector_math.py."""
        first = operands[0]
        function = f"dln_{name}_v{first.lanes}{first.element}"
        self.builder.called.add(function)
        return self.builder.emit("call", tuple(operands), first.element, first.lanes, function)

    def random(self, name: str, operands: Sequence[Value]) -> Value:
        """A random number that belongs to integers, of which the lowest 32 bits count."""
        lanes = max(o.lanes for o in operands)
        function = f"dln_{name}_v{lanes}{self.real}"
        self.builder.called.add(function)
        words = tuple(self.builder.splat(self.builder.convert(o, "i32"), lanes) for o in operands)
        return self.builder.emit("call", words, self.real, lanes, function)

    def negate(self, value: Value) -> Value:
        if value.is_constant:
            return self.builder.constant(-value.attribute, value.element, value.lanes)  # type: ignore[operator]
        return self.builder.emit("fneg", (value,), value.element, value.lanes)

    def fused(self, a: Value, b: Value, c: Value) -> Value:
        """a · b + c, rounded once."""
        return self.builder.emit("fma", (a, b, c), c.element, c.lanes)

    def multiply(self, a: Value, b: Value) -> Value:
        """Product of reals of any lanes."""
        lanes = max(a.lanes, b.lanes)
        a, b = self.builder.splat(a, lanes), self.builder.splat(b, lanes)
        return self.builder.emit("fmul", (a, b), a.element, lanes)

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        if condition.is_constant:
            return then if condition.attribute else otherwise
        if then is otherwise:
            return then
        return self.builder.emit("select", (condition, then, otherwise), then.element, then.lanes)

    def compare(self, how: str, a: Value, b: Value) -> Value:
        """A comparison of reals ('olt', …) or integers ('slt', …)."""
        return self.builder.emit("fcmp" if a.element[0] == "f" else "icmp", (a, b), "i1", a.lanes, how)

    def extreme(self, name: str, a: Value, b: Value) -> Value:
        """Larger or smaller of two reals; NaN if one of them is NaN."""
        how = "ogt" if name == "max" else "olt"
        if b.is_constant:
            a, b = b, a
        if a.is_constant:  # a is a number: where b is NaN, the comparison fails and b is taken
            return self.select(self.compare(how, a, b), a, b)
        larger = self.select(self.compare(how, a, b), a, b)
        return self.select(self.compare("uno", a, a), a, larger)

    def _sign(self, x: Value) -> Value:
        zero, one = (self.builder.constant(v, x.element, x.lanes) for v in (0.0, 1.0))
        negative = self.select(self.compare("olt", x, zero), self.negate(one), x)
        return self.select(self.compare("ogt", x, zero), one, negative)

    def _power(self, node: Apply, base: Value, exponent: Value) -> Value:
        """Small whole powers are products; everything else is the general function."""
        power = node.arguments[1]
        if isinstance(power, Constant) and float(power.value) in (-2.0, -1.0, 3.0, 4.0):
            count = int(abs(float(power.value)))
            square = self.multiply(base, base) if count > 1 else base
            result = {1: base, 2: square, 3: None, 4: None}[count]
            if result is None:
                result = self.multiply(square, base if count == 3 else square)
            if power.value < 0:
                one = self.builder.constant(1.0, base.element, base.lanes)
                return self.builder.emit("fdiv", (one, result), base.element, base.lanes)
            return result
        return self.call("pow", [base, exponent])

    def divide(self, name: str, a: Value, b: Value, reach: Range | None) -> Value:
        """Quotient or remainder of integers, rounded towards minus infinity; a divisor of zero counts as one."""
        builder, element, lanes = self.builder, a.element, a.lanes
        natural = reach is not None and reach[0] >= 0
        if b.is_constant:
            divisor = int(b.attribute)  # type: ignore[call-overload]
            if a.is_constant and divisor:
                value = int(a.attribute)  # type: ignore[call-overload]
                return builder.constant(
                    value // divisor if name == "div" else value % divisor, element, lanes
                )
            if divisor == 0:
                b = builder.constant(1, element, lanes)
            elif divisor > 0 and divisor & (divisor - 1) == 0:
                if name == "div":
                    shift = builder.constant(divisor.bit_length() - 1, element, lanes)
                    return builder.emit("ashr", (a, shift), element, lanes)
                return builder.emit("and", (a, builder.constant(divisor - 1, element, lanes)), element, lanes)
            elif divisor > 0 and natural:
                return builder.emit("udiv" if name == "div" else "urem", (a, b), element, lanes)
        else:
            zero, one = (builder.constant(v, element, lanes) for v in (0, 1))
            b = self.select(self.compare("eq", b, zero), one, b)
        return self._floor_divide(name, a, b)

    def _floor_divide(self, name: str, a: Value, b: Value) -> Value:
        builder, element, lanes = self.builder, a.element, a.lanes
        zero = builder.constant(0, element, lanes)
        quotient = builder.emit("sdiv", (a, b), element, lanes)
        remainder = builder.subtract(a, builder.multiply(quotient, b))
        differs = builder.emit("xor", (remainder, b), element, lanes)
        wrong = builder.both(self.compare("ne", remainder, zero), self.compare("slt", differs, zero))
        if name == "mod":
            return self.select(wrong, builder.add(remainder, b), remainder)
        minus = builder.constant(-1, element, lanes)
        return self.select(wrong, builder.add(quotient, minus), quotient)
