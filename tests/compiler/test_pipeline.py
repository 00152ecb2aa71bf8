"""The way from text to machine code: what it leaves behind in the process."""

from __future__ import annotations

import gc

import pytest
from dln.compiler.pipeline import compile_network, front_text
from dln.compiler.source import DiagnosticError


@pytest.mark.parametrize("enabled", [True, False])
def test_the_search_for_garbage_is_as_it_was_before(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        compile_network(front_text("input x[2]\nlayer h[2] = tanh(dense(x))\n"), capacity=4)
        assert gc.isenabled() is enabled
        with pytest.raises(DiagnosticError):
            front_text("layer h[2] = nothing(x)\n")
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
