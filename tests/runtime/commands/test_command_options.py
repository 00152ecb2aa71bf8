"""Options that several subcommands have: the same everywhere, and answered in the same way."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import click
import pytest
from dln.runtime.command_line import SUBCOMMANDS, run

#: Commands that run a network, with the arguments that they cannot do without.
RUNNING = {
    "train": [],
    "ensemble": [],
    "search": [],
    "eval": ["--weights", "w.safetensors"],
    "predict": ["--weights", "w.safetensors"],
    "generate": ["--weights", "w.safetensors"],
    "bench": [],
    "ntk": [],
}


def options_of(name: str) -> dict[str, click.Parameter]:
    command: click.Command = importlib.import_module(f"dln.runtime.commands.{name}").command
    return {parameter.opts[0]: parameter for parameter in command.params}


def test_an_option_means_the_same_in_every_command() -> None:
    shared = ("file", "--set", "--threads", "--precision", "--json", "--weights")
    for option in shared:
        found = {name: options_of(name)[option] for name in SUBCOMMANDS if option in options_of(name)}
        about = {
            name: (str(p.type), p.default, getattr(p, "help", ""), p.multiple)
            for name, p in found.items()
            if not (option == "--weights" and name == "ntk")  # there they are what the training begins with
        }
        assert len(set(about.values())) == 1, (option, about)


@pytest.mark.parametrize("name", RUNNING)
def test_commands_that_run_a_network_share_their_options(name: str) -> None:
    assert {"file", "--set", "--threads", "--precision", "--json"} <= set(options_of(name))


@pytest.mark.parametrize("name", RUNNING)
def test_an_invalid_file_is_told_to_programs_too(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.dln"
    file.write_text("network wrong\ninput x[2]\nlayer h[3] = dense(x) + y\n")
    assert run([name, str(file), *RUNNING[name], "--json"]) == 2
    told = capsys.readouterr()
    (error,) = json.loads(told.out.splitlines()[-1])["errors"]
    assert (error["code"], error["line"]) == ("E201", 3)
    assert "E201" in told.err


def test_a_wrong_assignment_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(tmp_path / "x.dln"), "--weights", "w", "--set", "width"]) == 2
    assert "--set takes NAME=VALUE, got 'width'" in capsys.readouterr().err
