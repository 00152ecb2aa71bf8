"""The command `dln`: which subcommands there are, and how any of them ends.

In: arguments.  Out: an exit code: 0, 1 where the run failed, 2 for bad usage or an invalid file.

    dln train digits.dln --epochs 5

A subcommand is a module commands/NAME.py with a click command `command`; it is imported when it is asked for. Nothing heavy
is imported here, so that `dln --help` is there at once. Every failure that is not a bug of dln is one line on the error
stream; with DLN_DEBUG=1 there is a traceback as well.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import click

SUBCOMMANDS = {
    "check": "errors of a file, or its sizes: units, connections, weights, bytes",
    "train": "compile and train; leaves a run folder with weights, log and report",
    "ensemble": "train several networks and average their predictions",
    "search": "the best values of params and settings",
    "report": "a page about a run: curves, layers, predictions, equations",
    "eval": "loss and metrics of trained weights",
    "predict": "the layers' values for data, with trained weights",
    "generate": "text from a trained network, token by token",
    "show": "the graph as SVG, the derived equations, or any stage of the compiler",
    "gradcheck": "symbolic against finite differences, in double precision",
    "bench": "how long a training step takes, call by call",
    "ntk": "the neural tangent kernel, and how it moves while the network learns",
    "new": "write a starter file that trains at once",
}


class Subcommands(click.Group):
    """Subcommands that are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f".commands.{cmd_name}", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], SUBCOMMANDS, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(SUBCOMMANDS)}"
            raise click.UsageError(f"no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(
    cls=Subcommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`dln COMMAND --help` tells more about each.",
)
@click.version_option(package_name="dln", message="dln %(version)s")
def program() -> None:
    """Neural networks from index equations: check, train and look into .dln files."""


def main(arguments: list[str] | None = None) -> None:
    """The entry point; always ends by SystemExit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit code."""
    try:
        code = _guarded(lambda: program.main(arguments, prog_name="dln", standalone_mode=False))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has gone: say nothing, and keep Python from complaining when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _guarded(action: Callable[[], Any]) -> int:
    """The exit code of an action, with every foreseeable failure told in a line."""
    try:
        result = action()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        raise
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort) as error:
        return _failed(str(error) or "interrupted", 1, error)
    except OSError as error:
        return _failed(explain(error), 1, error)
    except MemoryError as error:
        return _failed("not enough memory", 1, error)
    except Exception as error:
        from ..compiler.source import DiagnosticError
        from .errors import RunError

        if isinstance(error, DiagnosticError):
            return _failed(str(error), 2, error, prefix="")
        if isinstance(error, RunError):
            return _failed(str(error), 1, error)
        if os.environ.get("DLN_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        hint = "; this is a bug of dln (DLN_DEBUG=1 shows where)"
        return _failed(what + hint, 1, error, prefix="internal error: ")


def _failed(message: str, code: int, error: BaseException, prefix: str = "error: ") -> int:
    if os.environ.get("DLN_DEBUG"):
        import traceback

        traceback.print_exception(error)
    click.echo(prefix + message, err=True)
    return code


def explain(error: OSError) -> str:
    """A system error in words: what, and which file."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return f"'{error.filename}': {reason}" if error.filename is not None else reason
