"""The watch sees every entry of every weight and state, and is not deceived by what lies between them."""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.runtime.training.finite_watch import FiniteWatch

FILE = """network watched
input x[3]
state least = 1e300  # infinite in single precision
let   h[5] = dense(x)
layer y[2] = dense(h)
loss  sum[i] y[i]^2
update least <- min(least, average[batch] y[0])
train {
  optimizer adam
  batch 8
}
"""


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:overflow")
def test_every_entry_is_watched(bad):
    execution = dln.compile(FILE)._main
    memory, watch = execution.memory, FiniteWatch(execution)
    assert watch.broken() is None
    assert len(memory.covering(watch.names)) == 2  # before and behind the state that is left out
    assert set(watch.names) == set(execution.kept) - {"least"}  # in single precision it begins with infinity
    assert {"h.w", "h.b", "y.w", "y.b", "h.w.m", "y.b.v"} <= set(watch.names)
    for name in watch.names:
        view = memory.view(name)
        for place in np.ndindex(view.shape):
            before = view[place]
            view[place] = bad
            assert watch.broken() == name
            view[place] = before
    memory.view("h.w")[...] = 1e30  # finite, though its square is not
    assert watch.broken() is None


@pytest.mark.filterwarnings("ignore:overflow")
def test_padding_does_not_matter():
    execution = dln.compile(FILE)._main
    memory, watch = execution.memory, FiniteWatch(execution)
    values = memory.copy_of(execution.kept)
    together = memory.covering(watch.names)
    for some in together:
        some[...] = np.nan
    memory.put_back(values)
    assert all(np.isnan(some).any() for some in together) and watch.broken() is None
