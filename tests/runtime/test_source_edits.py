"""Overrides written into the text: what is read back from it is what was asked for."""

from __future__ import annotations

from dln.compiler import syntax
from dln.compiler.parse import parse
from dln.compiler.source import Source
from dln.runtime.source_edits import resolve, with_argument

TEXT = """network n   # a comment stays
param width = 32
data {
  from sklearn.digits
  image = data / 16
}
train {
  optimizer adam(rate = 1e-3)
  batch 32
}
"""


def test_values_are_replaced_in_place_and_new_keys_added():
    source = Source("n.dln", TEXT)
    overrides = {"width": "2 * 8", "batch": "7", "optimizer": "sgd(rate = 0.5)", "epochs": "3"}
    text = resolve(parse(source), source, overrides)
    assert text.startswith("# n.dln with: width = 2 * 8, batch = 7,") and "# a comment stays" in text
    tree = parse(Source("n.dln", text))
    train = next(d for d in tree.declarations if isinstance(d, syntax.TrainDeclaration))
    settings = {e.key: e.values for e in train.entries}
    assert settings["batch"] == (syntax.Number(7),) and settings["epochs"] == (syntax.Number(3),)
    assert settings["optimizer"] == (syntax.Call("sgd", (), (("rate", syntax.Number(0.5)),)),)
    param = next(d for d in tree.declarations if isinstance(d, syntax.ParameterDeclaration))
    assert param.value == syntax.Binary("*", syntax.Number(2), syntax.Number(8))
    assert parse(source).declarations[2] == tree.declarations[2]


def test_without_overrides_the_text_is_the_file():
    source = Source("n.dln", TEXT)
    assert resolve(parse(source), source, {}) == TEXT


def test_keys_that_both_sections_have_are_told_apart():
    text = TEXT.replace("from sklearn.digits", "from sklearn.digits\n  seed 1\n  split 50% train, 50% test")
    source = Source("n.dln", text)
    overrides = {"seed": "7", "data.seed": "8", "split": "90% train, 10% test", "rate": "1"}
    tree = parse(Source("n.dln", resolve(parse(source), source, overrides)))
    sections = {type(d): d for d in tree.declarations}
    data = {e.key: e.values for e in sections[syntax.DataDeclaration].entries if hasattr(e, "key")}
    train = {e.key: e.values for e in sections[syntax.TrainDeclaration].entries}
    assert data["seed"] == (syntax.Number(8),) and train["seed"] == (syntax.Number(7),)
    assert data["split"][0] == syntax.Number(0.9)
    assert train["optimizer"][0].named == (("rate", syntax.Number(1)),)


def test_sections_that_are_not_there_are_added():
    source = Source("n.dln", "network n\n")
    tree = parse(Source("n.dln", resolve(parse(source), source, {"epochs": "3"})))
    (train,) = (d for d in tree.declarations if isinstance(d, syntax.TrainDeclaration))
    assert train.entries == (syntax.Setting("epochs", (syntax.Number(3),)),)


def test_arguments_of_the_optimizer():
    assert with_argument("adam(rate = 1e-3)", "rate", "0.1") == "adam(rate = 0.1)"
    assert (
        with_argument("adam(rate = 1e-3 * f(2), beta1 = 0)", "rate", "0.1") == "adam(rate = 0.1, beta1 = 0)"
    )
    assert with_argument("adam(rate = 1e-3, )", "beta1", "0.5") == "adam(rate = 1e-3, beta1 = 0.5)"
    assert with_argument("adam()", "beta1", "0.5") == "adam(beta1 = 0.5)"
    assert with_argument("adam", "beta1", "0.5") == "adam(beta1 = 0.5)"
