"""Elementary functions of whole vectors, as LLVM text: exp expm1 log log1p sin cos tanh sigmoid erf pow, and random numbers.

In: names such as `dln_exp_v16f32` (function, lanes, precision; `dln_exp_v1f32` works on plain floats).  Out: their
definitions, which native.py appends to a module.

    definitions({"dln_exp_v16f32"})  →  "define internal <16 x float> @dln_exp_v16f32(<16 x float> %x) alwaysinline …"

No function branches on a lane (J.-M. Muller, Elementary Functions, 3rd edition, 2016, is the source of most methods). Special
values follow C99, Annex F, and NumPy. Errors over the full range, in units in the last place: at most 2 in float32 and 4 in
float64 (tests/compiler/machine/test_vector_math.py). The bits depend on neither the number of lanes nor the machine:
vector_text.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from . import vector_exponential as exponential
from .vector_format import DOUBLE, SINGLE, Format
from .vector_power import power
from .vector_random import ARGUMENTS, random
from .vector_text import LaneText, Value
from .vector_trigonometry import REDUCTION, cosine, sine

# name: (formula, whether it is inlined into the kernels; long ones are called)
_ONE_ARGUMENT: dict[str, tuple[Callable[[LaneText, Value, Format], Value], bool]] = {
    "exp": (exponential.exp, True),
    "expm1": (exponential.expm1, True),
    "log": (exponential.log, True),
    "log1p": (exponential.log1p, True),
    "tanh": (exponential.tanh, True),
    "sigmoid": (exponential.sigmoid, True),
    "erf": (exponential.erf, True),
    "sin": (sine, False),
    "cos": (cosine, False),
}
FUNCTIONS = (*_ONE_ARGUMENT, "pow")
#: Functions of words, not of real numbers: which word of a pair they give.
RANDOM = {"random": 0, "random2": 1}
_NAME = re.compile(r"dln_([a-z0-9]+)_v(\d+)f(32|64)")


def function_name(function: str, lanes: int, precision: str) -> str:
    """`exp`, 16, "float32" → `dln_exp_v16f32`."""
    return f"dln_{function}_v{lanes}f{'32' if precision == 'float32' else '64'}"


def definitions(names: Iterable[str]) -> str:
    """LLVM definitions of the functions of these names, and of what they call. Other names raise ValueError."""
    parts: dict[str, str] = {}
    for name in sorted(set(names)):
        match = _NAME.fullmatch(name)
        if match is None or match[1] not in (*FUNCTIONS, *RANDOM) or int(match[2]) < 1:
            raise ValueError(f"no vector function is called '{name}'")
        function, f = match[1], SINGLE if match[3] == "32" else DOUBLE
        t = LaneText(int(match[2]))
        x, y = t.argument("x", f.element), t.argument("y", f.element)
        if function in RANDOM:
            words = [t.argument(word, "i32") for word in ARGUMENTS]
            t.define(name, words, random(t, words, f, RANDOM[function]), inline=True)
        elif function == "pow":
            t.define(name, [x, y], power(t, x, y, f), inline=f is SINGLE)
        else:
            formula, inline = _ONE_ARGUMENT[function]
            t.define(name, [x], formula(t, x, f), inline)
            if function in ("sin", "cos"):
                parts["reduction"] = REDUCTION
        parts[name] = t.definition
    return "\n".join(parts.values())


def functions(names: Iterable[str], lanes: int, precision: str) -> str:
    """Definitions of functions by their mathematical names, for one width and precision."""
    return definitions(function_name(name, lanes, precision) for name in names)
