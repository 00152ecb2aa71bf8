"""Bad input never crashes the process: whatever a file says, `dln check` ends with diagnostics or with a table."""

from __future__ import annotations

import json
import math
import random
import re
import time
from pathlib import Path

import pytest
from dln.compiler.elaborate import Network
from dln.compiler.kernels.program import Program
from dln.runtime.command_line import run
from dln.runtime.commands import check as check_command
from dln.tests.oracle.mutations import damaged
from dln.tests.oracle.random_networks import random_network

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 12
IN_EACH = 20
#: Of networks that are lowered after they were damaged.
MOST_FAMILIES, MOST_UNITS = 24, 5_000


def good_texts() -> list[str]:
    """All models, the examples of the language reference, and some random networks; without their data."""
    texts = [p.read_text() for p in sorted((ROOT / "models").glob("*.dln"))]
    texts += re.findall(r"```dln\n(.*?)```", (ROOT / "grammar" / "README.md").read_text(), re.S)
    return texts + [random_network(seed).text for seed in range(40)]


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """`dln check FILE --json` in this process: its exit code and what it prints."""
    code = run(["check", str(path), "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out.strip().splitlines()[-1])


@pytest.fixture(autouse=True)
def tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw fails the test, instead of becoming 'internal error'."""
    monkeypatch.setenv("DLN_DEBUG", "1")


@pytest.fixture
def small_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only small networks are lowered for the line about memory: damage that leaves a large one valid says nothing new about
    how it is lowered, and takes seconds."""
    lower = check_command._program

    def lower_small(network: Network) -> Program | None:
        families = network.graph.families.values()
        units = sum(math.prod(axis.extent or 1 for axis in f.axes) for f in families)
        return lower(network) if len(families) <= MOST_FAMILIES and units <= MOST_UNITS else None

    monkeypatch.setattr(check_command, "_program", lower_small)


@pytest.mark.parametrize("part", range(ROUNDS))
@pytest.mark.usefixtures("small_programs")
def test_damaged_files(part: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = good_texts()
    for seed in range(part * IN_EACH, (part + 1) * IN_EACH):
        rng = random.Random(seed)
        text = damaged(rng.choice(texts), rng)
        path = tmp_path / f"damaged_{seed}.dln"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        start = time.process_time()
        code, printed = check(path, capsys)
        assert code in (0, 2), f"seed {seed}: exit code {code}\n{text}"
        assert bool(printed["errors"]) == (code == 2) or code == 0, f"seed {seed}\n{text}"
        assert time.process_time() - start < 10, f"seed {seed} takes too long\n{text}"


HUGE = {
    "an input of 10^12 units": ("input x[1000000000000]\nlayer y[i] = 2 * x[i]\n", "1,000,000,000,000"),
    "a layer of 10^12 units": ("input x\nlayer y[i: 1000000, j: 1000000] = x * i + j\n", "1,000,000,000,000"),
    "a weight of 10^12 entries": ("input x[1000000]\nlayer y[1000000] = dense(x)\n", "1,000,000,000,000"),
    "a product of extents beyond 64 bits": (
        "input x[4294967296]\nweight w[4294967296, 4294967296, 4294967296]\n"
        "layer y = sum[i] x[i] * w[i, i, i]\n",
        "79,228,162,514,264,337,593,543,950,336",
    ),
    "extents by arithmetic": ("param n = 10^12\ninput x[n]\nlayer y[i] = x[i]\n", "1,000,000,000,000"),
    "a convolution with a huge image": (
        "input x[3, 500000, 500000]\nlayer y[64, 500000, 500000] = convolution(x, padding = 1)\n",
        "750,000,000,000",
    ),
}


@pytest.mark.parametrize("case", HUGE)
def test_files_that_ask_for_too_much(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused in under a second, with the number in the message."""
    text, number = HUGE[case]
    path = tmp_path / "huge.dln"
    path.write_text(text)
    run(["check", str(ROOT / "models" / "shared_pair.dln"), "--json"])  # imports are not what is measured
    capsys.readouterr()
    start = time.process_time()
    code, printed = check(path, capsys)
    assert time.process_time() - start < 1
    assert code == 2
    assert number in json.dumps(printed["errors"])


N = 5_000
DEEP = {
    "parentheses": "let a = " + "(" * N + "1" + ")" * N,
    "brackets that never close": "let a = " + "(" * N,
    "signs": "let a = " + "-" * N + "1",
    "negations": "let a = 1 if " + "not " * N + "1 == 1 else 0",
    "powers": "let a = " + "2^" * N + "1",
    "a long sum": "let a = " + "1 + " * N + "1",
    "a long product": "let a = " + "2 * " * N + "1",
    "choices": "let a = " + "1 if 1 == 1 else " * N + "1",
    "reductions": "let a = " + "sum[i: 1] " * N + "1",
    "lists": "map K(i) = " + "[" * N + "1" + "]" * N + "[i]",
    "calls": "let a = " + "relu(" * N + "1" + ")" * N,
    "subscripts": "let a = x" + "[1" * N + "]" * N,
    "blocks": "block a() -> b {\n" * (N // 5),
    "functions that call each other": "function f0(x) = x\n"
    + "".join(f"function f{n + 1}(x) = f{n}(x) + f{n}(x)\n" for n in range(400))
    + "input x\nlayer y = f400(x)\n",
    "blocks in blocks": "block b0(x[..]) -> y[..] {\n let y[..] = x[..]\n}\n"
    + "".join(
        f"block b{n + 1}(x[..]) -> y[..] {{\n let p = b{n}(x)\n let y = b{n}(p)\n}}\n" for n in range(60)
    )
    + "input x[3]\nlayer y[3] = b60(x)\n",
    "maps of maps": "map K0(i) = i\n"
    + "".join(f"map K{n + 1}(i) = K{n}(i) + K{n}(i)\n" for n in range(200))
    + "input x[3]\nweight w[3]\nlayer y[i: 3] = w[K200(i)] * x[i]\n",
    "params of params": "param p0 = 1\n" + "".join(f"param p{n + 1} = p{n} * 10^18\n" for n in range(500)),
    "a long chain of layers": "input x\nlet l0 = x\n" + "".join(f"let l{n + 1} = tanh(l{n})\n" for n in range(2000)),
    "many errors": "let a = $\n" * 2000,
    "nothing but newlines": "\n" * N,
}  # fmt: skip


@pytest.mark.parametrize("case", DEEP)
def test_deep_and_long_files(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep.dln"
    path.write_text("network deep\n" + DEEP[case])
    start = time.process_time()
    code, _ = check(path, capsys)
    assert code in (0, 2)
    assert time.process_time() - start < 20


BYTES = {
    "empty": b"", "one byte": b"\xff", "latin": "network m\ninput größe".encode("latin-1"), "NUL": b"input x\0[3]\n",
    "byte order mark": b"\xef\xbb\xbfinput x[3]\nlayer y[i] = x[i]\n", "UTF-16": "input x[3]\n".encode("utf-16"),
    "carriage returns": b"input x[3]\r\nlayer y[i] = x[i]\r\n", "only a comment": b"# nothing",
    "a surrogate": b"input x\xed\xa0\x80", "an archive": b"PK\x03\x04" + bytes(range(256)),
}  # fmt: skip


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_no_text(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bytes.dln"
    path.write_bytes(BYTES[case])
    code, _ = check(path, capsys)
    assert code in (0, 2)
