"""Expressions to values of the loop IR: scalars, or vectors over a lane axis.

In: expressions of a nest, and the place of every axis (a loop variable, a tile).  Out: `Value`s.

    with lanes along a1:   @0[10 r0 + a0] · @1[32 r0 + a1]   →   a scalar load, splat, times a vector load

What does not depend on the lane axis stays a scalar until it meets a vector. A load is a vector load where its offset moves
by one element from lane to lane, a few of them where it moves by a few, and a gather where it moves otherwise. An offset is
summed up from the outside in, so that each loop adds no more than its own part.
A register tile evaluates the same expression at several `shift`s of its axes; parts that do not depend on a shifted axis are
evaluated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..mathematics.affine import Linear, bounds, linear
from ..mathematics.expression import Apply, Axis, Constant, Expression, Load
from .arithmetic import Arithmetic
from .evaluation_order import Orders, Step, fused_operands, is_product, under_condition
from .loop_builder import Builder
from .loops import Element, Value, first_lanes
from .memory import SIZES
from .nest import TIME, VALID, Nest, buffer_of, is_access, is_guarded
from .plan import Shift

_ELEMENTS: dict[str, Element] = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}

#: Steps from lane to lane at which whole vectors are loaded and shuffled, and nothing is gathered.
STRIDES = (2, 3, 4)


class Evaluator:
    """Evaluates expressions of one nest. `starts` gives each axis's value at shift 0 and lane 0."""

    def __init__(
        self,
        builder: Builder,
        nest: Nest,
        starts: Mapping[Axis, Value],
        *,
        lane: Axis | None = None,
        lanes: int = 1,
        shifted: Sequence[Axis] = (),
    ) -> None:
        self.builder = builder
        self.nest = nest
        self.starts = starts
        self.lane = lane
        self.lanes = lanes if lane is not None else 1
        self.shifted = tuple(shifted)
        self.real: Element = "f32" if nest.real == "float32" else "f64"
        self.arithmetic = Arithmetic(builder, self.real)
        #: Values that are given from outside, by node and shift: what the reduction came to.
        self.given: dict[tuple[Expression, Shift], Value] = {}
        #: Accesses whose elements are loaded from elsewhere, in the order in which they are used (packing.py).
        self.packed: dict[Expression, Callable[[Shift], Value]] = {}
        #: Lanes that exist at all, where the lane axis is reduced and ends within a vector.
        self.tail: Value | None = None
        self._orders = Orders(self.shifted)
        self._values: dict[tuple[Expression, Shift, Value | None], Value] = {}
        self._ranges: dict[Expression, tuple[int, int] | None] = {}

    # ------------------------------------------------------------------------------------------------ values

    def value(self, root: Expression, shift: Shift = (), mask: Value | None = None) -> Value:
        """The value of an expression at a shift; `mask` says where guarded loads are in range (None: everywhere)."""
        values = self._values
        shift = shift or (0,) * len(self.shifted)
        last = self._orders.step(root)
        known = values.get((root, tuple([shift[b] for b in last.bits]), mask if last.guarded else None))
        if known is not None and known.scope.is_open:
            return known
        for step in self._orders.of(root):
            key = (step.node, tuple([shift[b] for b in step.bits]), mask if step.guarded else None)
            known = values.get(key)
            if known is None or not known.scope.is_open:
                known = values[key] = self._evaluate(step, shift, mask)
        return known  # type: ignore[return-value]

    def forget(self) -> None:
        """Evaluate everything anew: the place of an axis has changed."""
        self._values.clear()

    def vector(self, root: Expression, shift: Shift = (), mask: Value | None = None) -> Value:
        """The value in all lanes, as the element type in which it is computed."""
        value = self.value(root, shift, mask)
        if root.type == "integer" and value.lanes == 1 < self.lanes:
            value = self.builder.convert(value, self._integer_element(root))
        return self.builder.splat(value, self.lanes)

    def _evaluate(self, step: Step, shift: Shift, mask: Value | None) -> Value:
        node = step.node
        builder = self.builder
        given = self.given.get((node, shift))
        if given is not None:
            return given
        if is_access(node):
            assert step.form is not None
            if node in self.packed:
                return self.packed[node](shift)
            return self._load(node, step.form, shift, mask)
        if step.form is not None:
            return self._sum(node, step.form, shift, mask)
        match node:
            case Constant(value=value, type=kind):
                return builder.constant(
                    value, self.real if kind == "real" else "i1" if kind == "boolean" else "i64"
                )
            case Axis():
                return self._sum(node, Linear(0, {node: 1}), shift, mask)
            case Load() if node == VALID:
                return builder.valid
            case Load() if node == TIME:
                return builder.time
            case Apply():
                return self._apply(node, shift, mask)
        raise AssertionError(f"a nest cannot hold {node!r}")

    def bits(self, root: Expression) -> tuple[int, ...]:
        """The shifted axes, by number, that an expression depends on."""
        return self._orders.step(root).bits

    def range(self, node: Expression) -> tuple[int, int] | None:
        """Smallest and largest value of an integer expression, as far as is known."""
        if node not in self._ranges:
            self._ranges[node] = bounds(node, self.nest.graph)
        return self._ranges[node]

    def _integer_element(self, *nodes: Expression) -> Element:
        """The element type in which vectors of these integers are computed: 32 bits where all of them fit."""
        for node in nodes:
            reach = self.range(node)
            if reach is None or reach[0] < -(2**31) or reach[1] >= 2**31:
                return "i64"
        return "i32"

    # --------------------------------------------------------------------------------------------- linear forms

    def _terms(
        self, form: Linear, shift: Shift, mask: Value | None
    ) -> tuple[int, list[tuple[Value, int]], int, list[tuple[Value, int]]]:
        """A linear form as constant, scalar terms from the outside in, step from lane to lane, and vector terms."""
        constant, step = form.constant, 0
        scalars: list[tuple[Value, int]] = []
        vectors: list[tuple[Value, int]] = []
        for atom, coefficient in form.coefficients.items():
            if isinstance(atom, Axis):
                if atom in self.shifted:
                    constant += coefficient * shift[self.shifted.index(atom)]
                if atom == self.lane:
                    step += coefficient
                value = self.starts[atom]
            else:
                value = self.value(atom, shift, mask)
            if value.is_constant:
                constant += coefficient * int(value.attribute)  # type: ignore[call-overload]
            else:
                (scalars if value.lanes == 1 else vectors).append((value, coefficient))
        scalars.sort(key=lambda term: term[0].scope.depth)
        return constant, scalars, step, vectors

    def _scalar(self, constant: int, terms: Sequence[tuple[Value, int]]) -> Value:
        """constant + Σ coefficient · value, over scalars."""
        builder = self.builder
        result = builder.integer(0)
        for value, coefficient in terms:
            result = builder.add(result, builder.multiply(value, builder.integer(coefficient)))
        return builder.add(result, builder.integer(constant))

    def _spread(
        self, scalar: Value, step: int, vectors: Sequence[tuple[Value, int]], element: Element
    ) -> Value:
        """scalar + step · lane number + Σ coefficient · vector."""
        builder = self.builder
        result = builder.splat(builder.convert(scalar, element), self.lanes)
        if step:
            numbers = builder.lane_numbers(self.lanes, element)
            factor = builder.constant(step, element, self.lanes)
            result = builder.add(result, builder.multiply(numbers, factor))
        for value, coefficient in vectors:
            factor = builder.constant(coefficient, element, self.lanes)
            result = builder.add(result, builder.multiply(builder.convert(value, element), factor))
        return result

    def _sum(self, node: Expression, form: Linear, shift: Shift, mask: Value | None) -> Value:
        constant, scalars, step, vectors = self._terms(form, shift, mask)
        scalar = self._scalar(constant, scalars)
        if not step and not vectors:
            return scalar
        return self._spread(scalar, step, vectors, self._integer_element(node))

    # ---------------------------------------------------------------------------------------------------- loads

    def _load(self, node: Expression, form: Linear, shift: Shift, mask: Value | None) -> Value:
        number = buffer_of(node)
        buffer = self.nest.buffers[number]
        element = _ELEMENTS[buffer.data_type]
        pinned = is_guarded(node)
        constant, scalars, step, vectors = self._terms(form, shift, mask)
        builder = self.builder
        if not pinned:
            mask = None
        varies = bool(step or vectors)
        tail = self.tail
        if not vectors and step in (1, *STRIDES) and first_lanes(tail) is not None:
            tail = None  # one vector for the whole axis: what lies behind the array may be loaded (memory.py)
        if varies and tail is not None:
            mask = tail if mask is None else builder.both(mask, tail)
        if not varies:
            if mask is not None:  # some lane may be in range and another not: stay inside of the buffer
                offset = self._scalar(constant, scalars)
                offset = builder.minimum(offset, builder.integer(buffer.elements - 1))
                constant, scalars = 0, [(builder.maximum(offset, builder.integer(0)), 1)]
            raw = builder.emit("load", (self.address(number, constant, scalars),), element, pinned=pinned)
        elif step == 1 and not vectors:
            pointer = self.address(number, constant, scalars)
            if mask is None:
                raw = builder.emit("load", (pointer,), element, self.lanes, pinned=pinned)
            else:
                operands = (pointer, builder.splat(mask, self.lanes))
                raw = builder.emit("masked load", operands, element, self.lanes, pinned=pinned)
        elif step in STRIDES and not vectors and mask is None and self.lanes > step:
            raw = self._strided(self.address(number, constant, scalars), number, step, pinned)
        else:
            pointer = self.address(number, constant, scalars)
            small = self._fits(step, vectors, node)
            index = self._spread(builder.integer(0), step, vectors, "i32" if small else "i64")
            places = (pointer, index) if mask is None else (pointer, index, builder.splat(mask, self.lanes))
            raw = builder.emit("gather", places, element, self.lanes, pinned=pinned)
        return self._loaded(raw, node)

    def _strided(self, pointer: Value, number: int, step: int, pinned: bool) -> Value:
        """Every second, third or fourth element: vectors side by side, of which shuffles keep what is wanted.

        The last vector ends with the last element that is wanted, so that nothing behind it is read.
        """
        builder, lanes = self.builder, self.lanes
        kind = self.nest.buffers[number].data_type
        element, size = _ELEMENTS[kind], SIZES[kind]
        result: Value | None = None
        for part in range(step):
            begin = min(part * lanes, (lanes - 1) * (step - 1))
            place = (
                builder.emit("address", (pointer, builder.integer(begin * size)), "ptr") if begin else pointer
            )
            vector = builder.emit("load", (place,), element, lanes, pinned=pinned)
            if result is None:
                result = vector
                continue
            # The first shuffle takes what both of its vectors have, later ones keep what is there already.
            places = [n * step for n in range(lanes)]
            old = [at if part == 1 else n for n, at in enumerate(places)]
            chosen = tuple(
                o if at < part * lanes else lanes + min(at - begin, lanes - 1)
                for o, at in zip(old, places, strict=True)
            )
            result = builder.emit("shuffle", (result, vector), element, lanes, chosen)
        assert result is not None
        return result

    def _fits(self, step: int, vectors: Sequence[tuple[Value, int]], node: Expression) -> bool:
        """True where element offsets from lane to lane certainly fit 32 bits."""
        if abs(step) * self.lanes >= 2**31:
            return False
        if not vectors:
            return True
        form = linear(node.children[0])
        reach = 0
        for atom, coefficient in form.coefficients.items():
            if isinstance(atom, Axis):
                continue
            inner = self.range(atom)
            if inner is None:
                return False
            reach += abs(coefficient) * max(abs(inner[0]), abs(inner[1]))
        return reach + abs(step) * self.lanes < 2**31

    def address(self, number: int, constant: int, terms: Sequence[tuple[Value, int]]) -> Value:
        """The pointer to element constant + Σ coefficient · value of a buffer, added up loop by loop from the outside."""
        builder = self.builder
        size = SIZES[self.nest.buffers[number].data_type]
        pointer = builder.buffers[number]
        at = 0
        while at < len(terms):
            depth = terms[at][0].scope.depth
            end = at
            while end < len(terms) and terms[end][0].scope.depth == depth:
                end += 1
            offset = self._scalar(0, [(v, c * size) for v, c in terms[at:end]])
            pointer = builder.emit("address", (pointer, offset), "ptr")
            at = end
        if constant:
            pointer = builder.emit("address", (pointer, builder.integer(constant * size)), "ptr")
        return pointer

    def _loaded(self, raw: Value, node: Expression) -> Value:
        """A loaded element as the type in which it is computed."""
        builder = self.builder
        if node.type == "real":
            return builder.convert(raw, self.real)
        if node.type == "boolean":
            zero = builder.constant(0, raw.element, raw.lanes)
            return builder.emit("icmp", (raw, zero), "i1", raw.lanes, "ne")
        return builder.convert(raw, "i64") if raw.lanes == 1 else raw

    def place(self, number: int, offset: Expression, shift: Shift) -> tuple[Value, Value | None]:
        """Where a result goes: a pointer, and the lanes' element offsets from it where they are not consecutive."""
        constant, scalars, step, vectors = self._terms(linear(offset), shift, None)
        pointer = self.address(number, constant, scalars)
        if self.lanes == 1 or (step == 1 and not vectors):
            return pointer, None
        return pointer, self._spread(self.builder.integer(0), step, vectors, "i64")

    # ---------------------------------------------------------------------------------------------- functions

    def _apply(self, node: Apply, shift: Shift, mask: Value | None) -> Value:
        """A scalar function of values."""
        if node.type == "real" and node.function in ("+", "-"):
            return self._add(node, shift, mask)
        operands = [self.value(a, shift, self._mask_of(node, a, shift, mask)) for a in node.arguments]
        if node.function in ("random", "random2"):
            return self.arithmetic.random(node.function, operands)
        lanes = max(o.lanes for o in operands)
        integers = [a for a in node.arguments if a.type == "integer"]
        if integers and lanes > 1:
            element = self._integer_element(*integers, *([node] if node.type == "integer" else []))
            if node.function in ("div", "mod") and not isinstance(node.arguments[1], Constant):
                element = "i64"  # no quotient of 32-bit numbers overflows then
            operands = [
                self.builder.convert(o, element) if a.type == "integer" else o
                for o, a in zip(operands, node.arguments, strict=True)
            ]
        operands = [self.builder.splat(o, lanes) for o in operands]
        ranges = [self.range(a) if a.type == "integer" else None for a in node.arguments]
        return self.arithmetic.apply(node, operands, ranges)

    def _mask_of(self, node: Apply, argument: Expression, shift: Shift, mask: Value | None) -> Value | None:
        """Where guarded loads in an argument of a function are in range: in a branch of a `select`, where it is taken."""
        if under_condition(node) is not argument:
            return mask
        holds = self.value(node.arguments[0], shift, mask)
        return holds if mask is None else self.builder.both(mask, holds)

    def _add(self, node: Apply, shift: Shift, mask: Value | None) -> Value:
        """Sum or difference of reals; a product among the operands is contracted into a fused multiply-add."""
        parts = [self.value(p, shift, mask) for p in fused_operands(node)]
        lanes = max(p.lanes for p in parts)
        parts = [self.builder.splat(p, lanes) for p in parts]
        left, _ = node.arguments
        if len(parts) == 2:
            return self.builder.emit(
                "fadd" if node.function == "+" else "fsub", tuple(parts), self.real, lanes
            )
        first, second, other = parts
        if is_product(left):
            if node.function == "-":
                other = self.arithmetic.negate(other)
        elif node.function == "-":
            first = self.arithmetic.negate(first)
        return self.arithmetic.fused(first, second, other)
