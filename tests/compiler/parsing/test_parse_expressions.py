"""Expressions and layout: precedence against Python's own parser, numbers, words, lines that go on, exact spans."""

from __future__ import annotations

import ast
import random

import pytest
from dln.compiler import syntax
from dln.compiler.parse import parse_expression, parse_setting
from dln.compiler.parsing.syntax_errors import STATEMENT_WORDS
from dln.compiler.source import DiagnosticError
from dln.compiler.syntax import (
    ArrayLiteral,
    AxisDeclaration,
    Binary,
    Binder,
    BoundCall,
    Call,
    Column,
    Conditional,
    DataDeclaration,
    Ellipsis,
    FamilyDeclaration,
    Module,
    Name,
    Number,
    Reduction,
    Setting,
    Subscript,
    Unary,
    UpdateDeclaration,
)

from ..parsed import FILES, LANGUAGE, names, only, tree, walk

# ---------------------------------------------------------------------------------- expressions

SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "div", ast.Mod: "mod", ast.Pow: "^",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.And: "and",
    ast.Or: "or", ast.USub: "-", ast.Not: "not",
}  # fmt: skip


def from_python(node: ast.expr) -> syntax.Expression:
    """The tree that Python's parser gives, as ours. Its operators bind as ours do."""
    match node:
        case ast.BinOp(left, sign, right):
            return Binary(SIGNS[type(sign)], from_python(left), from_python(right))
        case ast.UnaryOp(sign, operand):
            return Unary(SIGNS[type(sign)], from_python(operand))
        case ast.Compare(left, [sign], [right]):
            return Binary(SIGNS[type(sign)], from_python(left), from_python(right))
        case ast.BoolOp(sign, [first, *rest]):
            result = from_python(first)
            for each in rest:
                result = Binary(SIGNS[type(sign)], result, from_python(each))
            return result
        case ast.IfExp(test, body, orelse):
            return Conditional(from_python(test), from_python(body), from_python(orelse))
        case ast.Call(ast.Name(name), arguments, keywords):
            named = tuple((str(each.arg), from_python(each.value)) for each in keywords)
            return Call(name, tuple(from_python(each) for each in arguments), named)
        case ast.Subscript(ast.Name(name), ast.Tuple(elements)):
            return Subscript(Name(name), tuple(from_python(each) for each in elements))
        case ast.List(elements):
            return ArrayLiteral(tuple(from_python(each) for each in elements))
        case ast.Name(name):
            return Name(name)
        case ast.Constant(value):
            return Number(value)
    raise AssertionError(ast.dump(node))


def random_expression(rng: random.Random, depth: int) -> str:
    """Words that both parsers know, in any order that is grammatical; most of it without parentheses."""

    def part() -> str:
        return random_expression(rng, depth - 1)

    if depth == 0:
        return rng.choice(["a", "b", "c", "1", "2.5", "1e-3", "0"])
    match rng.randrange(12):
        case 0:
            return f"({part()})"
        case 1:
            return f"-{part()}"
        case 2:
            return f"f({part()}, key={part()})"
        case 3:
            return f"x[{part()}, {part()}]"
        case 4:
            return f"[{part()}, {part()}]"
        case 5:
            return f"({part()} {rng.choice(['==', '!=', '<', '<=', '>', '>='])} ({part()}))"
        case 6:
            return f"({part()} if {part()} else {part()})"
        case 7:
            return f"(not {part()} {rng.choice(['and', 'or'])} {part()} {rng.choice(['and', 'or'])} {part()})"
        case _:
            return f"{part()} {rng.choice(['+', '-', '*', '/', '^', 'div', 'mod'])} {part()}"


