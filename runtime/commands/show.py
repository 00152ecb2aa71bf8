"""`dln show FILE`: the network as a picture, its equations, or any stage of the compiler.

In: a .dln file.  Out: NAME.svg, or text on the screen.

    dln show digits.dln                      writes digits.svg
    dln show shared_pair.dln --gradient      ∂E/∂w[k] = Σ …   (--latex for LaTeX)
    dln show digits.dln --stage sharing      the graph after that pass
"""

from __future__ import annotations

import pprint
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..command_options import FILE, PRECISION, SET, settings_of, warn

if TYPE_CHECKING:
    from ...compiler.elaborate import Network


class _ShowCommand(click.Command):
    """Its help lists the stages, which the compiler's own list of passes tells."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from ...compiler.pass_order import PASSES

        rows = [("syntax", "the tree of the file"), ("graph", "the elaborated equations")]
        rows += [(step.name, step.description) for step in PASSES]
        rows += [("llvm", "the kernels as LLVM text")]
        with formatter.section("Stages"):
            formatter.write_dl(rows)


@click.command("show", cls=_ShowCommand, help="The graph as SVG, equations, or a compiler stage.")
@FILE
@SET
@click.option("--gradient", is_flag=True, help="The derived equations of the gradient.")
@click.option("--forward", is_flag=True, help="The network's own equations.")
@click.option("--latex", is_flag=True, help="Equations in LaTeX.")
@click.option("--stage", metavar="NAME", help="A stage of the compiler, listed below.")
@click.option("--out", type=click.Path(), help="Where to write; - is the screen.")
@PRECISION
def command(
    file: str,
    assignments: tuple[str, ...],
    gradient: bool,
    forward: bool,
    latex: bool,
    stage: str | None,
    out: str | None,
    precision: str,
) -> int:
    if gradient + forward + (stage is not None) > 1:
        raise click.UsageError("--gradient, --forward and --stage exclude each other")
    if latex and not (gradient or forward):
        raise click.UsageError("--latex goes with --gradient or --forward")
    from ...compiler.pipeline import front

    network = front(file, settings_of(assignments))
    warn(network.warnings)
    if stage is not None:
        text = _stage(network, stage, precision)
    elif gradient or forward:
        text = _equations(network, gradient, latex, file)
    else:
        text = _picture(network)
        out = out or f"{Path(file).stem}.svg"
    if out is None or out == "-":
        click.echo(text, nl=not text.endswith("\n"))
    else:
        Path(out).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        click.echo(f"wrote {out}")
    return 0


def _equations(network: Network, gradient: bool, latex: bool, file: str) -> str:
    from ...compiler.printing.equations import forward_equations, gradient_equations

    if gradient and network.graph.loss is None:
        raise click.UsageError(f"'{file}' has no loss, so there is no gradient")
    equations = gradient_equations(network.graph) if gradient else forward_equations(network.graph)
    return "\n".join(e.latex if latex else e.text for e in equations)


def _picture(network: Network) -> str:
    from ...compiler.mathematics.counts import count_sharing
    from ...compiler.printing.picture import svg

    return svg(network.graph, count_sharing(network.graph))


def _stage(network: Network, stage: str, precision: str) -> str:
    from ...compiler.pass_order import STAGES, run_passes
    from ...compiler.pipeline import lower_network
    from ...compiler.printing.listing import text
    from ...compiler.source import did_you_mean
    from ..training.settings import read_plan

    if stage not in STAGES:
        hint = did_you_mean(stage, STAGES) or f"there are {', '.join(STAGES)}"
        raise click.UsageError(f"no stage '{stage}'; {hint}")
    if stage == "syntax":
        return pprint.pformat(network.module, width=110)
    plan = read_plan(network)
    optimizer = plan.optimizer if network.train is not None and network.graph.loss else None
    if stage == "llvm":
        program = lower_network(network, capacity=plan.capacity, precision=precision, optimizer=optimizer)[1]  # type: ignore[arg-type]
        return "\n".join(kernel.text for kernel in program.kernels.values())
    for name, graph in run_passes(network, optimizer=optimizer):
        if name == stage:
            return text(graph)
    raise click.UsageError(f"the stage '{stage}' does not apply: the file has no loss or no train section")
