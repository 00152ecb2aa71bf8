"""What the parts of the evaluator share: the reporter, the sizes, the tables and the work that is still to do.

In: nothing.  Out: `ElaborationState`, the base of every part of `Evaluator`, and the limits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .. import syntax
from ..mathematics.expression import Expression
from ..source import Note, Span
from .context import Context
from .report import Reporter
from .sizes import Sizes
from .tables import StaticTable
from .targets import Instance, Slot, Unit

#: Levels of expressions within expressions, inlined functions included.
LEVEL_LIMIT = 500
#: Blocks within blocks.
NESTING_LIMIT = 64
#: Uses of blocks in one file.
INSTANCE_LIMIT = 10_000
#: Expressions that are read in one file, inlined functions counted each time.
STEP_LIMIT = 300_000


class ElaborationState:
    """Shared by all parts of the evaluator."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.sizes = Sizes()
        self.units: list[Unit] = []
        self.slots: list[Slot] = []
        self.tables: list[StaticTable] = []
        self.table_cache: dict[Any, StaticTable | None] = {}
        self.instances = 0
        self.draws = 0
        self.steps = 0
        self.level = 0
        self.exhausted = False
        self.queue: deque[Instance] = deque()
        #: Updates happen in every run (in an optimizer), not only while training (in a network).
        self.always_updates = False
        self.inlined: dict[Any, Expression] = {}
        self.folders: dict[str, Path] = {}

    def error(
        self,
        ctx: Context,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        notes: Sequence[Note] = (),
        help: str = "",
    ) -> None:
        """Report a mistake at a place of the file, or at the call that led into a block."""
        self.reporter.error(code, message, span, label, notes, help, ctx.calls)

    def complain(self, ctx: Context) -> Callable[..., None]:
        """`error` at this context, for functions that know nothing of it."""
        return partial(self.error, ctx)

    def evaluate(self, node: syntax.Expression, ctx: Context) -> Expression:
        """Read an expression: the one door to all parts."""
        raise NotImplementedError
