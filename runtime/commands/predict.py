"""`dln predict FILE --weights W`: the layers' values for data.

In: a .dln file, weights, and samples: a part of the file's data, or an npz file with an array per input.
Out: an npz file with an array per layer, or a csv file with a column per number.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from ..command_options import PARTS, WEIGHTS, Asked, about_network, print_json


@click.command("predict", help="The layers' values for data, written as npz or csv.")
@WEIGHTS
@click.option("--part", type=PARTS, help="Of the file's data. Default: test, or else train.")
@click.option("--input", "source", type=click.Path(), help="An npz file: an array per input.")
@click.option("--out", type=click.Path(), help="NAME.npz or NAME.csv. Default: csv on the screen.")
@click.option("--layer", "layers", multiple=True, help="Only these layers. Repeatable.")
@about_network
def command(
    asked: Asked,
    weights: str,
    part: str | None,
    source: str | None,
    out: str | None,
    layers: tuple[str, ...],
) -> int:
    if part is not None and source is not None:
        raise click.UsageError("--part and --input exclude each other")
    if out is not None and Path(out).suffix not in (".npz", ".csv"):
        raise click.UsageError(f"--out is NAME.npz or NAME.csv, got '{out}'")
    net = asked.trained(weights)
    for layer in layers:
        if layer not in net.outputs:
            raise click.UsageError(f"no layer '{layer}'; there are {', '.join(net.outputs)}")
    given = _read(source) if source is not None else None
    if given is None:
        data = net.load_data()
        chosen = part or ("test" if "test" in data else "train")
        given = data[chosen]
    outputs = net.predict({n: v for n, v in given.items() if n in net.inputs})
    outputs = {n: v for n, v in outputs.items() if not layers or n in layers}
    _write(outputs, out)
    if asked.as_json:
        print_json({"out": out, "shapes": {n: list(v.shape) for n, v in outputs.items()}})
    elif out is not None:
        shapes = ", ".join(f"{n}{list(v.shape)}" for n, v in outputs.items())
        click.echo(f"wrote {shapes} to {out}")
    return 0


def _read(source: str) -> dict[str, Any]:
    import zipfile

    import numpy as np

    from ..errors import InputError

    try:
        with np.load(source, allow_pickle=False) as archive:
            if hasattr(archive, "files"):
                return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read '{source}' as npz: {error}") from None
    raise InputError(f"'{source}' should be an npz file with an array per input")


def _write(outputs: dict[str, Any], out: str | None) -> None:
    import numpy as np

    from ..checkpoint import write_atomically

    if out is not None and Path(out).suffix == ".npz":
        packed = io.BytesIO()
        np.savez(packed, **outputs)
        write_atomically(out, packed.getvalue())
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    flat = {name: value.reshape(len(value), -1) for name, value in outputs.items()}
    writer.writerow(
        name if value.shape[1] == 1 else f"{name}[{k}]"
        for name, value in flat.items()
        for k in range(value.shape[1])
    )
    for row in zip(*flat.values(), strict=True):
        writer.writerow(f"{number:.6g}" for values in row for number in values)
    if out is None:
        click.echo(text.getvalue(), nl=False)
    else:
        write_atomically(out, text.getvalue().encode())
