"""Text from a trained network, token by token.

In: a `Network` whose data section names a text, its weights, a prompt.  Out: an iterator of tokens, as text.

    for token in generate(net, "ROMEO:", length=200, temperature=0.8, seed=1):
        print(token, end="")

A token is drawn by the softmax of the scores over the temperature; at temperature 0 it is the one with the largest score. A
recurrent network is carried on step by step, at the same cost for every token (compiler/stepping.py); any other one sees the last
tokens that fit into its input each time. Networks over pairs get the prompt as their source, and end where the target ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..compiler import syntax
from ..compiler.source import did_you_mean
from .data.data_section import open_parts, read_section
from .data.reading import TEXT
from .data.text_source import TextPlan, is_text, read_text_plan
from .data.vocabulary import LINE_END, Vocabulary
from .errors import InputError
from .initialize import generator
from .step_execution import StepExecution, empty_sample, step_execution

if TYPE_CHECKING:
    from .program import Network


@dataclass
class Writer:
    """What is known of a network that writes text.

    layer    the layer whose last axis has a score for every token
    roles    column of the text source → the input that it feeds
    """

    net: Network
    plan: TextPlan
    vocabulary: Vocabulary
    layer: str
    roles: dict[str, str]

    def encode(self, prompt: str) -> list[int]:
        text = prompt.lower() if "lower" in self.plan.options else prompt
        try:
            return [int(k) for k in self.vocabulary.encode(text)]
        except ValueError as error:
            raise InputError(f"the prompt cannot be read: {error}") from None


def generate(
    net: Network,
    prompt: str = "",
    *,
    length: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    layer: str | None = None,
) -> Iterator[str]:
    """The tokens that follow a prompt. Raises InputError (at once) where the network cannot write.

    length        so many tokens; None: without end, and of pairs to the end of the target
    temperature   0: always the likeliest token
    layer         of the scores; None: the layer that the loss speaks of
    """
    if temperature < 0 or not np.isfinite(temperature):
        raise InputError(f"the temperature is a number from 0, got {temperature:g}")
    if length is not None and length < 0:
        raise InputError(f"the length is a number from 0, got {length}")
    writer = read_writer(net, layer)
    given = writer.encode(prompt)
    draws = generator(seed, "generate")
    if writer.plan.kind == "pairs":
        return _translated(writer, given, length, temperature, draws)
    return _continued(writer, given, length, temperature, draws)


def read_writer(net: Network, layer: str | None = None) -> Writer:
    """Find out how a network writes. Raises InputError."""
    data = net.elaborated.data
    section = read_section(data, net.elaborated.evaluate_number) if data is not None else None
    setting = section.settings.get("from") if section is not None else None
    if section is None or setting is None or not is_text(setting):
        raise InputError(
            f"'{net.name}' does not learn from a text; its data section should have: from text …"
        )
    plan = read_text_plan(setting, net.elaborated.evaluate_number)
    if plan.kind == "neighbours":
        raise InputError("counts of neighbours have no order; nothing can be written from them")
    saved = net.statistics.found.get(TEXT)
    if saved is not None:
        vocabulary = Vocabulary(tuple(map(str, saved["vocabulary"])), plan.unit)
    else:
        vocabulary = open_parts(section, net.folder)["train"].source.vocabulary  # type: ignore[assignment]
    roles: dict[str, str] = {}
    for name in net.inputs:
        column = section.columns.get(name)
        source = column.value.name if column is not None and isinstance(column.value, syntax.Name) else name
        roles.setdefault(source, name)
    wanted = ("source", "given") if plan.kind == "pairs" else ("token",)
    for source in wanted:
        if source not in roles:
            raise InputError(f"no input of '{net.name}' is the column '{source}' of the text as it is")
    return Writer(net, plan, vocabulary, _layer(net, layer, len(vocabulary)), roles)


def _layer(net: Network, wanted: str | None, classes: int) -> str:
    graph = net.elaborated.graph
    fitting = [
        n for n in net.outputs if graph.families[n].extents and graph.families[n].extents[-1] >= classes
    ]
    if wanted is not None:
        if wanted not in fitting:
            help = did_you_mean(wanted, fitting) or f"there are {', '.join(fitting) or 'none'}"
            raise InputError(f"no layer '{wanted}' with a score for each of {classes} tokens; {help}")
        return wanted
    if not fitting:
        raise InputError(f"'{net.name}' has no layer with a score for each of {classes} tokens")
    losses = [d for d in net.elaborated.module.declarations if isinstance(d, syntax.LossDeclaration)]
    text = losses[0].value.span.text if losses else ""
    return next((n for n in fitting if n in text), fitting[-1])


# --------------------------------------------------------------------------------------------------- drawing


def _draw(scores: np.ndarray, classes: int, temperature: float, draws: np.random.Generator) -> int:
    """A class by the softmax of scores / temperature."""
    scores = scores[:classes].astype(np.float64)
    if not np.isfinite(scores).all():
        raise InputError("the scores are not finite; the weights may be damaged")
    if temperature == 0:
        return int(np.argmax(scores))
    powers = np.exp((scores - scores.max()) / temperature)
    sums = np.cumsum(powers)
    return int(np.searchsorted(sums, draws.random() * sums[-1], side="right").clip(0, classes - 1))


def _continued(
    writer: Writer, given: list[int], length: int | None, temperature: float, draws: np.random.Generator
) -> Iterator[str]:
    """What follows a prompt."""
    vocabulary = writer.vocabulary
    end = vocabulary.tokens.index(LINE_END) if LINE_END in vocabulary.tokens else 0
    # A line begins behind the end of another one.
    context = [end, *given] if writer.plan.has_lines or not given else given
    scorer = carried(writer) or Windowed(writer)
    scorer.begin(context[:-1])
    token, written = context[-1], 0
    while length is None or written < length:
        before, token = token, _draw(scorer.after(token), len(vocabulary), temperature, draws)
        written += 1
        text = vocabulary.tokens[token]
        apart = vocabulary.unit == "words" and LINE_END not in (text, vocabulary.tokens[before])
        yield (" " if apart else "") + text
        if writer.plan.has_lines and token == end:
            scorer.begin([])


def _translated(
    writer: Writer, given: list[int], length: int | None, temperature: float, draws: np.random.Generator
) -> Iterator[str]:
    """The target of a pair, up to its end."""
    net, roles = writer.net, writer.roles
    of_source, of_target = (_extent(net, roles[n]) for n in ("source", "given"))
    if len(given) > of_source:
        raise InputError(f"the prompt has {len(given)} tokens, and the source of a pair at most {of_source}")
    inputs = empty_sample(net)
    backwards = given[::-1] if "reversed" in writer.plan.options else given
    inputs[roles["source"]][0, : len(given)] = backwards
    for name, value in (("source_weight", np.arange(of_source) < len(given)), ("source_length", len(given))):
        if name in roles:
            inputs[roles[name]][0] = value
    execution = net.execution_for(1)
    steps = of_target if length is None else min(length, of_target)
    for step in range(steps):
        scores = execution.forward(inputs, 1)[writer.layer][0, step]
        token = _draw(scores, len(writer.vocabulary), temperature, draws)
        if token == 0:
            return
        yield (" " if writer.vocabulary.unit == "words" and step else "") + writer.vocabulary.tokens[token]
        if step + 1 < of_target:
            inputs[roles["given"]][0, step + 1] = token


# ------------------------------------------------------------------------------------------- ways to get scores


class Windowed:
    """Scores from the last tokens that fit into the input."""

    def __init__(self, writer: Writer):
        net = writer.net
        self.layer, name = writer.layer, writer.roles["token"]
        self.steps = _extent(net, name)
        self.inputs = empty_sample(net)
        self.row = self.inputs[name][0]
        self.execution = net.execution_for(1)
        #: One score for what follows the whole window, or one after each of its tokens.
        self.whole = len(net.elaborated.graph.families[writer.layer].extents) == 1
        self.context: list[int] = []

    def begin(self, context: Sequence[int]) -> None:
        """Forget all but this."""
        self.context = list(context)

    def after(self, token: int) -> np.ndarray:
        """The scores of what follows the context and this token."""
        last = self.context = [*self.context, token][-self.steps :]
        self.row[...] = 0
        if self.whole:  # filled up in front
            self.row[self.steps - len(last) :] = last
            return self.execution.forward(self.inputs, 1)[self.layer][0]
        self.row[: len(last)] = last
        return self.execution.forward(self.inputs, 1)[self.layer][0, len(last) - 1]


class Carried:
    """Scores from a state that is carried on."""

    def __init__(self, stepper: StepExecution):
        self.stepper = stepper
        self.after = stepper.advance

    def begin(self, context: Sequence[int]) -> None:
        """Forget all but this."""
        self.stepper.start()
        for token in context:
            self.stepper.advance(token)


def carried(writer: Writer) -> Carried | None:
    """None where a network cannot be stepped."""
    stepper = step_execution(writer.net, writer.roles["token"], writer.layer)
    return Carried(stepper) if stepper is not None else None


def _extent(net: Network, name: str) -> int:
    extents = net.elaborated.graph.arrays[name].extents
    if len(extents) != 1:
        raise InputError(
            f"the input '{name}' should be one row of tokens, it has the extents {list(extents)}"
        )
    return extents[0]
