"""The way from text to machine code: what it leaves behind in the process."""

from __future__ import annotations

import gc

import pytest
from dln.compiler.pipeline import compile_network, front_text, keeping_all
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


def test_what_is_compiled_counts_as_old_and_what_was_frozen_stays_so() -> None:
    """Python's next search for circles of garbage does not begin with all that a compiler made."""
    assert gc.isenabled() and not gc.get_freeze_count()
    with keeping_all():
        assert not gc.isenabled()
        made = [[n] for n in range(10)]
    assert gc.isenabled() and not gc.get_freeze_count()
    assert any(found is made for found in gc.get_objects(generation=2))
    gc.freeze()
    try:
        with keeping_all():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
