"""Recurrences: which axis is time, what a step computes, what is refused; and time loops against brute force."""

import numpy as np
import pytest
from dln.compiler.kernels.program import Call, TimeLoop
from dln.compiler.mathematics.expression import BATCH, Load, apply, at_most, select
from dln.compiler.mathematics.graph import Family
from dln.compiler.passes.order import recurrent
from dln.compiler.passes.recurrence import RecurrenceError, check, find, in_steps, recurrences
from dln.compiler.schedule.schedule import lower

from ..graphs import axes, real_input, start, weight
from ..lowered import PASSES, compare, prepared
from ..recurrent_graphs import RECURRENT, gated, grid, history, mutual, simple, turned
from ..running import Runner, VectorMachine

# ------------------------------------------------------------------------------------------------------- structure


def only(graph):
    (found,) = recurrences(graph)
    return found


def test_a_simple_loop():
    found = only(simple(steps=5))
    assert {name: axis.name for name, axis in found.axes.items()} == {"h.sum": "t", "h": "t"}
    assert (found.extent, found.reverse, found.steps) == (5, False, ("h.sum", "h"))
    assert only(simple(delay=2)).reverse


def test_time_may_stand_anywhere():
    assert {n: a.name for n, a in only(mutual()).axes.items()} == {
        "p.sum": "t",
        "p": "t",
        "q.sum": "s",
        "q": "s",
    }
    assert only(mutual()).steps == ("q.sum", "q", "p.sum", "p")
    assert only(gated()).steps == ("a.sum", "a", "h")


def test_a_loop_within_a_loop():
    found = only(grid())
    (inner,) = found.steps
    assert (found.extent, inner.extent, inner.steps) == (4, 3, ("h",))
    assert (found.axes["h"].name, inner.axes["h"].name, found.members) == ("y", "z", ["h"])


def test_one_loop_where_one_axis_is_enough():
    """Both neighbours of the row above: rows are time, although columns are read at other places too."""
    graph = start(real_input("x", 4, 3))
    y, z = axes("yz", 4, 3)
    parts = [
        select(at_most(0, y - 1), Load("h", (BATCH, y - 1, apply("max", apply("min", z + d, 2), 0))), 0.0)
        for d in (-1, 1)
    ]
    graph.add(Family("h", (BATCH, y, z), parts[0] + parts[1]))
    assert only(graph).steps == ("h",)
    assert only(graph).axes["h"] == y


def test_every_earlier_step_is_delayed():
    assert only(history()).steps == ("h.sum", "h")
    assert not only(history()).reverse


def test_the_derivative_runs_the_other_way():
    for name in RECURRENT:
        there = only(RECURRENT[name]())
        both = recurrences(prepared(RECURRENT[name]()))
        assert len(both) == 2, name
        assert [there.reverse, not there.reverse] == [r.reverse for r in both], name


def test_what_does_not_depend_on_the_recurrence_is_outside():
    """x's projection before the loop, the weights' gradients after it, each as one sum over all steps."""
    graph = prepared(RECURRENT["simple"]())
    inside = {m for r in recurrences(graph) for m in r.members}
    assert "∂U" not in inside
    assert BATCH in graph.families["∂U"].reduction.axes and len(graph.families["∂U"].reduction.axes) == 2


def test_steps_are_in_order():
    graph, found = in_steps(mutual())
    names = list(graph.families)
    assert [n for n in names if n in found[0].axes] == found[0].members


def family(graph, name, own, *reads):
    graph.add(Family(name, own, sum((Load(n, s) for n, s in reads[1:]), Load(*reads[0]))))


def refused(graph):
    (component,) = recurrent(graph)
    with pytest.raises(RecurrenceError) as error:
        find(graph, component)
    (diagnostic,) = check(graph)
    assert diagnostic.message == str(error.value)
    return str(error.value)


def test_a_cycle_without_delay_is_shown():
    graph = start(real_input("x", 4))
    t, s = axes("ts", 4, 4)
    family(graph, "a", (BATCH, t), ("b", (BATCH, t)))
    family(graph, "b", (BATCH, s), ("a", (BATCH, s)))
    assert "a → b → a" in refused(graph)


def test_both_directions_are_refused():
    graph = start(real_input("x", 4))
    (t,) = axes("t", 4)
    family(graph, "h", (BATCH, t), ("h", (BATCH, t - 1)), ("h", (BATCH, t + 1)))
    assert "before" in refused(graph) and "after" in refused(graph)


