"""Parquet and Arrow files against the same table as CSV, and what is refused. Without pyarrow: the hint how to install it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.data.reading import load_data
from dln.tests.runtime.sections import section

INPUTS = {"x": ((3,), None), "t": ((), 2), "v": ((2,), None)}
TEXT = """data {{
  from  {source}
  x     = join(area, fill(price_k, 0), flag)
  t     = category(town)
  v     = {vector}
  order fixed
}}"""


def test_the_hint_where_pyarrow_is_missing(tmp_path, monkeypatch):
    (tmp_path / "d.parquet").write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DiagnosticError, match=r"pip install 'dln\[arrow\]'"):
        load_data(section('data {\n from "d.parquet"\n x = a\n}', {"x": ((), None)}), "float32", tmp_path)


@pytest.fixture
def table():
    pyarrow = pytest.importorskip("pyarrow")
    towns = pyarrow.array(["Ulm", "Bonn", "Ulm", "Bonn"]).dictionary_encode()
    columns = {
        "area": pyarrow.array([1.5, 2.5, 3.5, 4.5], pyarrow.float32()),
        "price (k)": pyarrow.array([10, None, 30, 40]),
        "flag": pyarrow.array([True, False, True, True]),
        "town": towns,
        "pair": pyarrow.array([[1, 2], [3, 4], [5, 6], [7, 8]]),
        "odd": pyarrow.array([[1], [2, 3], [4], [5]]),
        "when": pyarrow.array([0, 1, 2, 3], pyarrow.timestamp("s")),
    }
    return pyarrow.table(columns)


def write(table, kind: str, folder) -> str:
    import pyarrow
    from pyarrow import feather, parquet

    match kind:
        case "parquet":
            parquet.write_table(table, folder / "d.parquet", row_group_size=3)
        case "feather":
            feather.write_feather(table, folder / "d.feather")
        case "stream":
            with (
                pyarrow.OSFile(str(folder / "d.stream"), "wb") as sink,
                pyarrow.ipc.new_stream(sink, table.schema) as w,
            ):
                w.write_table(table, max_chunksize=2)
    return f'arrow "d.{kind}"' if kind == "stream" else f'"d.{kind}"'


@pytest.mark.parametrize("kind", ["parquet", "feather", "stream"])
def test_a_table_reads_as_its_csv_does(table, tmp_path, kind):
    source = write(table, kind, tmp_path)
    data = load_data(section(TEXT.format(source=source, vector="pair"), INPUTS), "float64", tmp_path)
    rows = "1.5,10,1,Ulm,1,2\n2.5,,0,Bonn,3,4\n3.5,30,1,Ulm,5,6\n4.5,40,1,Bonn,7,8\n"
    (tmp_path / "d.csv").write_text("area,price (k),flag,town,p,q\n" + rows)
    peer = load_data(section(TEXT.format(source='"d.csv"', vector="join(p, q)"), INPUTS), "float64", tmp_path)
    for name in INPUTS:
        np.testing.assert_array_equal(data["train"][name], peer["train"][name])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("price_k", "row 1 of d.parquet (rows count from 0), column 'price_k': a value is missing"),
        ("odd", "row 1 of 'd.parquet', column 'odd': a list of 2, the first has 1"),
        ("when", "column 'when' of 'd.parquet' holds timestamp["),
        ("data", "column 'price_k': a value is missing"),
        ("prce", "d.parquet has no column 'prce'"),
        ("town", "this column is text"),
    ],
)
def test_what_cannot_be_used_is_refused(table, tmp_path, column, message):
    source = write(table, "parquet", tmp_path)
    network = section(f"data {{\n from {source}\n x = {column}\n}}", {"x": ((), None)})
    with pytest.raises(DiagnosticError) as caught:
        load_data(network, "float64", tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense PAR1", b"ARROW1\0\0 nonsense"])
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_broken_files(tmp_path, content, kind):
    pytest.importorskip("pyarrow")
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DiagnosticError, match=f"cannot read 'f' as {kind}"):
        load_data(section(f'data {{\n from {kind} "f"\n x = a\n}}', {"x": ((), None)}), "float64", tmp_path)
