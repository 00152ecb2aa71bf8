"""The data section: from a declared source to the arrays of every part.

In: an elaborated network (its inputs, its data section), the folder of its file.
Out: `Data`: part name → input name → array, in the program's types, checked.

    data = load_data(network, "float32", folder)
    data["train"]["image"]          array[1258, 64]
    data["test"]["label"]           array[269]

The order of the rows, and with it the split, comes from the data section's own `seed` (0 unless given), not from the
seed of the training: runs that differ in their seed share their test part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compiler import syntax
from ...compiler.mathematics.graph import Array
from ...compiler.record import record
from ...compiler.source import Diagnostic, DiagnosticError, Note, did_you_mean
from ..arrays import convert, count_samples, describe_input, refuse_where
from ..errors import InputError
from .augmentation import Augmentation, read_augmentation
from .column_expression import ColumnEvaluator, Definitions
from .columns import Columns, fail
from .data_section import Section, open_parts, read_section, rows_of_parts
from .fitted_calls import FittedStatistics
from .splits import PARTS
from .text_source import is_text, read_text_plan
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from ...compiler.elaborate import Network

#: Numbers of an input that are computed at once, so that the double-precision intermediates stay in the cache.
CHUNK = 1 << 18
#: The name under which the vocabulary of a text is kept among the statistics.
TEXT = "text"
#: A source of up to so many rows is computed completely when it is checked.
FEW_ROWS = 10_000

Arrays = dict[str, np.ndarray]


@record(frozen=False)
class Data:
    """The samples of each part. `description` says where they come from.

    statistics     of the fitted functions of the data section (means, categories, …)
    augmentation   what happens to the images of the training part in every epoch, if anything
    """

    parts: dict[str, Arrays]
    description: str = ""
    statistics: FittedStatistics = field(default_factory=FittedStatistics)
    augmentation: Augmentation | None = None
    counts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = {part: count_samples(arrays) for part, arrays in self.parts.items()}

    def __getitem__(self, part: str) -> Arrays:
        if part not in self.parts:
            raise InputError(f"the data has no part '{part}' (it has {', '.join(self.parts)})")
        return self.parts[part]

    def __contains__(self, part: str) -> bool:
        return part in self.parts

    @property
    def warnings(self) -> list[Diagnostic]:
        return self.statistics.warnings


def load_data(
    network: Network, float_type: str, folder: Path | None, statistics: FittedStatistics | None = None
) -> Data:
    """Read, split, compute and check everything that the data section asks for. Raises DiagnosticError.

    statistics   those that were saved with trained weights; None: fitted to the training part
    """
    if network.data is None:
        raise InputError(f"{network.graph.name or 'the file'} has no data section; give arrays")
    section = read_section(network.data, network.evaluate_number)
    statistics = statistics or FittedStatistics()
    parts = open_parts(section, folder, known_vocabulary(section, statistics))
    evaluators = _evaluators(network, section, [p.source for p in parts.values()], statistics)
    train = parts["train"]
    definitions = evaluators[id(train.source)].definitions
    definitions.training = (evaluators[id(train.source)], train.rows)
    if train.source.vocabulary is not None:
        statistics.found[TEXT] = {"vocabulary": np.array(train.source.vocabulary.tokens)}
    rows = {name: part.rows for name, part in parts.items()}
    rows["train"] = section.resampled(train.rows)  # the statistics stay those of all rows
    arrays = {
        name: {
            array.name: column(array, evaluators[id(part.source)], section, rows[name], float_type)
            for array in network.graph.inputs
        }
        for name, part in parts.items()
    }
    definitions.training = None  # they hold one another, and all random numbers that were drawn
    return Data(arrays, train.source.description, definitions.statistics, _augmentation(section, network))


def known_vocabulary(section: Section, statistics: FittedStatistics) -> Vocabulary | None:
    """The vocabulary that was saved with trained weights, if the section's source is a text."""
    setting = section.settings.get("from")
    if TEXT not in statistics.found or setting is None or not is_text(setting):
        return None
    plan = read_text_plan(setting, section.number)  # type: ignore[arg-type]
    return Vocabulary(tuple(map(str, statistics.found[TEXT]["vocabulary"])), plan.unit)


def _augmentation(section: Section, network: Network) -> Augmentation | None:
    setting = section.settings.get("augment")
    return read_augmentation(setting, network) if setting is not None else None


def _evaluators(
    network: Network, section: Section, sources: Iterable[Columns], statistics: FittedStatistics | None
) -> dict[int, ColumnEvaluator]:
    """An evaluator for every source, by the source's id."""
    definitions = definitions_of(network, section, statistics)
    return {id(source): ColumnEvaluator(source, definitions) for source in sources}


def definitions_of(
    network: Network, section: Section, statistics: FittedStatistics | None = None
) -> Definitions:
    """What the section's columns are made from."""
    return Definitions(
        {name: column.value for name, column in section.columns.items()},
        dict(network.parameters),
        own_functions(network),
        {array.name: array.extents for array in network.graph.inputs},
        section.seed,
        statistics or FittedStatistics(),
    )


