"""The one table of scalar functions: name, value, derivative, lowering to LLVM, LaTeX.

In: nothing.  Out: `SCALAR_FUNCTIONS`, read by the elaborator (names), gradient.py (derivatives), llvm.py (lowering) and the
printers (LaTeX).  Adding an activation does not touch this table: `function swish(z) = z * sigmoid(z)` is a line of .dln.

    SCALAR_FUNCTIONS["tanh"].derivatives[0](x, y)   →   1 − y·y      (y stands for tanh(x))

A derivative rule gets the arguments and, last, the output itself, so that the backward pass can use the stored value.
`lowering` is an LLVM opcode for reals and one for integers; '@exp' names a vector function of vector_math.py and
'llvm.sqrt' an intrinsic; '' means that llvm.py builds it from several instructions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..record import record
from .expression import Expression, apply, real, select
from .values import VALUES

Rule = Callable[..., Expression]


@record
class ScalarFunction:
    """One row. `derivatives` has a rule per argument, or None where the function is flat or not differentiable there.

    `latex` is a format with the arguments {0}, {1}, …  `public` says whether a .dln file may call it by this name.
    """

    name: str
    arity: int
    value: Callable[..., Any]
    derivatives: tuple[Rule | None, ...]
    lowering: tuple[str, str]
    latex: str
    public: bool = True


def _call(name: str) -> Callable[..., Expression]:
    return lambda *arguments: apply(name, *arguments)


exp, log, sqrt, sin, cos = (_call(n) for n in ("exp", "log", "sqrt", "sin", "cos"))
_ONE, _ZERO = real(1), real(0)

# fmt: off
_ROWS = (
    # name, arity, value, derivatives, (real, integer) lowering, LaTeX, public
    ScalarFunction("+", 2, VALUES["+"], (lambda a, b, y: _ONE, lambda a, b, y: _ONE), ("fadd", "add"), "{0} + {1}", False),
    ScalarFunction("-", 2, VALUES["-"], (lambda a, b, y: _ONE, lambda a, b, y: real(-1)), ("fsub", "sub"), "{0} - {1}", False),
    ScalarFunction("*", 2, VALUES["*"], (lambda a, b, y: b, lambda a, b, y: a), ("fmul", "mul"), r"{0} \, {1}", False),
    ScalarFunction("/", 2, VALUES["/"], (lambda a, b, y: 1 / b, lambda a, b, y: -y / b), ("fdiv", ""), r"\frac{{{0}}}{{{1}}}", False),
    ScalarFunction("^", 2, VALUES["^"],
        (lambda a, b, y: b * apply("^", a, b - 1), lambda a, b, y: select(apply(">", a, 0), y * log(a), 0)), ("@pow", ""), "{{{0}}}^{{{1}}}", False),
    ScalarFunction("neg", 1, VALUES["neg"], (lambda x, y: real(-1),), ("fneg", ""), "-{0}", False),
    ScalarFunction("abs", 1, VALUES["abs"], (lambda x, y: select(apply(">", x, 0), 1, select(apply("<", x, 0), -1, 0)),), ("llvm.fabs", "llvm.abs"), r"\left|{0}\right|"),
    # The output is larger than b exactly where a > b, so the rule needs only the stored output (and 0 for a ReLU); a tie goes to b.
    ScalarFunction("max", 2, VALUES["max"],
        (lambda a, b, y: select(apply(">", y, b), 1, 0), lambda a, b, y: select(apply(">", y, b), 0, 1)), ("", ""), r"\max({0}, {1})"),
    ScalarFunction("min", 2, VALUES["min"],
        (lambda a, b, y: select(apply("<", y, b), 1, 0), lambda a, b, y: select(apply("<", y, b), 0, 1)), ("", ""), r"\min({0}, {1})"),
    ScalarFunction("exp", 1, VALUES["exp"], (lambda x, y: y,), ("@exp", ""), r"\exp({0})"),
    ScalarFunction("expm1", 1, VALUES["expm1"], (lambda x, y: y + 1,), ("@expm1", ""), r"\left(\exp({0}) - 1\right)"),
    ScalarFunction("log", 1, VALUES["log"], (lambda x, y: 1 / x,), ("@log", ""), r"\log({0})"),
    ScalarFunction("log1p", 1, VALUES["log1p"], (lambda x, y: 1 / (1 + x),), ("@log1p", ""), r"\log(1 + {0})"),
    ScalarFunction("sqrt", 1, VALUES["sqrt"], (lambda x, y: 0.5 / y,), ("llvm.sqrt", ""), r"\sqrt{{{0}}}"),
    ScalarFunction("sin", 1, VALUES["sin"], (lambda x, y: cos(x),), ("@sin", ""), r"\sin({0})"),
    ScalarFunction("cos", 1, VALUES["cos"], (lambda x, y: -sin(x),), ("@cos", ""), r"\cos({0})"),
    ScalarFunction("tanh", 1, VALUES["tanh"], (lambda x, y: 1 - y * y,), ("@tanh", ""), r"\tanh({0})"),
    ScalarFunction("sigmoid", 1, VALUES["sigmoid"], (lambda x, y: y * (1 - y),), ("@sigmoid", ""), r"\sigma({0})"),
    ScalarFunction("erf", 1, VALUES["erf"], (lambda x, y: (2 / math.sqrt(math.pi)) * exp(-(x * x)),), ("@erf", ""), r"\operatorname{{erf}}({0})"),
    ScalarFunction("floor", 1, VALUES["floor"], (None,), ("llvm.floor", ""), r"\left\lfloor {0} \right\rfloor"),
    ScalarFunction("sign", 1, VALUES["sign"], (None,), ("", ""), r"\operatorname{{sign}}({0})"),
    # The value passes, the gradient does not.
    ScalarFunction("stop_gradient", 1, VALUES["stop_gradient"], (None,), ("", ""), r"\operatorname{{stop}}({0})"),
    ScalarFunction("select", 3, VALUES["select"], (None, lambda c, a, b, y: select(c, 1, 0), lambda c, a, b, y: select(c, 0, 1)), ("", ""),
        r"\left({1} \text{{ if }} {0} \text{{ else }} {2}\right)", False),
    ScalarFunction("real", 1, VALUES["real"], (None,), ("", ""), "{0}", False),
    ScalarFunction("div", 2, VALUES["div"], (None, None), ("", ""), r"\left\lfloor {0} / {1} \right\rfloor", False),
    ScalarFunction("mod", 2, VALUES["mod"], (None, None), ("", ""), r"({0} \bmod {1})", False),
    ScalarFunction("<", 2, VALUES["<"], (None, None), ("fcmp olt", "icmp slt"), "{0} < {1}", False),
    ScalarFunction("<=", 2, VALUES["<="], (None, None), ("fcmp ole", "icmp sle"), r"{0} \le {1}", False),
    ScalarFunction(">", 2, VALUES[">"], (None, None), ("fcmp ogt", "icmp sgt"), "{0} > {1}", False),
    ScalarFunction(">=", 2, VALUES[">="], (None, None), ("fcmp oge", "icmp sge"), r"{0} \ge {1}", False),
    ScalarFunction("==", 2, VALUES["=="], (None, None), ("fcmp oeq", "icmp eq"), "{0} = {1}", False),
    ScalarFunction("!=", 2, VALUES["!="], (None, None), ("fcmp une", "icmp ne"), r"{0} \ne {1}", False),
    ScalarFunction("and", 2, VALUES["and"], (None, None), ("and", "and"), r"{0} \wedge {1}", False),
    ScalarFunction("or", 2, VALUES["or"], (None, None), ("or", "or"), r"{0} \vee {1}", False),
    # A random number between 0 and 1 that belongs to (seed, number of the draw, step, first sample, index point): threefry.py.
    ScalarFunction("random", 5, VALUES["random"], (None,) * 5, ("@random", ""), r"\operatorname{{random}}", False),
    ScalarFunction("random2", 5, VALUES["random2"], (None,) * 5, ("@random2", ""), r"\operatorname{{random}}'", False),
    ScalarFunction("not", 1, VALUES["not"], (None,), ("", ""), r"\neg {0}", False),
)
# fmt: on

SCALAR_FUNCTIONS: dict[str, ScalarFunction] = {row.name: row for row in _ROWS}
