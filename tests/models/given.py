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
