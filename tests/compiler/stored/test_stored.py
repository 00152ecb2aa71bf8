"""Networks and programs on disk: the same network in a later process, and a fresh one wherever something has changed."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dln.compiler import syntax
from dln.compiler.elaborate import Network
from dln.compiler.kernels.program import Call, Program
from dln.compiler.mathematics.expression import BATCH, Constant, Expression, Load, apply, new_axis, real
from dln.compiler.mathematics.graph import Family, Reduction, Table, verify
from dln.compiler.pipeline import Compiled, compile_network, front, front_text
from dln.compiler.printing.equations import forward_equations, gradient_equations
from dln.compiler.source import NOWHERE, DiagnosticError, Source
from dln.compiler.stored import networks
from dln.compiler.stored.plain import CannotStore, Decoder, Encoder

LAYERS = "block twice(x[N]) -> y[N] {\n  let y[i] = 2 * x[i]\n}\n"
SMALL = """network small
import "layers.dln"
param  width = 3
param  size = 8
input  x[4]
input  y: class[2]
weight w[5] ~ normal(0, 0.5)
map    K(i, j) = table "map.csv"
layer  hidden[j: width] = tanh(sum[i] w[K(i, j)] * x[i])
layer  doubled = twice(hidden)
layer  score[2] = dense(doubled)
loss   cross_entropy(score, y)
metric accuracy(score, y)
train {
  optimizer sgd(rate = 0.1)
  batch     size
  epochs    3
}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DLN_CACHE", str(tmp_path / "entries"))
    yield tmp_path / "entries"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "layers.dln").write_text(LAYERS)
    (tmp_path / "map.csv").write_text("0,1,2\n1,2,3\n2,3,4\n3,4,0\n")
    path = tmp_path / "small.dln"
    path.write_text(SMALL)
    return path


def is_stored(network: Network) -> bool:
    return isinstance(network, networks._StoredNetwork)


def is_stored_program(compiled: Compiled) -> bool:
    return isinstance(compiled.program, networks._StoredProgram)


def test_the_same_network_comes_back(file: Path) -> None:
    fresh, again = front(file, {"width": "2"}), front(file, {"width": "2"})
    assert not is_stored(fresh)
    assert is_stored(again)
    assert again.key == fresh.key != ""
    verify(again.graph)
    for equations in (forward_equations, gradient_equations):
        assert [e.text for e in equations(again.graph)] == [e.text for e in equations(fresh.graph)]
    assert again.module == fresh.module
    assert [d.span.text for d in again.module.declarations] == [
        d.span.text for d in fresh.module.declarations
    ]
    assert (again.train, again.data, again.search) == (fresh.train, fresh.data, fresh.search)
    assert (again.parameters, again.sources) == (fresh.parameters, fresh.sources)
    assert again.graph.outputs == fresh.graph.outputs
    (table,) = again.graph.tables.values()
    assert table.values.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0]]
    assert again.evaluate_number(again.train.entries[1].values[0]) == 8  # type: ignore[union-attr]
    assert set(again.optimizers) == set(fresh.optimizers)  # elaborated again for this
    derived = replace(again, graph=fresh.graph.copy(loss=None))
    assert derived.key == ""


