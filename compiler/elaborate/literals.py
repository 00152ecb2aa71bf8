"""Tables and inline arrays in expressions.

In: `[0, 1, 0, 0][gate]`, `[[0, 1], [2, 3]]`, `table "lattice.csv"`.  Out: `StaticTable`s, and accesses of them.

Rows that differ in length, and entries that are not known when compiled, are reported with both places.
"""

from __future__ import annotations

import math
from typing import Any

from .. import syntax
from ..mathematics.expression import Constant, Expression, integer
from ..source import DiagnosticError, Note, Span
from . import messages
from .context import Context
from .names import Names
from .tables import ENTRY_LIMIT, StaticTable, read_table, regular
from .terms import POISON, Index, TableAccess, contains_poison, is_poison


class Literals(Names):
    """How tables are read. Part of `Evaluator`."""

    def table_of(
        self, node: syntax.ArrayLiteral | syntax.TableFile, ctx: Context, label: str
    ) -> StaticTable | None:
        """The table that a literal or a file holds, read once; None after a message."""
        key: Any = (
            (id(node), ctx.scope)
            if isinstance(node, syntax.ArrayLiteral)
            else (node.path, node.span.source.path)
        )
        if key not in self.table_cache:
            is_file = isinstance(node, syntax.TableFile)
            table = self._file(node, ctx) if is_file else self._literal(node, ctx, label)  # type: ignore[arg-type]
            self.table_cache[key] = table
            if table is not None:
                self.tables.append(table)
        return self.table_cache[key]

    def _file(self, node: syntax.TableFile, ctx: Context) -> StaticTable | None:
        folder = self.folders.get(node.span.source.path)
        if folder is None:
            self.error(
                ctx, "E402", "a table is read from the folder of a file, and this text has none", node.span
            )
            return None
        try:
            return read_table(folder, node.path, node.span)
        except DiagnosticError as problem:
            for d in problem.diagnostics:
                self.error(ctx, d.code, d.message, d.span, d.label, d.notes, d.help)
            return None

    def _literal(self, root: syntax.ArrayLiteral, ctx: Context, label: str) -> StaticTable | None:
        numbers: list[int | float] = []
        lengths: list[tuple[int, Span]] = []
        stack: list[tuple[syntax.Expression, int]] = [(root, 0)]
        depth: tuple[int, Span] | None = None
        while stack:
            node, level = stack.pop()
            if isinstance(node, syntax.ArrayLiteral):
                if level == len(lengths):
                    lengths.append((len(node.elements), node.span))
                elif len(node.elements) != lengths[level][0]:
                    self._ragged(ctx, len(node.elements), node.span, *lengths[level])
                    return None
                stack.extend((e, level + 1) for e in reversed(node.elements))
                continue
            if depth is None:
                depth = (level, node.span)
            if level != depth[0]:
                self.error(
                    ctx,
                    "E403",
                    "numbers and rows are mixed in this table",
                    node.span,
                    "a number here",
                    [Note(depth[1], "another depth here")],
                )
                return None
            number = self._entry(node, ctx)
            if number is None:
                return None
            numbers.append(number)
            if len(numbers) > ENTRY_LIMIT:
                self.error(
                    ctx,
                    "E405",
                    f"a table in the text has at most {ENTRY_LIMIT:,} entries",
                    root.span,
                    help="use a CSV file",
                )
                return None
        if depth is None or depth[0] != len(lengths):
            self.error(ctx, "E403", "numbers and rows are mixed in this table", root.span)
            return None
        return regular(numbers, tuple(n for n, _ in lengths), label, root.span)

    def _ragged(self, ctx: Context, count: int, span: Span, first: int, place: Span) -> None:
        self.error(
            ctx,
            "E403",
            f"this row has {messages.counted(count, 'entry')}, the first has {first}",
            span,
            messages.counted(count, "entry"),
            [Note(place, f"{messages.counted(first, 'entry')} here")],
            "every row of a table has as many entries as the first",
        )

    def _entry(self, node: syntax.Expression, ctx: Context) -> int | float | None:
        """One number of a table."""
        match node:
            case syntax.Number(value=value):
                return value
            case syntax.Unary(operator="-", operand=syntax.Number(value=value)):
                return -value
        term = self.evaluate(node, self.scalar_context(ctx, "an entry of a table"))
        if contains_poison(term):
            return None
        found = self.sizes.reduced(term)
        if not isinstance(found, Constant) or found.type == "boolean" or not math.isfinite(found.value):
            self.error(ctx, "E308", "the entries of a table must be known when compiled", node.span)
            return None
        return found.value

    # ------------------------------------------------------------------------------------------ accesses

    def whole_table(self, node: syntax.ArrayLiteral | syntax.TableFile, ctx: Context) -> Expression:
        """A table without subscripts: an array at the positions of the declaration."""
        table = self.table_of(node, ctx, "array")
        if table is None:
            return POISON
        sizes: list[Expression] = [integer(n) for n in table.values.shape]
        indices = self.take(ctx, sizes, node.span, None)
        return (
            POISON
            if indices is None
            else TableAccess(table, tuple(indices), None, node.span, (), ctx.calls, table.type)
        )

    def table_access(
        self,
        table: StaticTable,
        subscripts: tuple[Expression, ...],
        otherwise: Expression | None,
        span: Span,
        places: tuple[Span, ...],
        ctx: Context,
    ) -> Expression:
        """The entry of a table at subscripts. Indices that stand alone learn their extent from its shape."""
        if is_poison(*subscripts):
            return POISON
        shape = table.values.shape
        if len(shape) == 2 and len(subscripts) == 1 and 1 in shape:
            table = self._flat(table)
            shape = table.values.shape
        if len(shape) != len(subscripts):
            text = " × ".join(str(n) for n in shape)
            self.error(
                ctx,
                "E202",
                f"the table has {messages.counted(len(shape), 'axis')} ({text}), "
                f"but {messages.are_given(len(subscripts), 'subscript')}",
                span,
                notes=[] if table.span == span else [Note(table.span, f"{text} entries here")],
            )
            return POISON
        for n, subscript in enumerate(subscripts):
            if isinstance(subscript, Index):
                self.candidate(
                    subscript, integer(shape[n]), places[n] if places else span, "from the table", ctx
                )
        return TableAccess(table, subscripts, otherwise, span, places, ctx.calls, table.type)

    def _flat(self, table: StaticTable) -> StaticTable:
        """A single row or column as a table with one axis."""
        key = ("flat", id(table))
        if key not in self.table_cache:
            flat = StaticTable(table.values.reshape(-1), table.label, table.span)
            self.tables.append(flat)
            self.table_cache[key] = flat
        found = self.table_cache[key]
        assert found is not None
        return found
