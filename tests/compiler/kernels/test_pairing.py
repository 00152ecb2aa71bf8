"""Calls of elementary functions in pairs: the same bits, and what may not be paired."""

import dataclasses

import numpy as np
import pytest
from dln.compiler.kernels.contraction import generate
from dln.compiler.kernels.loop_builder import Builder
from dln.compiler.kernels.loops import Store, show, verify
from dln.compiler.kernels.nest import Result, total
from dln.compiler.kernels.pairing import pair_calls
from dln.compiler.kernels.plan import Plan
from dln.compiler.mathematics.expression import Apply

from .test_tiling import dense, run


def with_function(name):
    """dense, and a function of its result."""
    nest = dense(30, 40, 16)
    value = Apply(name, (total("real"),), "real")
    return dataclasses.replace(nest, results=(Result(2, nest.results[0].offset, value),))


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "expm1"])
def test_pairs_give_the_bits_of_single_calls(name):
    nest = with_function(name)
    single = Plan(nest.axes, 2, (1, 8), nest.reduced, nest.axes[1], 8)
    pairs = dataclasses.replace(single, tile=(5, 16))
    text = show(generate(nest, pairs, "kernel"))
    assert text.count(f"[dln_{name}_v16f32]") == 5 and f"[dln_{name}_v8f32]" not in text
    assert f"[dln_{name}_v8f32]" in show(generate(nest, single, "kernel"))
    np.testing.assert_array_equal(run(nest, pairs)[0], run(nest, single)[0])


def test_what_is_required_follows_the_pairs():
    nest = with_function("exp")
    function = generate(nest, Plan(nest.axes, 2, (3, 8), nest.reduced, nest.axes[1], 8), "kernel")
    assert function.requires == {"dln_exp_v16f32", "dln_exp_v8f32"}  # three vectors: a pair and one
    verify(function)


def test_a_function_of_a_function_is_not_paired_with_it():
    builder = Builder(["x"])
    x = builder.emit("load", (builder.buffers[0],), "f32", 8)
    once = builder.emit("call", (x,), "f32", 8, "dln_exp_v8f32")
    twice = builder.emit("call", (once,), "f32", 8, "dln_exp_v8f32")
    builder.store(Store(builder.buffers[0], twice))
    text = show(pair_calls(builder.function("kernel")))
    assert text.count("[dln_exp_v8f32]") == 2
