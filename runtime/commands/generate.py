"""`dln generate FILE --weights W --prompt TEXT`: text from a trained network.

In: a .dln file whose data section names a text, weights.  Out: the prompt and what follows it, on the screen as it is drawn.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from ..command_options import WEIGHTS, Asked, about_network, print_json


@click.command("generate", help="Text from a trained network, token by token.")
@WEIGHTS
@click.option("--prompt", default="", help="What the text begins with; of pairs, the source.")
@click.option(
    "--temperature", type=click.FloatRange(0), default=1.0, show_default=True, help="0: the likeliest token."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws.")
@click.option("--length", type=click.IntRange(0), default=500, show_default=True, help="So many tokens.")
@click.option("--layer", help="Of the scores. Default: the layer that the loss speaks of.")
@about_network
def command(
    asked: Asked,
    weights: str,
    prompt: str,
    temperature: float,
    seed: int,
    length: int,
    layer: str | None,
) -> int:
    net = asked.trained(weights)
    if not hasattr(net, "generate"):
        raise click.UsageError("an ensemble has no one text to write; give the weights of one of its members")
    tokens = net.generate(prompt, length=length, temperature=temperature, seed=seed, layer=layer)
    if asked.as_json:
        print_json({"prompt": prompt, "text": "".join(tokens)})
    else:
        _show(net, prompt, tokens)
    return 0


def _show(net: Any, prompt: str, tokens: Any) -> None:
    """Print the text while it is drawn."""
    from ..generation import read_writer

    plan = read_writer(net).plan
    if plan.kind == "pairs":
        print(f"{prompt} → ", end="")
    elif prompt:
        print(prompt, end=" " if plan.unit == "words" else "")
    for token in tokens:
        print(token, end="")
        sys.stdout.flush()
    print()
