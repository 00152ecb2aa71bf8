"""`dln new NAME`: a starter file.

In: a name.  Out: NAME.dln, which trains at once.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

STARTER = """# A network that reads handwritten digits.   dln train {name}.dln
network {name}
param   width = 32

input   image[64]                               # 8 × 8 pixels
input   label: class[10]

layer   hidden[width] = relu(dense(image))
layer   score[10]     = dense(hidden)

loss    cross_entropy(score, label)
metric  accuracy(score, label)

data {{
  from  sklearn.digits
  image = data / 16
  label = target
  split 70% train, 15% validation, 15% test
}}

train {{
  optimizer adam(rate = 1e-3)
  batch     32
  epochs    60
  stop      early(patience = 8)
}}
"""


@click.command("new", help="Write NAME.dln, a starter file that trains at once.")
@click.argument("name")
def command(name: str) -> None:
    path = Path(name if name.endswith(".dln") else f"{name}.dln")
    word = path.stem
    if not re.fullmatch(r"[^\W\d]\w*", word):
        raise click.UsageError(f"'{word}' is not a name: letters, digits and _, a letter first")
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(STARTER.format(name=word))
    except FileExistsError:
        raise click.UsageError(f"'{path}' exists; it is left as it is") from None
    click.echo(f"wrote {path}; now: dln train {path}")
