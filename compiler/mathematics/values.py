"""The values of the scalar functions, in NumPy: what the rows of scalar.py hold, and what folds constants.

In: numbers or arrays.  Out: numbers or arrays.

    VALUES["tanh"](0.5)                              →   0.46211715726000973
    evaluate_constant("div", [7, 2], "integer")      →   3
"""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from .threefry import uniform


def _sigmoid(x: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x)))


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[np.result_type(x, np.float32)])(x)


VALUES: Mapping[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "^": np.power,
    "neg": np.negative,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "floor": np.floor,
    "sign": np.sign,
    "stop_gradient": np.asarray,
    "select": np.where,
    "real": np.asarray,
    "div": np.floor_divide,
    "mod": np.mod,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "random": uniform,
    "random2": functools.partial(uniform, word=1),
    "not": np.logical_not,
}

#: Python integers never overflow.
_EXACT: Mapping[str, Callable[..., int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "div": operator.floordiv, "mod": operator.mod,
    "neg": operator.neg, "abs": abs, "min": min, "max": max,
}  # fmt: skip


def evaluate_constant(
    function: str, values: list[Any], kind: Literal["real", "integer", "boolean"]
) -> int | float | bool | None:
    """The value of a function of constants in double precision; None where it should be left to run time (errors, NaN)."""
    if function not in VALUES or function in ("stop_gradient", "random", "random2"):
        return None
    if function in ("div", "mod", "/") and values[1] == 0:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if kind == "integer":
            return _EXACT[function](*values) if function in _EXACT else None
        result = VALUES[function](*[np.float64(v) if not isinstance(v, bool) else v for v in values])
    if kind == "boolean":
        return bool(result)
    return float(result) if math.isfinite(result) else None
