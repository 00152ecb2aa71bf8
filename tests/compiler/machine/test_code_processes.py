"""Processes that make machine code: the same code as in this process, and whatever happens to them is no end of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from dln.compiler.machine import code_generation, code_processes
from dln.compiler.machine.code_generation import CodeError
from dln.compiler.machine.native import NativeError, compile_text, host_target

TEXT = "define i32 @answer(i32 %a) {\n  %b = mul i32 %a, 21\n  ret i32 %b\n}\n"
HOST = host_target()
#: LLVM accepts this as text, finds no instruction for it, and ends its process.
FATAL = """declare void @llvm.aarch64.isb(i32)
define void @f() {
  call void @llvm.aarch64.isb(i32 15)
  ret void
}
"""

pytestmark = pytest.mark.skipif(not code_processes.are_available(), reason="no processes on this system")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DLN_CACHE", "off")
    code_processes._forget()
    yield
    code_processes._forget()


def test_code_is_that_of_this_process() -> None:
    here = code_generation.object_code(TEXT, HOST.triple, HOST.cpu, HOST.features, HOST.abi)
    assert code_processes.object_code(TEXT, HOST) == here
    assert code_processes.host() == code_generation.host()


def test_one_process_serves_again_also_after_an_error() -> None:
    code_processes.start()
    (process,) = code_processes._idle
    for _ in range(3):
        with pytest.raises(CodeError, match="expected"):
            code_processes.object_code("define void @f( {", HOST)
        assert code_processes.object_code(TEXT, HOST)
    code_processes.start()
    assert code_processes._idle == [process]
    assert os.getsid(process.process.pid) != os.getsid(0)  # Ctrl-C at the terminal does not reach it


@pytest.mark.skipif(HOST.architecture != "x86_64", reason="an instruction of another architecture is needed")
def test_a_fatal_error_of_llvm_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NativeError, match="LLVM ended without an answer"):
        compile_text(FATAL, HOST)
    assert "isb" in capfd.readouterr().err  # LLVM's own words
    assert compile_text(TEXT, HOST)


def test_a_process_that_was_killed_is_replaced() -> None:
    code_processes.object_code(TEXT, HOST)
    (process,) = code_processes._idle
    process.process.kill()
    process.process.wait()
    assert code_processes.object_code(TEXT, HOST)


@pytest.mark.parametrize("executable", ["/bin/false", "/there/is/no/such/file"])
def test_where_none_starts_llvm_works_here(executable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(code_processes, "_given_up", False)
    code_processes.start()
    expected = code_generation.object_code(TEXT, HOST.triple, HOST.cpu, HOST.features, HOST.abi)
    assert code_processes.object_code(TEXT, HOST) == expected
    assert not code_processes.are_available()


def test_a_process_that_nobody_needs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_processes, "_PATIENCE", 0.01)
    code_processes.object_code(TEXT, HOST)
    deadline = time.monotonic() + 20
    while code_processes._idle and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not code_processes._idle


def test_a_forked_child_and_its_parent_have_processes_of_their_own() -> None:
    expected = code_processes.object_code(TEXT, HOST)
    child = os.fork()
    if not child:
        right = not code_processes._idle and code_processes.object_code(TEXT, HOST) == expected
        code_processes._forget()
        os._exit(0 if right else 1)
    assert code_processes.object_code(TEXT, HOST) == expected
    assert os.waitpid(child, 0)[1] == 0


def test_a_process_that_compiles_holds_no_llvm() -> None:
    """Its 80 MB are those of a process that ends."""
    code = (
        "import sys, dln\n"
        "net = dln.compile('input x[2]\\nlayer y[3] = tanh(dense(x))\\nloss mean_squared_error(y, y)')\n"
        "net.make_code('gradient')\n"
        "print([m for m in ('llvmlite', 'llvmlite.binding') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["[]"], ran.stderr