def test_different_extents_are_refused():
    graph = start(real_input("x", 4))
    t, s = axes("ts", 4, 3)
    family(graph, "a", (BATCH, t), ("b", (BATCH, t - 1)))
    family(graph, "b", (BATCH, s), ("a", (BATCH, s)))
    assert "4 steps" in refused(graph) and "other 3" in refused(graph)


def test_a_distance_that_changes_is_refused():
    graph = start(real_input("x", 4))
    (t,) = axes("t", 4)
    family(graph, "h", (BATCH, t), ("h", (BATCH, apply("div", t, 2))))
    assert "not a constant distance" in refused(graph)


# -------------------------------------------------------------------------------------------------------- programs


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize(("capacity", "samples"), [(1, 1), (4, 3), (16, 16), (32, 13)])
def test_against_brute_force(name, capacity, samples):
    compare(prepared(RECURRENT[name]()), capacity, samples, "float32", VectorMachine())


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize(
    ("precision", "bits", "threads"), [("float64", 512, 1), ("float64", 128, 3), ("float32", 256, 3)]
)
def test_precisions_and_widths(name, precision, bits, threads):
    compare(prepared(RECURRENT[name]()), 20, 18, precision, VectorMachine(bits, 16), threads)


@pytest.mark.parametrize("name", RECURRENT)
def test_bits_do_not_depend_on_threads(name):
    graph = prepared(RECURRENT[name]())
    blocks = [compare(graph, 32, 29, "float32", VectorMachine(), t).memory.tobytes() for t in (1, 2, 5)]
    assert blocks[0] == blocks[1] == blocks[2]


def test_the_text_does_not_grow_with_time():
    def text(steps):
        graph = simple(steps=steps)
        for step in PASSES:
            graph = step(graph)
        program = lower(graph, capacity=16, target=VectorMachine())
        return sum(len(k.text) for k in program.kernels.values()), program

    short, _ = text(50)
    long, program = text(5000)
    assert long < 1.5 * short  # a register tile may be another
    loops = [c for c in program.routines["gradient"].calls if isinstance(c, TimeLoop)]
    assert [(loop.extent, loop.reverse) for loop in loops] == [(5000, False), (5000, True)]


def test_one_step_lies_together():
    """Time is outermost in memory, whatever the order of the axes."""
    program = lower(gated(), capacity=16, target=VectorMachine())
    place = program.placements["h"]
    assert place.strides[1] == max(place.strides)


def test_what_no_other_step_reads_has_memory_for_one():
    program = lower(turned(), capacity=16, target=VectorMachine())
    assert program.placements["a"].strides[2] == 0  # gates before time; h reads them in the same step
    program = lower(gated(), capacity=16, target=VectorMachine())
    assert "a" not in program.placements  # h reads no gate but those of its own unit: they stay in registers
    program = lower(prepared(RECURRENT["gated"]()), capacity=16, target=VectorMachine())
    assert program.placements["h"].strides[1] > 0  # the next step reads it


def test_every_step_begins_with_a_barrier():
    program = lower(prepared(RECURRENT["gated"]()), capacity=16, target=VectorMachine())
    for loop in program.routines["gradient"].calls:
        if isinstance(loop, TimeLoop):
            assert isinstance(loop.body[0], Call) and loop.body[0].barrier


def test_an_update_reads_the_last_step():
    """A state that carries the last step over to the next minibatch: h0 ← h[T − 1] averaged over the batch."""
    graph = start(weight("c", 3), real_input("x", 4, 3))
    graph.arrays["h0"] = weight("h0", 3)
    t, j, i = axes("tji", 4, 3, 3)
    before = select(at_most(0, t - 1), Load("h", (t - 1, j)), Load("h0", (j,)))
    graph.add(Family("h", (t, j), apply("sin", before + Load("c", (j,)))))
    graph.add(Family("h0'", (i,), Load("h", (0 * i + 3, i)), role="update"))
    graph.updates = {"h0": "h0'"}
    runner = Runner(lower(graph, capacity=1, precision="float64", target=VectorMachine()))
    c, value = np.arange(3.0), np.ones(3)
    runner.set("c", c)
    runner.set("h0", value)
    for _ in range(2):
        runner.run("train", 1)
        for _ in range(4):
            value = np.sin(value + c)
        np.testing.assert_allclose(runner.get("h0"), value, rtol=1e-12)
