"""What the subcommands have in common: options, what they ask for, and how answers are told to a program.

In: a command line.  Out: `Asked`, for a command under `@about_network`; options for the others.

    @click.command("eval", help="…")
    @WEIGHTS
    @click.option("--part")
    @about_network
    def command(asked: Asked, weights: str, part: str | None) -> int:
        net = asked.trained(weights)

Nothing heavy is imported here before a command runs.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from ..compiler.elaborate import Network as Elaborated
    from .program import Network
    from .studies.ensemble import Ensemble

FILE = click.argument("file", type=click.Path())
SET = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for a param or a setting of the file. Repeatable.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="The last line is one JSON object.")
WEIGHTS = click.option(
    "--weights",
    type=click.Path(),
    required=True,
    help="What training left: weights.safetensors, or its run folder.",
)
THREADS = click.option("--threads", type=click.IntRange(1), help="Default: all cores.")
PRECISION = click.option(
    "--precision", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
#: Which part of the file's data.
PARTS = click.Choice(["train", "validation", "test"])


@dataclass
class Asked:
    """What the options say that every command about running a network has.

    settings   other values for params and settings: `--set`
    text       where a person reads: the screen, or with --json the error stream
    """

    file: str
    settings: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
    precision: str = "float32"
    as_json: bool = False

    def set(self, **named: Any) -> None:
        """Options of a command that stand for a setting each (None: not given)."""
        self.settings |= {name: str(value) for name, value in named.items() if value is not None}

    @property
    def text(self) -> TextIO:
        return sys.stderr if self.as_json else sys.stdout

    @cached_property
    def elaborated(self) -> Elaborated:
        """The file, checked; its warnings are told once. Raises DiagnosticError."""
        from ..compiler.pipeline import front

        elaborated = front(self.file, self.settings)
        warn(elaborated.warnings)
        return elaborated

    def network(self, **options: Any) -> Network:
        """The file compiled; `options` are those of `Network`."""
        from .program import Network

        options = {"precision": self.precision, "threads": self.threads, **options}
        return Network(self.elaborated, Path(self.file).parent, **options)

    def trained(self, weights: str) -> Network | Ensemble:
        """The network compiled without training, with these weights; or the ensemble whose folder they are."""
        net = self.network(purpose="evaluation")
        if (Path(weights) / "ensemble.json").is_file():
            from .studies.ensemble import Ensemble

            return Ensemble.load(net, Path(weights))
        net.restore(weights_file(weights))
        return net


def about_network(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command FILE, --set, --threads, --precision and --json, which it gets together as its first argument, an `Asked`.

    An invalid file is told as JSON too, where that is asked for.
    """

    @FILE
    @SET
    @THREADS
    @PRECISION
    @JSON
    @functools.wraps(command)
    def with_asked(
        *,
        file: str,
        assignments: tuple[str, ...],
        threads: int | None,
        precision: str,
        as_json: bool,
        **own: Any,
    ) -> int:
        asked = Asked(file, settings_of(assignments), threads, precision, as_json)
        return with_json_errors(as_json, lambda: command(asked, **own))

    return with_asked


def weights_file(weights: str) -> Path:
    """The file of weights that is meant by a path to it, or to its run folder."""
    path = Path(weights)
    return path / "weights.safetensors" if path.is_dir() else path


def settings_of(assignments: tuple[str, ...]) -> dict[str, str]:
    """What `--set NAME=VALUE …` says: name → value."""
    settings: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise click.UsageError(f"--set takes NAME=VALUE, got '{assignment}'")
        settings[name.strip()] = value.strip()
    return settings


def print_json(content: Mapping[str, Any]) -> None:
    """One line of strict JSON: what is not finite becomes null."""
    import json

    click.echo(json.dumps(_finite(content), ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def warn(diagnostics: Any) -> None:
    """Print warnings on the error stream."""
    from ..compiler.source import render

    for diagnostic in diagnostics:
        click.echo(render(diagnostic) + "\n", err=True)


def with_json_errors(as_json: bool, action: Callable[[], int]) -> int:
    """Run an action; with --json, an invalid file is told as JSON on the last line too."""
    from ..compiler.source import DiagnosticError

    try:
        return action()
    except DiagnosticError as error:
        if as_json:
            click.echo(str(error), err=True)
            print_json({"errors": [d.as_json() for d in error.diagnostics if d.is_error]})
            return 2
        raise
