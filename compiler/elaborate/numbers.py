"""Numbers in settings: expressions over params and scalar functions, known when a file is compiled.

In: an elaborated network, the tree of an expression.  Out: its value.

    number_of(network, parse_expression("2 * width"))     →   128
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import syntax
from ..mathematics.expression import Constant
from .context import Context, Positions
from .modules import prelude
from .report import Reporter
from .resolve import Resolver
from .targets import Instance, Site
from .terms import contains_poison

if TYPE_CHECKING:
    from .elaborated import Network


def number_of(network: Network, expression: syntax.Expression) -> int | float:
    """The value of an expression over numbers, params and scalar functions. Raises DiagnosticError."""
    reporter = Reporter()
    resolver = Resolver(reporter)
    instance = Instance(scope=network.scope or prelude())
    site = Site("", instance)
    ctx = Context(instance.scope, site, Positions([], purpose="a setting"), instance)
    value = resolver.static_value(expression, ctx)
    if not contains_poison(value) and (not isinstance(value, Constant) or value.type == "boolean"):
        reporter.error("E308", "a number is needed here, known when compiled", expression.span)
    reporter.finish()
    assert isinstance(value, Constant)
    return value.value
