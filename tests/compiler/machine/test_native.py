"""The binding of LLVM: invalid text and missing symbols are errors, layouts agree, modules compile side by side."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest
from dln.compiler.machine import native
from dln.compiler.machine.driver_job import JOB_TYPE, field_address
from dln.compiler.machine.job import FIELDS, Job
from dln.compiler.machine.native import (
    NativeError,
    Target,
    compile_text,
    compile_texts,
    host_target,
    load_code,
)

INVALID = {
    "syntax": "define void @f( {",
    "types": "define i32 @f() { ret i64 0 }",
    "unknown value": "define i32 @f() { ret i32 %nothing }",
    "no terminator": "define void @f() { %x = add i32 1, 2 }",
    "dominance": "define i32 @f(i1 %c) {\n br i1 %c, label %a, label %b\na:\n %x = add i32 1, 2\n br label %b\nb:\n ret i32 %x }",
    "unknown intrinsic": "define float @f() { %x = call float @llvm.nonsense.f32(float 0.0)\n ret float %x }",
    "wrong intrinsic": "define float @f(float %a) { %x = call float @llvm.fma.f32(float %a)\n ret float %x }",
    "empty phi": "define i32 @f() {\nentry:\n br label %b\nb:\n %x = phi i32\n ret i32 %x }",
}


@pytest.mark.parametrize("kind", INVALID)
def test_invalid_text_is_an_error_not_the_end(kind: str) -> None:
    with pytest.raises(NativeError):
        compile_text(INVALID[kind], host_target())


def test_missing_symbols_and_machines_are_errors() -> None:
    text = "declare void @no_such_function()\ndefine void @f() { call void @no_such_function()\n ret void }"
    code = compile_text(text, host_target())
    with pytest.raises(NativeError, match="cannot be linked"):
        load_code([code], ["f"])
    with pytest.raises(NativeError):
        load_code([b"this is no object file"], ["f"])
    with pytest.raises(NativeError, match="pdp11"):
        compile_text("", Target("pdp11-unknown-none"))


def test_the_layout_of_the_job_is_the_same_on_both_sides() -> None:
    """LLVM reads a field by its place in JOB_TYPE, Python writes it by its name."""
    names = [n for n, kind in FIELDS if kind in ("ptr", "i64", "i32")]
    loads = "\n".join(
        f"  %p{k} = {field_address(n)}\n  %q{k} = load i8, ptr %p{k}\n  %r{k} = getelementptr i8, ptr %out, i64 {k}\n"
        f"  store i8 %q{k}, ptr %r{k}"
        for k, n in enumerate(names)
    )
    text = f"{JOB_TYPE}\ndefine void @read(ptr %job, ptr %out) {{\n{loads}\n  ret void\n}}\n"
    library = load_code([compile_text(text, host_target())], ["read"])
    job, out = Job(), np.zeros(len(names), np.uint8)
    for k, name in enumerate(names):
        setattr(job, name, k + 1)
    read = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.addresses["read"])
    read(ctypes.addressof(job), out.ctypes.data)
    if sys.byteorder == "little":
        assert out.tolist() == list(range(1, len(names) + 1))


def test_modules_are_compiled_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLN_CACHE", "off")
    texts = [f"define i32 @number{k}() {{\n  ret i32 {k}\n}}\n" for k in range(40)]
    images = compile_texts(texts, host_target())
    library = load_code(images, [f"number{k}" for k in range(40)])
    for k in range(40):
        assert ctypes.CFUNCTYPE(ctypes.c_int32)(library.addresses[f"number{k}"])() == k
    monkeypatch.setattr(native, "available_cores", lambda: 1)
    assert compile_texts(texts, host_target()) == images
    with pytest.raises(NativeError, match="expected"):
        compile_texts([*texts, "nonsense"], host_target())


def test_imports_are_found_at_their_addresses() -> None:
    first = load_code([compile_text("define i32 @one() {\n  ret i32 1\n}\n", host_target())], ["one"])
    text = "declare i32 @one()\ndefine i32 @two() {\n  %x = call i32 @one()\n  %y = add i32 %x, %x\n  ret i32 %y\n}\n"
    second = load_code([compile_text(text, host_target())], ["two"], first.addresses)
    assert ctypes.CFUNCTYPE(ctypes.c_int32)(second.addresses["two"])() == 2
