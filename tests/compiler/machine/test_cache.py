"""The cache of object code on disk: hits, damage, concurrency, size, and folders that cannot be used."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dln.compiler.machine import cache, native
from dln.compiler.machine.cache import folder, load_entry, store_entry
from dln.compiler.machine.native import compile_text, host_target


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DLN_CACHE", str(tmp_path / "objects"))
    yield tmp_path / "objects"


def test_what_is_stored_is_found_under_its_key_only(place: Path) -> None:
    key = ("text", "22.1.0", "cpu")
    assert load_entry(key) is None
    store_entry(key, b"code")
    assert load_entry(key) == b"code"
    for other in (
        ("text", "22.1.1", "cpu"),
        ("text2", "2.1.0", "cpu"),
        ("text", "22.1.0cpu", ""),
        ("text", "22.1.0"),
    ):
        assert load_entry(other) is None
    store_entry(key, b"newer")
    assert load_entry(key) == b"newer"
    assert len(list(place.iterdir())) == 1
    if os.name == "posix":
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "longer"])
def test_damaged_files_are_ignored_and_written_again(place: Path, damage: str) -> None:
    key = ("text",)
    store_entry(key, b"code" * 100)
    (path,) = place.iterdir()
    content = path.read_bytes()
    changed = {
        "cut": content[:-1],
        "emptied": b"",
        "changed": content[:50] + b"?" + content[51:],
        "longer": content + b"!",
    }
    path.write_bytes(changed[damage])
    assert load_entry(key) is None
    store_entry(key, b"code" * 100)
    assert load_entry(key) == b"code" * 100


def test_code_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "define i32 @answer() {\n  ret i32 42\n}\n"
    first = compile_text(text, host_target())
    monkeypatch.setattr(native, "_compile", None)  # whoever compiles now, fails
    assert compile_text(text, host_target()) == first
    with pytest.raises(TypeError):
        compile_text(text + "\n", host_target())
    monkeypatch.setenv("DLN_CACHE", "off")
    assert folder() is None
    with pytest.raises(TypeError):
        compile_text(text, host_target())


def test_the_oldest_go_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LARGEST", 5000)
    for k in range(4):
        store_entry((str(k),), bytes([k]) * 1000)
    for age, path in enumerate(sorted(place.iterdir(), key=lambda p: p.read_bytes()[-1])):
        os.utime(path, (1000 + age, 1000 + age))
    (place / "stranger.txt").write_text("not ours" * 1000)
    leftover = place / "killed.part"
    leftover.write_bytes(b"x")
    os.utime(leftover, (10, 10))
    assert load_entry(("0",)) is not None  # used just now
    store_entry(("new",), b"n" * 1000)
    kept = [k for k in ("0", "1", "2", "3", "new") if load_entry((k,)) is not None]
    assert kept == ["0", "2", "3", "new"]
    assert not leftover.exists()
    assert (place / "stranger.txt").exists()


def test_folders_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("no folder")
    monkeypatch.setenv("DLN_CACHE", str(occupied))
    store_entry(("a",), b"code")
    assert load_entry(("a",)) is None
    assert occupied.read_text() == "no folder"
    monkeypatch.delenv("DLN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform.startswith("linux"):
        assert folder() == tmp_path / "xdg" / "dln"


WRITE_AND_READ = """
from dln.compiler.machine.cache import load_entry, store_entry
for k in range(200):
    key = (f"shared {k % 5}",)
    store_entry(key, key[0].encode() * 5000)
    assert load_entry(key) in (None, key[0].encode() * 5000)
"""


def test_processes_do_not_disturb_each_other(place: Path) -> None:
    # Processes of their own rather than a pool, whose workers would have to import this file by its name.
    workers = [subprocess.Popen([sys.executable, "-c", WRITE_AND_READ]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert all(load_entry((f"shared {k}",)) == f"shared {k}".encode() * 5000 for k in range(5))
    assert not list(place.glob("*.part"))


def test_a_later_process_finds_the_code(place: Path) -> None:
    script = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_machine_code as t\n"
        "p = t.sample_program(); m = t.Memory(p); c = t.compile_program(p); c.run('both', m.job()); print(c.seconds['both'])"
    )
    seconds = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        seconds.append(float(done.stdout))
    assert len(list(place.iterdir())) == 4  # the driver and two kernels; what LLVM says of this machine
    assert seconds[1] < seconds[0]
    assert seconds[1] < 0.1
