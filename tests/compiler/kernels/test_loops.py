"""The loop IR: placement out of loops, sharing, the printer, and a verifier that notices what is wrong."""

import pytest
from dln.compiler.kernels.loop_builder import Builder
from dln.compiler.kernels.loops import LoopError, Store, Value, show, verify

from ..running import machine_code


def sum_of_squares():
    """Σ x[i]² over begin … end, times 2, stored in y."""
    builder = Builder(["x", "y"])
    x, y = builder.buffers
    i, (total,) = builder.open_loop(builder.begin, builder.end, 1, [builder.constant(0.0, "f32")])
    pointer = builder.emit("address", (x, builder.multiply(i, builder.integer(4))), "ptr")
    value = builder.emit("load", (pointer,), "f32")
    two = builder.emit("fadd", (builder.constant(1.0, "f32"), builder.constant(1.0, "f32")), "f32")
    again = builder.emit("load", (pointer,), "f32")
    assert again is value
    assert two.scope.depth == 0, "what does not depend on the loop stands in front of it"
    (total,) = builder.close([builder.emit("fma", (value, value, total), "f32")])
    builder.store(Store(y, builder.emit("fmul", (total, two), "f32")))
    return builder.function("sum_of_squares")


def test_show():
    assert show(sum_of_squares()) == (
        "function sum_of_squares(%x: ptr, %y: ptr, %valid: i64, %time: i64, %begin: i64, %end: i64)\n"
        "  %0 = fadd 1.0 1.0 : f32\n"
        "  loop %1 = %begin to %end step 1 carries [%2] from [0.0]\n"
        "    %3 = mul %1 4 : i64\n"
        "    %4 = address %x %3 : ptr\n"
        "    %5 = load %4 : f32\n"
        "    %6 = fma %5 %5 %2 : f32\n"
        "  gives [%7] from [%6]\n"
        "  %8 = fmul %7 %0 : f32\n"
        "  store %8 to %y\n"
    )


def test_verify():
    function = sum_of_squares()
    verify(function)
    function.body.reverse()
    with pytest.raises(LoopError, match="before it is defined"):
        verify(function)


def test_verify_types():
    builder = Builder(["x"])
    one = builder.constant(1.0, "f32")
    builder.emit("fadd", (one, builder.constant(1.0, "f64")), "f32")
    with pytest.raises(LoopError, match="fadd"):
        verify(builder.function("wrong"))


def test_a_loop_that_runs_once_is_no_loop():
    builder = Builder([])
    variable, carried = builder.open_loop(builder.integer(3), builder.integer(4), 1, [builder.begin])
    assert variable is builder.integer(3) and carried == [builder.begin]
    assert builder.close([builder.end]) == [builder.end]
    assert builder.function("once").body == []


def test_unsafe_loads_stay_under_their_condition():
    builder = Builder(["x"])
    holds = builder.emit("icmp", (builder.begin, builder.end), "i1", 1, "slt")
    (kept,) = builder.open_branch(holds, [builder.constant(0.0, "f32")])
    pinned = builder.emit("load", (builder.buffers[0],), "f32", pinned=True)
    free = builder.emit("load", (builder.buffers[0],), "f32")
    assert pinned.scope.depth == 1 and free.scope.depth == 0
    (result,) = builder.close([pinned])
    builder.store(Store(builder.buffers[0], result))
    assert isinstance(kept, Value)
    verify(builder.function("branch"))


def test_integers_are_folded():
    builder = Builder([])
    seven = builder.add(builder.integer(3), builder.multiply(builder.integer(2), builder.integer(2)))
    assert seven is builder.integer(7)
    assert builder.add(builder.begin, builder.integer(0)) is builder.begin
    assert builder.subtract(builder.begin, builder.begin) is builder.integer(0)
    assert builder.minimum(builder.integer(2), builder.integer(5)) is builder.integer(2)
    assert builder.constant(0.0, "f32") is not builder.constant(-0.0, "f32")


def test_the_text_is_accepted_by_llvm():
    from dln.compiler.kernels.llvm import print_function

    machine_code(print_function(sum_of_squares()))