def test_operators_bind_as_in_python() -> None:
    rng = random.Random(1)
    compared = 0
    for _ in range(1500):
        text = random_expression(rng, rng.randrange(1, 5))
        python = text.replace("^", "**").replace("div", "//").replace("mod", "%")
        try:
            expected = from_python(ast.parse(python, mode="eval").body)
        except SyntaxError:  # `a * not b` and the like: an error for us too
            with pytest.raises(DiagnosticError):
                parse_expression(text)
            continue
        assert parse_expression(text) == expected, text
        compared += 1
    assert compared > 1000


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("-x^2", "-(x^2)"),
        ("2^-x", "2^(-x)"),
        ("a^b^c", "a^(b^c)"),
        ("-a * b", "(-a) * b"),
        ("a - b - c", "(a - b) - c"),
        ("f div 4 * 2", "(f div 4) * 2"),
        ("sum[i] w[i] * x[i] + b", "(sum[i] (w[i] * x[i])) + b"),
        ("b + sum[i] w[i] * x[i] - c", "(b + (sum[i] (w[i] * x[i]))) - c"),
        ("2 * sum[i] w[i] * x[i]", "2 * (sum[i] (w[i] * x[i]))"),
        ("a / b * sum[i] x[i] / 2 * c", "(a / b) * (sum[i] ((x[i] / 2) * c))"),
        ("-sum[i] x[i] * y", "-(sum[i] (x[i] * y))"),
        ("a * -sum[i] x[i] * y", "a * (-(sum[i] (x[i] * y)))"),
        ("sum[i] -x[i]^2", "sum[i] (-(x[i]^2))"),
        ("sum[i] sum[j] a[i, j] * b + 1", "(sum[i] (sum[j] (a[i, j] * b))) + 1"),
        ("sum[i] a * max[j] b * c", "sum[i] (a * (max[j] (b * c)))"),
        ("sum[i] x[i] > 3 and y", "((sum[i] x[i]) > 3) and y"),
        ("sum[i] a if b else c", "(sum[i] a) if b else c"),
        ("a if b else c if d else e", "a if b else (c if d else e)"),
        ("not a == b or c", "(not (a == b)) or c"),
        ("max[i] x[i] + max(a, 0)", "(max[i] (x[i])) + (max(a, 0))"),
        ("h[t-1, k else 0]", "h[(t-1), (k) else (0)]"),
        ("h[t if a else b else c if d else e]", "h[(t if a else b) else (c if d else e)]"),
    ],
)
def test_precedence(text: str, same: str) -> None:
    assert parse_expression(text) == parse_expression(same)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("007", 7), ("3.", 3.0), (".5", 0.5), ("1e3", 1000.0), ("1.5E-2", 0.015), ("70%", 0.7), ("12.5%", 0.125)],
)  # fmt: skip
def test_numbers(text: str, value: float) -> None:
    number = parse_expression(text)
    assert isinstance(number, Number)
    assert number.value == value
    assert type(number.value) is type(value)


def test_binders() -> None:
    assert parse_expression("sum[i: 5, .., batch where i < j] 1") == Reduction(
        "sum",
        (Binder("i", Number(5)), Binder(".."), Binder("batch")),
        Binary("<", *names("i j")),
        Number(1),
    )
    assert parse_expression("norm[s: N, ..](x, y)") == BoundCall(
        "norm", (Binder("s", Name("N")), Binder("..")), None, names("x y")
    )


@pytest.mark.parametrize("word", [*STATEMENT_WORDS, "class", "from", "table"])
def test_words_are_special_only_where_they_begin_a_statement(word: str) -> None:
    text = f"layer {word}[{word}: 3] = a[{word}, t] * {word} + f({word} = {word})\nlet y = {word}"
    layer, let = tree(text).declarations
    assert isinstance(layer, FamilyDeclaration) and layer.name == word
    assert let == FamilyDeclaration("let", "y", (), Name(word))
    data = only(f"data {{\n  {word} = {word} / 2\n {word} {word} 3\n}}")
    assert isinstance(data, DataDeclaration)
    assert data.entries == (
        Column(word, Binary("/", Name(word), Number(2))),
        Setting(word, (Name(word), Number(3))),
    )


