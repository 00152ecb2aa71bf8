"""A data section, sorted into its settings and columns, and the rows of every part.

In: the section as syntax, the folder of its file.  Out: `Section`, `Part`s: which rows of which source.

    section = read_section(network.data)
    parts = open_parts(section, folder)
    parts["train"].rows                 array[1258]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...compiler import syntax
from ...compiler.record import record
from ...compiler.source import Span
from ..initialize import generator
from .columns import Columns, fail
from .sources import find_file, open_source
from .splits import PARTS, Fold, Plan, divide, names_rows, read_fold, read_split, rows_from_text, take_fold
from .text_source import Number
from .vocabulary import Vocabulary


@record(frozen=False)
class Section:
    """A data section, sorted: its settings by key, its columns by name. `number`: the value of an expression over params."""

    settings: dict[str, syntax.Setting]
    columns: dict[str, syntax.Column]
    span: Span
    number: Number | None = None

    @property
    def seed(self) -> int:
        """Of the order of the rows, and of random columns."""
        setting = self.settings.get("seed")
        match setting.values if setting is not None else ():
            case ():
                return 0
            case (syntax.Number(value=int(number)),):
                return number
        assert setting is not None
        raise fail("E706", "seed takes one whole number", setting.span)

    def resampled(self, rows: np.ndarray) -> np.ndarray:
        """`resample 3`: as many rows, drawn from these with replacement (L. Breiman, Bagging predictors, 1996)."""
        setting = self.settings.get("resample")
        match setting.values if setting is not None else ():
            case ():
                return rows
            case (syntax.Number(value=int(number)),):
                return rows[generator(number, "resample").integers(0, len(rows), len(rows))]
        assert setting is not None
        raise fail("E706", "resample takes one whole number, a seed", setting.span)

    @property
    def split(self) -> tuple[Plan, Span]:
        """The plan of the parts, and where it stands; without a `split` everything is trained on."""
        setting = self.settings.get("split")
        return ({"train": 1.0}, self.span) if setting is None else (read_split(setting), setting.span)

    @property
    def fold(self) -> Fold | None:
        setting = self.settings.get("fold")
        return read_fold(setting) if setting is not None else None


@record(frozen=False)
class Part:
    """Which rows of a source a part has."""

    source: Columns
    rows: np.ndarray


def read_section(declaration: syntax.DataDeclaration, number: Number | None = None) -> Section:
    """Settings and columns of a data section. (Unknown and repeated keys are the elaborator's errors.)"""
    settings = {e.key: e for e in declaration.entries if isinstance(e, syntax.Setting)}
    columns = {e.name: e for e in declaration.entries if isinstance(e, syntax.Column)}
    return Section(settings, columns, declaration.span, number)


def open_parts(
    section: Section, folder: Path | None, vocabulary: Vocabulary | None = None
) -> dict[str, Part]:
    """Every part, with its source opened; of texts with the same vocabulary. Raises DiagnosticError."""
    if "from" not in section.settings:
        raise fail("E701", "the data section does not say where from", section.span)
    number = section.number
    main = open_source(section.settings["from"], folder, number, vocabulary)
    vocabulary = vocabulary or main.vocabulary
    own = {
        part: open_source(section.settings[part], folder, number, vocabulary)
        for part in PARTS
        if part in section.settings
    }
    return rows_of_parts(section, main, own, folder)


def rows_of_parts(
    section: Section, main: Columns, own: Mapping[str, Columns], folder: Path | None
) -> dict[str, Part]:
    """The rows of every part: of the main source, or of a source of its own."""
    plan, span = section.split
    fold = section.fold
    shared = {part: size for part, size in plan.items() if part not in own}
    rows = (
        _named_rows(shared, main, fold or Fold(), folder)
        if names_rows(plan)
        else divide(shared, _order(section, main), span)  # type: ignore[arg-type]
    )
    parts = {part: Part(main, r) for part, r in rows.items()}
    for part, source in own.items():
        order = _order(section, source)
        size = plan.get(part)
        whole = size is None or isinstance(size, syntax.String)
        parts[part] = Part(source, order if whole else divide({part: size}, order, span)[part])  # type: ignore[dict-item]
    if fold is not None and fold.count is not None and not names_rows(plan):
        parts = _folded(parts, fold, section)
    return {part: parts[part] for part in PARTS if part in parts}


def _folded(parts: dict[str, Part], fold: Fold, section: Section) -> dict[str, Part]:
    span = section.settings["fold"].span
    source = parts["train"].source
    if "validation" in parts and parts["validation"].source is not source:
        raise fail("E706", "folds take the place of a validation part from a source of its own", span)
    pooled = {part: p.rows for part, p in parts.items() if p.source is source}
    folded = {part: Part(source, rows) for part, rows in take_fold(pooled, fold, span).items()}
    return {**parts, **folded}


def _named_rows(plan: Plan, source: Columns, fold: Fold, folder: Path | None) -> dict[str, np.ndarray]:
    """The rows that files name."""
    found: dict[str, np.ndarray] = {}
    for part, file in plan.items():
        assert isinstance(file, syntax.String)
        name = file.value.replace("{fold}", str(fold.number))
        path = find_file(name, folder, file.span)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise fail("E703", f"cannot read '{name}': {error}", file.span) from None
        rows = found[part] = rows_from_text(text, source.count, name, file.span)
        for other, taken in found.items():
            both = np.intersect1d(taken, rows) if other != part else np.zeros(0, np.int64)
            if len(both):
                raise fail("E703", f"row {both[0]} is in the {other} and in the {part} part", file.span)
    return found


def _order(section: Section, source: Columns) -> np.ndarray:
    """The rows of a source in the order in which they are split: by seed, or as they stand (`order fixed`)."""
    setting = section.settings.get("order")
    match setting.values if setting is not None else ():
        case (syntax.Name(name="fixed"),):
            return np.arange(source.count)
        case () | (syntax.Name(name="random"),):
            return generator(section.seed, "split", source.description).permutation(source.count)
    assert setting is not None
    raise fail("E706", "order is fixed or random", setting.span)