def own_functions(network: Network) -> dict[str, syntax.FunctionDeclaration]:
    """The functions that the file itself defines, for use in its data section."""
    return {d.name: d for d in network.module.declarations if isinstance(d, syntax.FunctionDeclaration)}


def column(
    array: Array,
    evaluator: ColumnEvaluator,
    section: Section,
    rows: np.ndarray,
    float_type: str,
) -> np.ndarray:
    """The values of one input for these rows, computed in pieces, reshaped to the input's extents and checked."""
    definition = section.columns.get(array.name)
    if definition is None and array.name not in evaluator.source:
        hint = did_you_mean(array.name, section.columns)
        raise fail(
            "E704",
            f"nothing feeds the input {describe_input(array)}",
            array.span,
            help=hint or f"add a line to the data section: {array.name} = …",
        )
    span = definition.value.span if definition is not None else section.span
    declared = [Note(array.span, f"declared as {describe_input(array)}")]
    out: np.ndarray | None = None
    wanted = math.prod(array.extents)
    chunk = max(16, CHUNK // wanted)
    for start in range(0, len(rows), chunk):
        some = rows[start : start + chunk]
        piece = evaluator.rows(array.name, some)
        given = math.prod(piece.shape[1:])
        if given != wanted:
            raise fail(
                "E705",
                f"the input '{array.name}' has {wanted} numbers a sample, but is given {given}",
                span,
                label=f"samples of shape {list(piece.shape[1:])}",
                notes=declared,
            )
        if piece.dtype.kind not in "fiub":
            raise fail("E705", "this column is text", span, help="turn it into numbers with category(…)")
        piece = piece.reshape(len(piece), *array.extents)

        def place(row: int, some: np.ndarray = some) -> str:
            return evaluator.source.place(int(some[row]))

        try:
            checked = _checked(array, piece, float_type, place)
        except InputError as error:
            raise fail("E705", str(error), span, notes=declared) from None
        if out is None:
            out = np.empty((len(rows), *array.extents), checked.dtype)
        out[start : start + len(checked)] = checked
    assert out is not None
    return out


def _checked(array: Array, piece: np.ndarray, float_type: str, place: Callable[[int], str]) -> np.ndarray:
    values = convert(piece, array, float_type, finite=True, place=place)
    if values.dtype.kind == "f":
        refuse_where(~np.isfinite(values), array.name, f"is too large for {float_type}", piece, place)
    return values


def from_arrays(
    given: Mapping[str, Any], network: Network, check: Callable[[Mapping[str, Any]], Arrays]
) -> Data:
    """Data from Python: {input: array}, or {"train": {input: array}, "validation": …, "test": …}.

    Plain arrays are split as the file's data section says, by its seed; without a `split` all of them are trained on.
    """
    section = read_section(network.data, network.evaluate_number) if network.data is not None else None
    augmentation = _augmentation(section, network) if section is not None else None
    if given and set(given) <= set(PARTS) and all(isinstance(v, Mapping) for v in given.values()):
        if "train" not in given:
            raise InputError("the data has no part 'train'")
        parts = {part: check(given[part]) for part in PARTS if part in given}
    else:
        parts = _split(check(given), section)
    return Data(parts, "arrays", augmentation=augmentation)


def _split(arrays: Arrays, section: Section | None) -> dict[str, Arrays]:
    if section is None or "split" not in section.settings:
        return {"train": arrays}
    source = Columns("arrays", count_samples(arrays), {})
    parts = rows_of_parts(section, source, {}, None)
    return {name: {n: a[part.rows] for n, a in arrays.items()} for name, part in parts.items()}


def check_section(network: Network, folder: Path | None) -> list[Diagnostic]:
    """What `dln check` looks at: whether the source exists, is readable, has the columns that are spoken of, and whether
    class numbers are in range. Of other columns of a large source only the first row of each part is computed, and means and
    the like are fitted to the first rows.

    Returns warnings, raises DiagnosticError.
    """
    if network.data is None:
        return []
    section = read_section(network.data, network.evaluate_number)
    parts = open_parts(section, folder)
    evaluators = _evaluators(network, section, [p.source for p in parts.values()], None)
    train = parts["train"]
    definitions = evaluators[id(train.source)].definitions
    definitions.training = (evaluators[id(train.source)], train.rows)
    definitions.few = FEW_ROWS
    found: list[Diagnostic] = []
    try:
        _augmentation(section, network)
    except DiagnosticError as error:
        found += error.diagnostics
    for part in parts.values():
        for array in network.graph.inputs:
            whole = part.source.count <= FEW_ROWS or array.type == "integer"
            rows = part.rows if whole else part.rows[:1]
            if part.source.vocabulary is not None:  # windows of a long text: some of them tell enough
                rows = part.rows[:: -(-len(part.rows) // FEW_ROWS)]
            try:
                column(array, evaluators[id(part.source)], section, rows, "float64")
            except DiagnosticError as error:
                found += [d for d in error.diagnostics if d not in found]
    if found:
        raise DiagnosticError(sorted(found, key=lambda d: d.span.start))
    return definitions.statistics.warnings


__all__ = ["Data", "check_section", "from_arrays", "load_data", "read_section"]
