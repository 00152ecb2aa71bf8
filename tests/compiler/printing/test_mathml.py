"""LaTeX of our own as MathML: some formulas by hand, and every equation of some models well formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from dln.compiler.pipeline import front
from dln.compiler.printing.equations import forward_equations, gradient_equations
from dln.compiler.printing.mathml import mathml

MODELS = Path(__file__).resolve().parents[3] / "models"


def inner(latex: str) -> str:
    found = mathml(latex)
    assert found is not None
    head = '<math xmlns="http://www.w3.org/1998/Math/MathML" displaystyle="true">'
    assert found.startswith(head) and found.endswith("</math>")
    return found[len(head) : -len("</math>")]


@pytest.mark.parametrize(
    "latex, expected",
    [
        ("x_{i}", "<msub><mi>x</mi><mi>i</mi></msub>"),
        ("x^{2}", "<msup><mi>x</mi><mn>2</mn></msup>"),
        ("w^{a}_{i}", "<msubsup><mi>w</mi><mi>i</mi><mi>a</mi></msubsup>"),
        (r"\frac{1}{2}", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"\sqrt{x}", "<msqrt><mi>x</mi></msqrt>"),
        (r"\sum_{i} x", '<mrow><munder><mo movablelimits="false">∑</mo><mi>i</mi></munder><mi>x</mi></mrow>'),
        (r"\mathrm{a\_b}", '<mi mathvariant="normal">a_b</mi>'),
        (r"\text{ if }", "<mtext>\xa0if\xa0</mtext>"),
        ("a < b", "<mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow>"),
        ("x'", "<msup><mi>x</mi><mo>′</mo></msup>"),
        ("-1.5", "<mrow><mo>−</mo><mn>1.5</mn></mrow>"),
    ],
)
def test_formulas(latex, expected):
    assert inner(latex) == expected


def test_cases():
    found = ET.fromstring(mathml(r"\begin{cases} x & x > 0 \\ 0 & \text{otherwise} \end{cases}"))
    rows = [child for child in found.iter() if child.tag.endswith("mtr")]
    assert [len(row) for row in rows] == [2, 2] and "otherwise" in "".join(rows[1].itertext())


@pytest.mark.parametrize(
    "latex", [r"\href{x}{y}", r"\frac{1}", "{", r"\left( x", "}", r"\begin{matrix} x \end{matrix}", "{" * 100]
)
def test_what_is_not_known_is_left_to_its_text(latex):
    assert mathml(latex) is None


@pytest.mark.parametrize(
    "name", ["xor", "digits_cnn", "lecun1989", "names_batch_norm", "hexagonal", "random_table"]
)
def test_every_equation_of_a_model(name):
    graph = front(MODELS / f"{name}.dln").graph
    for equation in [*forward_equations(graph), *gradient_equations(graph)]:
        found = mathml(equation.latex)
        assert found is not None, equation.latex
        assert "\\" not in "".join(ET.fromstring(found).itertext())