def test_an_arrow_is_a_comparison_outside_update() -> None:
    assert parse_expression("x<-1") == parse_expression("x < (-1)")
    assert only("update x <- y<-1") == UpdateDeclaration("x", (), parse_expression("y < -1"))


def test_settings_from_the_command_line() -> None:
    assert parse_expression(" adam(rate = 1e-3) ") == Call("adam", (), (("rate", Number(1e-3)),))
    assert parse_expression("input") == Name("input")
    assert parse_setting("split 70% train 30% test").values == (
        *(Number(0.7), Name("train")),
        *(Number(0.3), Name("test")),
    )
    for text in ("", "3 4", "a\nb", "a = 3", ")", "a,"):
        with pytest.raises(DiagnosticError):
            parse_expression(text)
    for text in ("", "epochs = 3", "3", "a\nb"):
        with pytest.raises(DiagnosticError):
            parse_setting(text)


# --------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize(
    "text",
    [
        "layer y[j] = a[j] +\n b[j]",
        "layer y[j] =\n a[j] + b[j]",
        "layer y[j]\n  = a[j]\n  + b[j]",
        "layer y[\n j\n] = a[j] + b[j]",
        "layer y[j] = a[j]   # the first\n\n  # and the second\n  + b[j]  # term",
        "layer y[j] = a[j] + b[j]\r\n",
        "\ufefflayer y[j] = a[j] + b[j]",
        "\tlayer\ty[j]\t=\ta[j]\t+\tb[j]",
    ],
)
def test_a_line_goes_on_where_it_cannot_end(text: str) -> None:
    assert only(text) == only("layer y[j] = a[j] + b[j]")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("let y = a\n  if b\n  else c", "let y = a if b else c"),
        ("let y = a if b else\nc", "let y = a if b else c"),
        ("let y = sum[i]\n  x[i]", "let y = sum[i] x[i]"),
        ("let y = a and\nnot\nb", "let y = a and not b"),
        ("weight w[N]\n  ~ glorot\n  where i < 3", "weight w[N] ~ glorot where i < 3"),
        ("update m\n<-\n3", "update m <- 3"),
        ("index g = {\n a\n ,b,\n}", "index g = {a, b}"),
        ("block f(x[N])\n  -> y[N]\n{\nlet y = x }", "block f(x[N]) -> y[N] {\n let y = x\n}"),
        ("data { seed 3 } train { epochs 2 }", "data {\nseed 3\n}\ntrain {\nepochs 2\n}"),
        ("data {\n split 70% train,\n 30% test }", "data {\n split 70% train, 30% test\n}"),
        ("data {}\ntrain {\n}", "data { }\ntrain { }"),
    ],
)
def test_layout(text: str, same: str) -> None:
    assert tree(text).declarations == tree(same).declarations


def test_an_empty_file_is_a_module() -> None:
    for text in ("", "\n\n", "# nothing\n", "\ufeff"):
        assert tree(text) == Module("test.dln", ())


# ---------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize("name", FILES)
def test_spans_are_exact(name: str) -> None:
    """What a span underlines is the text of the node: parsed alone, it gives the same node."""
    text = (LANGUAGE / name).read_text(encoding="utf-8")
    module = tree(text)
    assert module.span.text == text
    seen = 0
    for node in walk(module.declarations):
        part = node.span.text
        assert part == part.strip() and part
        if isinstance(node, syntax.Expression) and not isinstance(node, Ellipsis):
            assert parse_expression(part) == node
        elif isinstance(node, syntax.Declaration):
            assert only(part) == node
        elif isinstance(node, AxisDeclaration):
            assert only(f"let y[{part}] = 0") == FamilyDeclaration("let", "y", (node,), Number(0))
        elif isinstance(node, Setting):
            assert parse_setting(part) == node
        seen += 1
    assert seen > 20
