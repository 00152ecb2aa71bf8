"""`dln ntk FILE`: the neural tangent kernel for some samples, its eigenvalues, and how it moves while the network learns.

In: a .dln file.  Out: a line for the epochs 0, 1, 2, 5, 10, …; with --save the matrices, with --json one object.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command_line import (
    FILE,
    JSON,
    PRECISION,
    SET,
    THREADS,
    print_json,
    settings_of,
    warn,
    with_json_errors,
)

if TYPE_CHECKING:
    import numpy as np

    from ..diagnosis.tangent_kernel import Spectrum

#: Eigenvalues in a line of the table.
SHOWN = 4


@click.command("ntk", help="The neural tangent kernel, and how it moves while the network learns.")
@FILE
@SET
@click.option("--layer", help="Whose units. Default: the last layer that the loss depends on.")
@click.option("--samples", type=click.IntRange(1), default=32, show_default=True, help="The first so many.")
@click.option(
    "--part", type=click.Choice(["train", "validation", "test"]), default="train", show_default=True
)
@click.option("--epochs", type=click.IntRange(0), help="Of the training. Default: the file's; 0: none.")
@click.option("--seed", type=click.IntRange(0), help="Of first weights and sample order.")
@click.option("--weights", type=click.Path(), help="A file or a run folder to begin with.")
@click.option("--save", type=click.Path(), help="A file NAME.npz with the matrices: epochs, kernels.")
@THREADS
@PRECISION
@JSON
def command(
    file: str,
    assignments: tuple[str, ...],
    layer: str | None,
    samples: int,
    part: str,
    epochs: int | None,
    seed: int | None,
    weights: str | None,
    save: str | None,
    threads: int | None,
    precision: str,
    as_json: bool,
) -> int:
    settings = settings_of(assignments, seed=seed)

    def action() -> int:
        import numpy as np

        from ...compiler.pipeline import front
        from ..diagnosis.tangent_kernel import Spectrum, TangentKernel
        from ..program import Network

        text = sys.stderr if as_json else sys.stdout
        elaborated = front(file, settings)
        warn(elaborated.warnings)
        trains = epochs != 0 and elaborated.train is not None
        net = Network(
            elaborated, Path(file).parent, precision=precision, threads=threads,  # type: ignore[arg-type]
            purpose="training" if trains else "evaluation",
        )  # fmt: skip
        if weights is not None:
            path = Path(weights)
            net.restore(path / "weights.safetensors" if path.is_dir() else path)
        data = net.load_data()
        if part not in data.parts:
            raise click.UsageError(f"the data of '{file}' has no {part} part, only {', '.join(data.parts)}")
        kernel = TangentKernel(elaborated, layer)
        chosen = {name: values[:samples] for name, values in data[part].items()}
        kernels: dict[int, np.ndarray] = {}
        spectra: dict[int, Spectrum] = {}

        def look(epoch: int, held: Any, loss: float | None) -> None:
            theta = kernel(held, chosen)
            if not np.isfinite(theta).all():
                raise click.ClickException(f"the derivatives are not finite after epoch {epoch}")
            first = kernels.get(0, theta)
            if save is not None or not kernels:
                kernels[epoch] = theta
            spectra[epoch] = Spectrum.of(theta, first)
            print(_line(epoch, loss, spectra[epoch]), file=text, flush=True)

        count = sum(view.size for view in kernel.weights.values())
        rows = min(samples, data.counts[part])
        print(f"layer {kernel.layer}: {rows} samples × {kernel.units:,} units, {count:,} weights", file=text)
        print(_heads(), file=text)
        look(0, net.saved_arrays(), None)
        if trains:
            _train(net, data, epochs, look)
        if save is not None:
            _save(Path(save), kernels)
        if as_json:
            print_json(
                {
                    "layer": kernel.layer, "samples": rows, "units": kernel.units, "weights": count,
                    "epochs": [_object(epoch, spectrum) for epoch, spectrum in spectra.items()],
                }
            )  # fmt: skip
        return 0

    return with_json_errors(as_json, action)


def _train(net: Any, data: Any, epochs: int | None, look: Any) -> None:
    """Train, and look after the epochs 1, 2, 5, 10, … and the last one."""
    from ..training.history import Record
    from ..training.loop import TrainingState

    state = TrainingState()
    last = epochs or net.plan.epochs
    seen: list[int] = []

    def on_epoch(record: Record) -> None:
        mantissa = f"{record.epoch:e}".split("e")[0].rstrip("0").rstrip(".")
        if mantissa in ("1", "2", "5") or record.epoch == last:
            seen.append(record.epoch)
            look(record.epoch, state.current, record.train["loss"])

    history = net.train(data, epochs=epochs, state=state, on_epoch=on_epoch)
    if len(history) and seen[-1:] != [len(history)]:  # it ended early
        look(len(history), state.current, history[-1].train["loss"])


def _heads() -> str:
    values = "".join(f"{f'λ{n + 1}':>11}" for n in range(SHOWN))
    return f"{'epoch':>7}{'loss':>11}{'Σλ / n':>11}{values}{'smallest':>11}{'moved':>9}"


def _line(epoch: int, loss: float | None, spectrum: Spectrum) -> str:
    values = spectrum.eigenvalues
    shown = "".join(f"{values[n]:11.4g}" if n < len(values) else " " * 11 for n in range(SHOWN))
    return (
        f"{epoch:7}{f'{loss:11.4g}' if loss is not None else ' ' * 11}{values.mean():11.4g}{shown}"
        f"{values[-1]:11.3g}{spectrum.moved:9.4f}"
    )


def _object(epoch: int, spectrum: Spectrum) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "eigenvalues": [float(v) for v in spectrum.eigenvalues],
        "condition": spectrum.condition,
        "moved": spectrum.moved,
    }


def _save(path: Path, kernels: dict[int, np.ndarray]) -> None:
    import io

    import numpy as np

    from ..checkpoint import write_atomically

    content = io.BytesIO()
    np.savez(content, epochs=np.array(list(kernels)), kernels=np.stack(list(kernels.values())))
    write_atomically(path, content.getvalue())
