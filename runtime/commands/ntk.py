"""`dln ntk FILE`: the neural tangent kernel for some samples, its eigenvalues, and how it moves while the network learns.

In: a .dln file.  Out: a line for the epochs 0, 1, 2, 5, 10, …; with --save the matrices, with --json one object.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command_options import PARTS, Asked, about_network, print_json, weights_file

if TYPE_CHECKING:
    import numpy as np

    from ..diagnosis.tangent_kernel import Spectrum

#: Eigenvalues in a line of the table.
SHOWN = 4


@click.command("ntk", help="The neural tangent kernel, and how it moves while the network learns.")
@click.option("--layer", help="Whose units. Default: the last layer that the loss depends on.")
@click.option("--samples", type=click.IntRange(1), default=32, show_default=True, help="The first so many.")
@click.option("--part", type=PARTS, default="train", show_default=True, help="Whose samples.")
@click.option("--epochs", type=click.IntRange(0), help="Of the training. Default: the file's; 0: none.")
@click.option("--seed", type=click.IntRange(0), help="Of first weights and sample order.")
@click.option("--weights", type=click.Path(), help="A file or a run folder to begin with.")
@click.option("--save", type=click.Path(), help="A file NAME.npz with the matrices: epochs, kernels.")
@about_network
def command(
    asked: Asked,
    layer: str | None,
    samples: int,
    part: str,
    epochs: int | None,
    seed: int | None,
    weights: str | None,
    save: str | None,
) -> int:
    import numpy as np

    from ..diagnosis.tangent_kernel import Spectrum, TangentKernel

    asked.set(seed=seed)
    elaborated = asked.elaborated
    trains = epochs != 0 and elaborated.train is not None
    net = asked.network(purpose="training" if trains else "evaluation")
    if weights is not None:
        net.restore(weights_file(weights))
    data = net.load_data()
    if part not in data.parts:
        raise click.UsageError(f"the data of '{asked.file}' has no {part} part, only {', '.join(data.parts)}")
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
        print(_line(epoch, loss, spectra[epoch]), file=asked.text, flush=True)

    count = sum(view.size for view in kernel.weights.values())
    rows = min(samples, data.counts[part])
    print(
        f"layer {kernel.layer}: {rows} samples × {kernel.units:,} units, {count:,} weights", file=asked.text
    )
    print(_heads(), file=asked.text)
    look(0, net.saved_arrays(), None)
    if trains:
        _train(net, data, epochs, look)
    if save is not None:
        _save(Path(save), kernels)
    if asked.as_json:
        print_json(
            {
                "layer": kernel.layer, "samples": rows, "units": kernel.units, "weights": count,
                "epochs": [_object(epoch, spectrum) for epoch, spectrum in spectra.items()],
            }
        )  # fmt: skip
    return 0


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
