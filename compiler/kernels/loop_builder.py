"""Builds the loop IR: equal operations are one value, and every value stands in the outermost body where it can.

In: operations in the order in which they are thought of.  Out: a `Function` (loops.py).

    builder = Builder(["x", "y"])
    row = builder.open_loop(builder.begin, builder.end)
    …                                             # what does not depend on `row` lands before the loop by itself
    builder.close()

An operation is placed in the deepest body among its operands'. So loop-invariant code is never in a loop, and the parts of a
register tile share what they have in common, without a pass that looks for it. Only loads that are in range under a
condition alone are pinned: they stay inside the innermost conditional body.
"""

from __future__ import annotations

from collections.abc import Sequence

from .loops import Branch, Element, Function, Loop, Scope, Store, Value
from .memory import ALIGNMENT

_ROOT = Scope(-1, False)


class Builder:
    """One function under construction. `buffers`, `valid`, `time`, `begin` and `end` are its parameters."""

    def __init__(self, buffers: Sequence[str]) -> None:
        self.scopes = [Scope(0, False)]
        self._open: list[Loop | Branch | None] = []
        self._constants: dict[tuple[object, ...], Value] = {}
        self._integers: dict[int, Value] = {}
        self.buffers = [self._argument(name, "ptr") for name in buffers]
        self.valid, self.time, self.begin, self.end = (
            self._argument(name, "i64") for name in ("valid", "time", "begin", "end")
        )
        self.called: set[str] = set()
        #: Memory of its own that each thread lends to the function, and how many bytes of it are needed (program.py).
        self.scratch = self._argument("scratch", "ptr")
        self.scratch_bytes = 0

    def _argument(self, name: str, element: Element) -> Value:
        return Value("argument", (), element, 1, name, self.scopes[0])

    # ------------------------------------------------------------------------------------------------ values

    def constant(self, value: int | float | bool, element: Element, lanes: int = 1) -> Value:
        """A constant, the same in all lanes."""
        kind = bool(value) if element == "i1" else float(value) if element[0] == "f" else int(value)
        key = (repr(kind), element, lanes)  # repr: 0.0 and −0.0 are different constants
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = Value("constant", (), element, lanes, kind, _ROOT)
        return found

    def integer(self, value: int) -> Value:
        found = self._integers.get(value)
        if found is None:
            found = self._integers[value] = self.constant(value, "i64")
        return found

    def emit(
        self,
        operation: str,
        operands: tuple[Value, ...],
        element: Element,
        lanes: int = 1,
        attribute: object = None,
        *,
        pinned: bool = False,
    ) -> Value:
        """An operation in the outermost place where its operands are known; equal operations are the same value."""
        scope = self.scopes[0]
        for operand in operands:
            if operand.scope.depth > scope.depth:
                scope = operand.scope
        assert scope.is_open, f"{operation} uses a value of a loop that is closed"
        if pinned:
            for inner in reversed(self.scopes):
                if inner.guarded:
                    if inner.depth > scope.depth:
                        scope = inner
                    break
        key = (operation, operands, element, lanes, attribute)
        found = scope.table.get(key)
        if found is None:
            found = Value(operation, operands, element, lanes, attribute, scope)
            scope.table[key] = found
            scope.statements.append(found)
        return found

    def emit_here(
        self,
        operation: str,
        operands: tuple[Value, ...],
        element: Element,
        lanes: int = 1,
        attribute: object = None,
    ) -> Value:
        """An operation in the innermost body, never shared: memory of its own, or a load of memory that this loop changes."""
        value = Value(operation, operands, element, lanes, attribute, self.scopes[-1])
        self.scopes[-1].statements.append(value)
        return value

    def store(self, statement: Store) -> None:
        self.scopes[-1].statements.append(statement)

    # ------------------------------------------------------------------------------------------------- bodies

    def _push(self, statement: Loop | Branch | None, guarded: bool) -> Scope:
        scope = Scope(self.scopes[-1].depth + 1, guarded)
        self.scopes.append(scope)
        self._open.append(statement)
        return scope

    def open_loop(
        self,
        lower: Value,
        upper: Value,
        step: int = 1,
        initial: Sequence[Value] = (),
        *,
        guarded: bool = False,
    ) -> tuple[Value, list[Value]]:
        """Begin a loop; gives its variable and the carried values. `guarded`: its bounds make loads in it safe."""
        if (
            not guarded
            and lower.is_constant
            and upper.is_constant
            and 0 < upper.attribute - lower.attribute <= step  # type: ignore[operator]
        ):
            self._open.append(None)  # it runs once: no loop is needed
            return lower, list(initial)
        scope = self._push(None, guarded)
        variable = Value("variable", (), "i64", 1, None, scope)
        carried = tuple(Value("carried", (), v.element, v.lanes, None, scope) for v in initial)
        self._open[-1] = Loop(variable, lower, upper, step, tuple(initial), carried, scope.statements)
        return variable, list(carried)

    def open_branch(self, condition: Value, initial: Sequence[Value] = ()) -> list[Value]:
        """Begin a body that runs only where a scalar condition holds."""
        self._push(Branch(condition, tuple(initial), []), True)
        return list(initial)

    def close(self, final: Sequence[Value] = ()) -> list[Value]:
        """End the innermost loop or branch; gives the results of what it carried."""
        statement = self._open.pop()
        if statement is None:
            return list(final)
        scope = self.scopes.pop()
        scope.is_open = False
        statement.body = scope.statements
        statement.final = tuple(final)
        outer = self.scopes[-1]
        statement.results = tuple(Value("result", (), v.element, v.lanes, None, outer) for v in final)
        outer.statements.append(statement)
        return list(statement.results)

    def function(self, name: str, vector_bits: int = 0) -> Function:
        """The finished function."""
        assert len(self.scopes) == 1, "a body is still open"
        parameters = (*self.buffers, self.valid, self.time, self.begin, self.end)
        if self.scratch_bytes:
            parameters = (*parameters, self.scratch)
        called = frozenset(self.called)
        return Function(
            name, parameters, self.scopes[0].statements, called, vector_bits, scratch=self.scratch_bytes
        )

    def reserve(self, size: int) -> Value:
        """So many bytes of the thread's own memory, which keeps what is in it for the next part of the same call.

        The first of all words is zero when a call begins.
        """
        if not self.scratch_bytes:
            self.scratch_bytes = ALIGNMENT
        begin = self.integer(self.scratch_bytes)
        self.scratch_bytes += -(-size // ALIGNMENT) * ALIGNMENT
        return self.emit("address", (self.scratch, begin), "ptr")

    # ---------------------------------------------------------------------------------------------- arithmetic

    def add(self, a: Value, b: Value) -> Value:
        """Integer sum, constants folded."""
        if a.is_constant and b.is_constant:
            return self.constant(a.attribute + b.attribute, a.element, a.lanes)  # type: ignore[operator]
        if a.is_constant:
            a, b = b, a
        if b.is_constant and b.attribute == 0:
            return a
        return self.emit("add", (a, b), a.element, a.lanes)

    def subtract(self, a: Value, b: Value) -> Value:
        if a is b:
            return self.constant(0, a.element, a.lanes)
        if b.is_constant:
            return self.add(a, self.constant(-b.attribute, b.element, b.lanes))  # type: ignore[operator]
        return self.emit("sub", (a, b), a.element, a.lanes)

    def multiply(self, a: Value, b: Value) -> Value:
        """Integer product, constants folded."""
        if a.is_constant and b.is_constant:
            return self.constant(a.attribute * b.attribute, a.element, a.lanes)  # type: ignore[operator]
        if a.is_constant:
            a, b = b, a
        if b.is_constant:
            if b.attribute == 0:
                return b
            if b.attribute == 1:
                return a
            if b.attribute == -1:
                return self.emit("sub", (self.constant(0, a.element, a.lanes), a), a.element, a.lanes)
        return self.emit("mul", (a, b), a.element, a.lanes)

    def minimum(self, a: Value, b: Value) -> Value:
        """Smaller of two integers."""
        if a is b:
            return a
        if a.is_constant and b.is_constant:
            return a if a.attribute <= b.attribute else b  # type: ignore[operator]
        return self.emit("smin", (a, b), a.element, a.lanes)

    def maximum(self, a: Value, b: Value) -> Value:
        """Larger of two integers."""
        if a is b:
            return a
        if a.is_constant and b.is_constant:
            return a if a.attribute >= b.attribute else b  # type: ignore[operator]
        return self.emit("smax", (a, b), a.element, a.lanes)

    def both(self, a: Value, b: Value) -> Value:
        """Logical and."""
        for x, y in ((a, b), (b, a)):
            if x.is_constant and x.lanes in (1, y.lanes):
                return y if x.attribute else self.constant(False, "i1", y.lanes)
        if a.lanes != b.lanes:
            lanes = max(a.lanes, b.lanes)
            a, b = self.splat(a, lanes), self.splat(b, lanes)
        return self.emit("and", (a, b), "i1", a.lanes)

    def splat(self, value: Value, lanes: int) -> Value:
        """A scalar in all lanes."""
        if value.lanes == lanes:
            return value
        assert value.lanes == 1, f"{value.lanes} lanes cannot become {lanes}"
        if value.is_constant:
            return self.constant(value.attribute, value.element, lanes)  # type: ignore[arg-type]
        return self.emit("splat", (value,), value.element, lanes)

    def lane_numbers(self, lanes: int, element: Element = "i64") -> Value:
        """0, 1, 2, …"""
        return self.emit("lanes", (), element, lanes)

    def convert(self, value: Value, element: Element) -> Value:
        """The same number as another element type."""
        if value.element == element:
            return value
        if value.is_constant:
            return self.constant(value.attribute, element, value.lanes)  # type: ignore[arg-type]
        kinds = (value.element[0], element[0])
        if value.element == "i1":
            how = "uitofp" if element[0] == "f" else "zext"
        elif kinds == ("i", "f"):
            how = "sitofp"
        elif kinds == ("f", "f"):
            how = "fpext" if element == "f64" else "fptrunc"
        else:
            how = "sext" if element == "i64" else "trunc"
        return self.emit("convert", (value,), element, value.lanes, how)
