"""The linker of object files and images in memory, against LLVM's own linker; and what is left to that."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import pytest
from dln.compiler.machine.elf import link
from dln.compiler.machine.fingerprint import fingerprint_of
from dln.compiler.machine.image import Image, ImageError, load_image
from dln.compiler.machine.native import TARGETS, compile_text, compile_texts, host_target, load_code

linked_here = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
    reason="other systems link with LLVM",
)

# Constants in sections of their own, a call into another object file, and one into the system.
CALLER = """
declare double @cubed(double)
declare ptr @memcpy(ptr, ptr, i64)
@numbers = internal constant [4 x double] [double 1.5, double 2.5, double -3.5, double 4.25], align 32
define double @dln_sum(i64 %count) {
entry:
  %room = alloca [4 x double], align 32
  %ignored = call ptr @memcpy(ptr %room, ptr @numbers, i64 32)
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %sum = phi double [ 0.125, %entry ], [ %more, %body ]
  %place = getelementptr double, ptr %room, i64 %i
  %value = load double, ptr %place
  %cube = call double @cubed(double %value)
  %more = fadd double %sum, %cube
  %next = add i64 %i, 1
  %again = icmp slt i64 %next, %count
  br i1 %again, label %body, label %end
end:
  ret double %more
}
"""
CALLED = """
define double @cubed(double %x) {
  %square = fmul double %x, %x
  %cube = fmul double %square, %x
  %scaled = fmul double %cube, 0.75
  ret double %scaled
}
"""
WRITTEN = "@count = global i64 3\ndefine i64 @read() {\n  %v = load i64, ptr @count\n  ret i64 %v\n}\n"


def summed(address: int) -> float:
    return float(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(address)(4))


@linked_here
def test_files_are_linked_as_llvm_does() -> None:
    files = compile_texts([CALLER, CALLED], host_target())
    image = link(files, ["dln_sum"])
    assert image is not None
    assert set(image.slots) <= {"memcpy"}
    library = load_code(files, ["dln_sum"])
    by_hand = 0.125 + 0.75 * (1.5**3 + 2.5**3 - 3.5**3 + 4.25**3)
    for again in (image, Image.from_bytes(image.as_bytes())):
        assert again == image
        loaded = load_image(again)
        assert summed(loaded.addresses["dln_sum"]) == pytest.approx(by_hand, rel=1e-14)
        assert summed(loaded.addresses["dln_sum"]) == summed(library.addresses["dln_sum"])


@linked_here
def test_the_first_of_equal_functions_is_taken() -> None:
    other = CALLED.replace("0.75", "0.5")
    files = compile_texts([CALLER, CALLED, other], host_target())
    image, turned = link(files, ["dln_sum"]), link([files[0], files[2], files[1]], ["dln_sum"])
    assert image is not None
    assert turned is not None
    first, second = load_image(image), load_image(turned)
    three_quarters, half = summed(first.addresses["dln_sum"]), summed(second.addresses["dln_sum"])
    assert (half - 0.125) / (three_quarters - 0.125) == pytest.approx(2 / 3, rel=1e-14)


def test_what_is_not_known_is_left_to_llvm() -> None:
    code = compile_text(CALLED, host_target())
    assert link([compile_text(WRITTEN, host_target())], ["read"]) is None
    assert link([compile_text(CALLED, TARGETS["aarch64"])], ["cubed"]) is None
    assert link([compile_text(CALLED, TARGETS["wasm32"])], ["cubed"]) is None
    assert link([code], ["squared"]) is None
    assert link([code[:100]], ["cubed"]) is None
    assert link([b""], ["cubed"]) is None


@linked_here
def test_functions_that_the_system_does_not_have() -> None:
    text = "declare i64 @dln_nowhere()\ndefine i64 @f() {\n  %v = call i64 @dln_nowhere()\n  ret i64 %v\n}\n"
    image = link([compile_text(text, host_target())], ["f"])
    assert image is not None
    with pytest.raises(ImageError, match="dln_nowhere"):
        load_image(image)


@linked_here
def test_code_can_be_run_and_not_written() -> None:
    image = link([compile_text(CALLED, host_target())], ["cubed"])
    assert image is not None
    loaded = load_image(image)
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if low <= loaded.addresses["cubed"] < high:
                assert line.split()[1] == "r-xp"
                return
    pytest.fail("the code is not in memory")


def test_fingerprints_follow_the_files(tmp_path: Path) -> None:
    source = tmp_path / "inner" / "dense.dln"
    source.parent.mkdir()
    source.write_text("one")
    first = fingerprint_of([tmp_path])
    assert fingerprint_of([tmp_path]) == first
    (tmp_path / "notes.txt").write_text("no source")
    assert fingerprint_of([tmp_path]) == first
    source.write_text("two")
    second = fingerprint_of([tmp_path])
    assert second != first
    source.rename(source.with_name("other.dln"))
    assert fingerprint_of([tmp_path]) not in (first, second)