@pytest.mark.parametrize("change", ["main", "import", "table", "settings", "package", "renamed"])
def test_a_change_is_noticed(file: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    first = front(file)
    assert is_stored(front(file))
    settings = {}
    match change:
        case "main":
            file.write_text(SMALL.replace("0.5", "0.25"))
        case "import":
            (file.parent / "layers.dln").write_text(LAYERS.replace("2 *", "3 *"))
        case "table":
            (file.parent / "map.csv").write_text("0,1,2\n1,2,3\n2,3,4\n3,4,1\n")
        case "settings":
            settings = {"width": "2"}
        case "package":
            monkeypatch.setattr(networks, "package_fingerprint", lambda: "another")
        case "renamed":
            file = file.rename(file.with_name("other.dln"))
    second = front(file, settings)
    assert not is_stored(second)
    assert second.key != first.key
    third = front(file, settings)
    assert is_stored(third)
    assert third.key == second.key
    assert [e.text for e in forward_equations(third.graph)] == [
        e.text for e in forward_equations(second.graph)
    ]


def test_texts_are_kept_too_and_errors_are_not(file: Path) -> None:
    where = str(file.parent / "<text>")
    assert not is_stored(front_text(SMALL, where))
    assert is_stored(front_text(SMALL, where))
    for _ in range(2):
        with pytest.raises(DiagnosticError, match="tannh"):
            front_text(SMALL.replace("tanh", "tannh"), where)


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_damaged_entries_are_made_again(file: Path, place: Path, damage: str) -> None:
    front(file)
    (entry,) = place.iterdir()
    content = entry.read_bytes()
    middle = len(content) // 2
    entry.write_bytes(
        {"cut": content[:middle], "emptied": b"", "changed": content[:middle] + b"!" + content[middle + 1 :]}[
            damage
        ]
    )
    assert not is_stored(front(file))
    assert is_stored(front(file))


def test_programs_are_kept_by_what_they_were_compiled_for(file: Path) -> None:
    network = front(file)
    call = syntax.Call("sgd", ())
    fresh = compile_network(network, capacity=8, optimizer=call)
    again = compile_network(front(file), capacity=8, optimizer=call)
    assert not is_stored_program(fresh)
    assert is_stored_program(again)
    for name in ("placements", "routines", "bytes", "kernels", "capacity", "float_type"):
        assert getattr(again.program, name) == getattr(fresh.program, name)
    assert again.program.constants.keys() == fresh.program.constants.keys()
    for name, values in fresh.program.constants.items():
        assert np.array_equal(again.program.constants[name], values)
    others = (
        compile_network(network, capacity=4, optimizer=call),
        compile_network(network, capacity=8, optimizer=syntax.Call("adam", ())),
        compile_network(network, capacity=8, optimizer=call, precision="float64"),
        compile_network(network, capacity=8),
        compile_network(network, capacity=8, gradient=False),
        compile_network(replace(network, graph=network.graph.copy()), capacity=8, optimizer=call),
    )
    assert not any(map(is_stored_program, others))


SCRIPT = """
import sys
import numpy as np
import dln
net = dln.load(sys.argv[1], seed=3)
net.make_code("train")
x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(16, 4)
history = net.train({"x": x, "y": np.arange(16) % 2})
compiler = ("llvmlite", "lark", "networkx", "dln.compiler.elaborate.network", "dln.compiler.kernels.tiling")
loaded = [m for m in compiler if m in sys.modules]
print(repr([record.train["loss"] for record in history]), loaded)
"""


def run_script(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_at_the_same_time_and_a_later_one(file: Path, place: Path) -> None:
    together = [run_script(file) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in together]
    assert [error for _, error in outputs] == ["", ""]
    losses = {out.split(" [")[0] for out, _ in outputs}
    assert len(losses) == 1
    later, error = run_script(file).communicate(timeout=120)
    assert error == ""
    assert later.split(" [")[0] in losses
    if sys.platform.startswith("linux"):
        assert later.rstrip().endswith(" []"), "a network that is kept needs neither compiler nor LLVM"
    assert not list(place.glob("*.part"))


# ------------------------------------------------------------------------------------------------------ plain data


def there_and_back(value: object) -> object:
    import marshal

    encoder = Encoder()
    plain = marshal.loads(marshal.dumps(encoder.encode(value)))
    return Decoder(encoder.sources(), encoder.axes()).decode(plain)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(2**70), 1.5, -0.0, math.inf, "ω", b"\0", (), ((), (1,)), [1, [2]], {"a": (1, None), 2: {}},
        frozenset({"b", "a"}), syntax.Call("f", (syntax.Number(1),), (("k", syntax.Name("x")),)),
        Call("k0", (0, 64), 3, False, ("a", "b"), 12, 48),
    ],
)  # fmt: skip
def test_values_come_back(value: object) -> None:
    result = there_and_back(value)
    assert result == value and type(result) is type(value)
    if not isinstance(value, frozenset):  # whose members are printed in any order
        assert repr(result) == repr(value)


@pytest.mark.parametrize("kind", ["float32", "int64", "bool", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (1, 0, 2)])
def test_arrays_come_back(kind: str, shape: tuple[int, ...]) -> None:
    values = np.asarray(np.random.default_rng(0).normal(size=shape) * 9).astype(kind)
    for given in (values, np.asfortranarray(values)):
        table = there_and_back(Table("t", given))
        assert isinstance(table, Table)
        assert table.values.dtype == given.dtype
        assert np.array_equal(table.values, given)


def test_axes_are_new_and_keep_their_order() -> None:
    i, j, k = new_axis("i", 3), new_axis("j", 4), new_axis("i", 3)
    shared = Load("w", (k, j))
    body = apply("*", shared, apply("+", Load("x", (BATCH, i)), shared))
    family = Family("h", (BATCH, i), body, Reduction("sum", (j, k)), span=Source("a.dln", "text").span(1, 3))
    result = there_and_back(family)
    assert isinstance(result, Family)
    assert result.axes[0] is BATCH
    assert result.reduction is not None
    axes = [result.axes[1], *result.reduction.axes]
    assert [a.name for a in axes] == ["i", "j", "i"]
    assert [a.serial for a in axes] == sorted(a.serial for a in axes)
    assert not {a.serial for a in axes} & {i.serial, j.serial, k.serial}
    assert result.loads[0].subscripts == (axes[2], axes[1])
    assert (result.span.text, str(result.span)) == ("ex", "a.dln:1:2")
    assert Family("h", (), real(0), span=NOWHERE) == there_and_back(Family("h", (), real(0), span=NOWHERE))


def test_depth_does_not_matter_and_signs_of_zero_do() -> None:
    deep: Expression = Load("x")
    for _ in range(5_000):
        deep = apply("tanh", deep)
    count, node = 0, there_and_back(deep)
    while isinstance(node, Expression) and node.children:
        count, node = count + 1, node.children[0]
    assert count == 5_000
    both = there_and_back((Constant(-0.0), Constant(0.0)))
    assert repr(both) == repr((Constant(-0.0), Constant(0.0)))


def test_numbers_of_numpy_become_those_of_python() -> None:
    for value in (np.float64(1.5), np.float32(0.1), np.int64(-3), np.bool_(True)):
        result = there_and_back(value)
        assert type(result) in (float, int, bool)
        assert result == value


def test_what_has_no_plain_form_is_refused() -> None:
    for value in (object(), {1, 2}, Path("x"), Program):
        with pytest.raises(CannotStore):
            Encoder().encode(value)
