"""Where the models are, where their data is, and how a test asks for either.

@needs("mnist")
def test_…(data_folder: None) -> None:
"""

from __future__ import annotations

import os
from pathlib import Path

import dln
import pytest

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.dln"))
DATA = Path(os.environ.get("DLN_DATA", MODELS.parent.parent / "shared" / "data"))


def path_of(name: str) -> Path:
    return MODELS / f"{name}.dln"


def needs(folder: str) -> pytest.MarkDecorator:
    """Skip where a folder of data is absent; models/README.md says what is in it."""
    return pytest.mark.skipif(not (DATA / folder).is_dir(), reason=f"needs the folder {folder} in $DLN_DATA")


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """$DLN_DATA is the folder of the data."""
    monkeypatch.setenv("DLN_DATA", str(DATA))


def trained(name: str, **options: object) -> dln.Network:
    """A model after the training that its file describes."""
    net = dln.load(path_of(name), **options)  # type: ignore[arg-type]
    net.train()
    return net


#: Settings that make a large network small without changing what it is made of.
REDUCED: dict[str, dict[str, str]] = {
    "alexnet": {"size": "63", "part": "16", "units": "32", "classes": "5"},
    "googlenet": {"size": "33", "part": "16", "classes": "5"},
    "deep_tanh": {"units": "20"},
    "adding_irnn": {"T": "12", "H": "8"},
    "adding_lstm": {"T": "12", "H": "8"},
    "char_gpt": {"T": "6", "D": "16"},
    "char_rnn": {"T": "5", "H": "16"},
    "names_both_ways": {"T": "5", "D": "4", "H": "8"},
    "names_dilated": {"T": "9", "C": "8"},
    "neural_language_model": {"units": "20", "features": "8"},
    "pig_latin": {"H": "6", "S": "5", "T": "6"},
    "pig_latin_additive": {"H": "6", "S": "5", "T": "6"},
    "pig_latin_dot": {"H": "6", "S": "5", "T": "6"},
    "pig_latin_reversed": {"H": "6", "S": "5", "T": "6"},
    "pig_latin_transformer": {"N": "8", "heads": "2", "S": "5", "T": "6"},
    "sequence_parity": {"T": "6", "H": "6"},
}
