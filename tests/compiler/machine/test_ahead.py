"""Kernels that a thread compiles while the rest is lowered: the same files, and nothing is begun that nobody waits for."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
from dln.compiler.kernels.program import Kernel
from dln.compiler.machine import ahead as ahead_module
from dln.compiler.machine.ahead import Ahead
from dln.compiler.machine.module import kernel_symbol, kernel_text
from dln.compiler.machine.native import compile_text, host_target
from dln.compiler.pipeline import front_text
from dln.runtime.program import Network

SOURCE = """
input x[8]
input t[3]
layer h[16] = tanh(dense(x))
layer y[3] = dense(h)
loss squared_error(y, t)
"""


def kernel(number: int) -> Kernel:
    name = f"k{number}"
    body = f"  %p = getelementptr float, ptr %a, i64 {number}\n  store float 1.0, ptr %p\n  ret void\n"
    text = f"define void @{name}(ptr %a, i64 %valid, i64 %time, i64 %begin, i64 %end) {{\n{body}}}\n"
    return Kernel(name, text)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "_PATIENCE", 0.0)
    monkeypatch.setattr(ahead_module, "available_cores", lambda: 2)


def test_files_are_those_of_the_ordinary_way(two_cores: None) -> None:
    kernels = [kernel(n) for n in range(6)]
    symbols = [kernel_symbol(k) for k in kernels]
    ahead = Ahead(host_target())
    for one in kernels:
        ahead.take(one)
    deadline = time.monotonic() + 20
    while ahead._waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    interval = sys.getswitchinterval()
    files = ahead.finished(symbols[:-1])
    assert set(files) == set(symbols[:-1])
    for one, symbol in zip(kernels[:-1], symbols, strict=False):
        assert files[symbol] == compile_text(kernel_text(one, host_target()), host_target())
    assert sys.getswitchinterval() <= max(interval, 0.005)


def test_nothing_is_begun_once_somebody_has_asked(two_cores: None) -> None:
    ahead = Ahead(host_target())
    for n in range(300):
        ahead.take(kernel(1000 + n))
    done = ahead.finished([kernel_symbol(kernel(1000))])
    for thread in threading.enumerate():
        if thread.name == "dln kernels":
            thread.join(20)
    assert len(done) <= 1
    assert len(ahead._files) < 300


def test_a_fault_is_left_to_whoever_needs_the_kernel(two_cores: None) -> None:
    ahead = Ahead(host_target())
    faulty = Kernel("k", "define void @k(ptr %a, i64 %v, i64 %t, i64 %b, i64 %e) {\n  nonsense\n}\n")
    ahead.take(faulty)
    ahead.take(kernel(2000))
    deadline = time.monotonic() + 20
    while kernel_symbol(kernel(2000)) not in ahead._files and time.monotonic() < deadline:
        time.sleep(0.001)
    assert list(ahead.finished([kernel_symbol(faulty), kernel_symbol(kernel(2000))])) == [
        kernel_symbol(kernel(2000))
    ]


@pytest.mark.parametrize("cores", [1, 2])
def test_bits_are_the_same_with_and_without(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLN_CACHE", "off")
    inputs = {
        name: np.random.default_rng(3).standard_normal((8, n)).astype("float32")
        for name, n in (("x", 8), ("t", 3))
    }
    expected = Network(front_text(SOURCE), capacity=8, seed=1).loss_and_gradient(**inputs)
    monkeypatch.setattr(ahead_module, "_PATIENCE", 0.0)
    monkeypatch.setattr(ahead_module, "available_cores", lambda: cores)
    loss, gradient = Network(front_text(SOURCE), capacity=8, seed=1).loss_and_gradient(**inputs)
    assert loss == expected[0]
    assert all(np.array_equal(gradient[name], expected[1][name]) for name in gradient)
