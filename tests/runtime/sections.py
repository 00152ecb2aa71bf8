"""Stand-ins for elaborated networks: data sections in real syntax over inputs that are declared here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dln.compiler import syntax
from dln.compiler.mathematics.graph import Array, Graph
from dln.compiler.parse import parse
from dln.compiler.source import Source


def section(text: str, inputs: dict[str, tuple[tuple[int, ...], int | None]], **parameters: Any) -> Any:
    """A network whose file has this text; inputs: name → (extents, classes or None)."""
    module = parse(Source("test.dln", text))
    declarations = module.declarations
    arrays = {
        name: Array(name, "input", extents, True, "real" if classes is None else "integer", classes)
        for name, (extents, classes) in inputs.items()
    }
    return SimpleNamespace(
        graph=Graph("test", arrays),
        module=module,
        parameters=parameters,
        data=next((d for d in declarations if isinstance(d, syntax.DataDeclaration)), None),
        train=next((d for d in declarations if isinstance(d, syntax.TrainDeclaration)), None),
        evaluate_number=lambda e: e.value if isinstance(e, syntax.Number) else parameters[e.name],
    )
