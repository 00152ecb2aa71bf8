"""The examples of the language, parsed, against trees written by hand."""

from __future__ import annotations

from dln.compiler.syntax import (
    ArrayLiteral,
    AxisDeclaration,
    Binary,
    Binder,
    BlockDeclaration,
    BlockParameter,
    BoundCall,
    Call,
    Column,
    Conditional,
    DataDeclaration,
    FamilyDeclaration,
    FunctionDeclaration,
    ImportDeclaration,
    IndexDeclaration,
    InputDeclaration,
    LossDeclaration,
    MapDeclaration,
    MetricDeclaration,
    Module,
    Name,
    NetworkDeclaration,
    Number,
    OptimizerDeclaration,
    ParameterDeclaration,
    Reduction,
    Setting,
    StateDeclaration,
    String,
    Subscript,
    TableFile,
    TrainDeclaration,
    Unary,
    UpdateDeclaration,
    WeightDeclaration,
)

from ..parsed import LANGUAGE, at, axes, names, numbers, reduction, tree

# ------------------------------------------------------------------------- the examples, by hand


def test_shared_pair() -> None:
    four, two = (AxisDeclaration(None, number) for number in numbers(4, 2))
    kernel = Subscript(Name("w"), (Call("K", names("i j")),))
    assert tree((LANGUAGE / "shared_pair.dln").read_text()) == Module(
        "test.dln",
        (
            NetworkDeclaration("shared_pair"),
            InputDeclaration("x", (four,)),
            WeightDeclaration("w", (two,), Call("normal", (Number(0), Number(0.1))), drawn=True),
            MapDeclaration("K", ("i", "j"), Binary("-", Name("i"), Name("j"))),
            FamilyDeclaration(
                "layer",
                "h",
                (AxisDeclaration("j", Number(3)),),
                Call("tanh", (reduction("sum", "i", Binary("*", kernel, at("x", "i"))),)),
            ),
        ),
    )


def test_maps() -> None:
    i, j = names("i j")
    minus_one = Unary("-", Number(1))
    zero, one = numbers(0, 1)
    rows = (ArrayLiteral((zero, one, minus_one)), ArrayLiteral((minus_one, zero, one)))
    assert tree((LANGUAGE / "maps.dln").read_text()).declarations == (
        MapDeclaration("K", ("i", "j"), Binary("mod", Binary("-", j, i), Number(8))),
        MapDeclaration("K", ("i", "j"), Call("abs", (Binary("-", i, j),))),
        MapDeclaration("K", ("i", "j"), TableFile("lattice.csv")),
        MapDeclaration("K", ("i", "j"), Subscript(ArrayLiteral(rows), (i, j))),
        WeightDeclaration("w", axes("N M"), where=Binary("<=", Call("abs", (Binary("-", i, j),)), Number(2))),
    )


def test_digits() -> None:
    def dense(name: str) -> Call:
        return Call("dense", names(name))

    assert tree((LANGUAGE / "digits.dln").read_text()).declarations == (
        NetworkDeclaration("digits"),
        ParameterDeclaration("width", Number(32)),
        InputDeclaration("image", (AxisDeclaration(None, Number(64)),)),
        InputDeclaration("label", (), classes=Number(10)),
        FamilyDeclaration("layer", "hidden", axes("width"), Call("relu", (dense("image"),))),
        FamilyDeclaration("layer", "score", (AxisDeclaration(None, Number(10)),), dense("hidden")),
        LossDeclaration(Call("cross_entropy", names("score label"))),
        MetricDeclaration(Call("accuracy", names("score label"))),
        DataDeclaration(
            (
                Setting("from", names("sklearn.digits")),
                Column("image", Binary("/", Name("data"), Number(16))),
                Column("label", Name("target")),
                Setting(
                    "split",
                    (
                        *(Number(0.7), Name("train")),
                        *(Number(0.15), Name("validation")),
                        *(Number(0.15), Name("test")),
                    ),
                ),
            )
        ),
        TrainDeclaration(
            (
                Setting("optimizer", (Call("adam", (), (("rate", Number(1e-3)),)),)),
                Setting("batch", numbers(32)),
                Setting("epochs", numbers(60)),
                Setting("stop", (Call("early", (), (("patience", Number(8)),)),)),
            )
        ),
    )


def test_prelude() -> None:
    z, zero = Name("z"), Number(0)
    exponential = Call("exp", (Unary("-", Call("abs", (z,))),))
    product = Binary("*", at("w", "i j"), at("x", ".. i"))
    assert tree((LANGUAGE / "prelude.dln").read_text()).declarations == (
        BlockDeclaration(
            "dense",
            (BlockParameter("x", axes(".. N")),),
            (BlockParameter("y", axes(".. M")),),
            (
                WeightDeclaration("w", axes("N M"), Name("glorot"), drawn=True),
                WeightDeclaration("b", axes("M"), zero),
                FamilyDeclaration(
                    "let", "y", axes(".. j"), Binary("+", at("b", "j"), reduction("sum", "i", product))
                ),
            ),
        ),
        FunctionDeclaration("relu", (BlockParameter("z"),), Call("max", (z, zero))),
        FunctionDeclaration(
            "softplus",
            (BlockParameter("z"),),
            Binary("+", Call("log1p", (exponential,)), Call("max", (z, zero))),
        ),
    )


def test_lecun1989() -> None:
    declarations = tree((LANGUAGE / "lecun1989.dln").read_text()).declarations

    def stride(position: str, offset: str) -> Binary:
        twice = Binary("*", Number(2), Name(position))
        return Binary("-", Binary("+", twice, Name(offset)), Number(2))

    def layer(bias: str, binders: str, weight: Subscript, source: Subscript) -> Call:
        terms = reduction("sum", binders, Binary("*", weight, source))
        return Call("tanh", (Binary("+", at(bias, "f y x"), terms),))

    border = Unary("-", Number(1))
    image = Subscript(Name("image"), (stride("y", "v"), stride("x", "u")), border)
    assert declarations[3] == FamilyDeclaration(
        "layer", "h1", axes("f y x"), layer("b1", "v u", at("w1", "f v u"), image)
    )
    plane = Call("plane", names("f c"))
    hidden = Subscript(Name("h1"), (plane, stride("y", "v"), stride("x", "u")), border)
    assert declarations[7] == FamilyDeclaration(
        "layer", "h2", axes("f y x"), layer("b2", "c v u", at("w2", "f c v u"), hidden)
    )
    planes = ([0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 10, 11], [0, 1, 2, 3, 8, 9, 10, 11])
    table = ArrayLiteral(tuple(ArrayLiteral(numbers(*row)) for row in planes))
    assert declarations[4] == MapDeclaration(
        "plane", ("f", "c"), Subscript(table, (Binary("div", Name("f"), Number(4)), Name("c")))
    )
    drawn = Call("uniform", (Unary("-", Number(2.4)), Number(2.4)))
    assert declarations[1] == WeightDeclaration(
        "w1",
        tuple(AxisDeclaration(None, number) for number in numbers(12, 5, 5)),
        Binary("/", drawn, Call("sqrt", names("fan_in"))),
        drawn=True,
    )


def test_recurrence() -> None:
    lstm, dilated, embedding = tree((LANGUAGE / "recurrence.dln").read_text()).declarations
    assert isinstance(lstm, BlockDeclaration)
    assert lstm.parameters == (BlockParameter("x", axes("T D")),)
    assert lstm.results == (BlockParameter("h", axes("T H")),)
    before = Binary("-", Name("t"), Number(1))
    assert lstm.body[0] == IndexDeclaration("gate", ("input", "forget", "cell", "output"))
    assert lstm.body[3] == WeightDeclaration(
        "b", axes("gate H"), Subscript(ArrayLiteral(numbers(0, 1, 0, 0)), names("gate"))
    )
    from_input = reduction("sum", "i", Binary("*", at("W", "g i j"), at("x", "t i")))
    held = Subscript(Name("h"), (before, Name("k")), Number(0))
    from_state = reduction("sum", "k", Binary("*", at("U", "g k j"), held))
    assert lstm.body[4] == FamilyDeclaration(
        "let", "a", axes("g t j"), Binary("+", Binary("+", at("b", "g j"), from_input), from_state)
    )
    kept = Binary(
        "*", Call("sigmoid", (at("a", "forget t j"),)), Subscript(Name("c"), (before, Name("j")), Number(0))
    )
    new = Binary("*", Call("sigmoid", (at("a", "input t j"),)), Call("tanh", (at("a", "cell t j"),)))
    assert lstm.body[5] == FamilyDeclaration("let", "c", axes("t j"), Binary("+", kept, new))

    assert isinstance(dilated, BlockDeclaration) and isinstance(embedding, BlockDeclaration)
    early = Binary("-", Name("t"), Binary("*", Number(4), Name("k")))
    source = Subscript(Name("x"), (early, Name("c")), Number(0))
    assert dilated.body[1] == FamilyDeclaration(
        "let", "y", axes("t d"), reduction("sum", "k c", Binary("*", at("w", "k c d"), source))
    )
    token = Subscript(Name("E"), (at("token", "t"), Name("d")))
    assert embedding.body[1] == FamilyDeclaration("let", "y", axes("t d"), token)


def test_attention() -> None:
    (block,) = tree((LANGUAGE / "attention.dln").read_text()).declarations
    assert isinstance(block, BlockDeclaration)
    product = Binary("*", at("q", "t d"), at("k", "s d"))
    scaled = Binary("/", product, Call("sqrt", names("D")))
    condition = Binary("<=", Name("s"), Name("t"))
    assert block.body == (
        FamilyDeclaration("let", "e", axes("t s"), reduction("sum", "d", scaled)),
        FamilyDeclaration(
            "let",
            "a",
            axes("t s"),
            BoundCall("softmax", (Binder("s"),), condition, (at("e", "t s"),)),
        ),
        FamilyDeclaration(
            "let", "y", axes("t j"), reduction("sum", "s", Binary("*", at("a", "t s"), at("v", "s j")))
        ),
    )


def test_state() -> None:
    norm, dropout, adam, sgd = tree((LANGUAGE / "state.dln").read_text()).declarations
    assert isinstance(norm, BlockDeclaration) and isinstance(dropout, BlockDeclaration)
    assert isinstance(adam, OptimizerDeclaration) and isinstance(sgd, OptimizerDeclaration)
    assert norm.parameters[1:] == (
        BlockParameter("momentum", None, Number(0.9)),
        BlockParameter("epsilon", None, Number(1e-5)),
    )
    assert norm.body[2] == StateDeclaration("mean", axes("N"), Number(0))
    assert norm.body[4] == FamilyDeclaration(
        "let", "m", axes("n"), reduction("average", "batch ..", at("x", ".. n"))
    )
    deviation = Binary("-", at("x", ".. n"), at("m", "n"))
    assert norm.body[5] == FamilyDeclaration(
        "let", "s", axes("n"), reduction("average", "batch ..", Binary("^", deviation, Number(2)))
    )
    momentum, one = Name("momentum"), Number(1)
    assert norm.body[6] == UpdateDeclaration(
        "mean",
        axes("n"),
        Binary(
            "+",
            Binary("*", momentum, at("mean", "n")),
            Binary("*", Binary("-", one, momentum), at("m", "n")),
        ),
    )
    masked = Binary("*", at("x", ".."), Call("bernoulli", names("keep")))
    assert dropout.body == (
        FamilyDeclaration(
            "let",
            "y",
            axes(".."),
            Conditional(Name("training"), Binary("/", masked, Name("keep")), at("x", "..")),
        ),
    )
    assert adam.parameters[0] == BlockParameter("rate", None, Number(1e-3))
    assert adam.body[0] == StateDeclaration("m", (), Number(0))
    corrected = Binary("/", Name("m"), Binary("-", one, Binary("^", Name("beta1"), Name("step"))))
    spread = Binary("/", Name("v"), Binary("-", one, Binary("^", Name("beta2"), Name("step"))))
    root = Binary("+", Call("sqrt", (spread,)), Name("epsilon"))
    step = Binary("/", Binary("*", Name("rate"), corrected), root)
    assert adam.body[4] == UpdateDeclaration("weight", (), Binary("-", Name("weight"), step))
    descent = Binary("*", *names("rate gradient"))
    assert sgd.body == (UpdateDeclaration("weight", (), Binary("-", Name("weight"), descent)),)


def test_the_remaining_statements() -> None:
    i, j = names("i j")
    square = Binary("^", at("w", "i j"), Number(2))
    penalty = Binary("*", Number(1e-4), reduction("sum", "i j", square))
    best = Binary("==", reduction("argmax", "c", at("score", "c")), Name("label"))
    halving = Binary("^", Number(0.5), Binary("div", Name("epoch"), Number(10)))
    assert tree((LANGUAGE / "whole.dln").read_text()).declarations == (
        NetworkDeclaration("whole"),
        ImportDeclaration("layers.dln"),
        ParameterDeclaration("rate", Number(0.01)),
        InputDeclaration("token", axes("T"), Name("V")),
        IndexDeclaration("direction", ("up", "down", "left", "right")),
        WeightDeclaration("W", axes("V D"), frozen=True, source=String("embedding.safetensors")),
        WeightDeclaration(
            "U",
            axes("D D"),
            Call("normal", numbers(0, 1)),
            drawn=True,
            where=Binary("<", i, j),
            frozen=True,
            source=String("encoder.safetensors"),
        ),
        WeightDeclaration("scale", (), Number(1)),
        StateDeclaration("seen", axes("N"), Number(0)),
        UpdateDeclaration("seen", axes("n"), Binary("+", at("seen", "n"), Number(1))),
        FamilyDeclaration("layer", "y", axes(".."), Binary("*", Number(2), at("x", ".."))),
        FamilyDeclaration(
            "let",
            "low",
            (),
            Reduction("min", (Binder("i"), Binder("j")), Binary("<=", i, j), at("a", "i j")),
        ),
        LossDeclaration(Binary("+", Call("cross_entropy", names("score label")), penalty)),
        MetricDeclaration(reduction("average", "batch", best), "hits"),
        DataDeclaration(
            (
                Setting("from", (Name("csv"), String("points.csv"))),
                Setting("from", (Name("idx"), String("images.gz"), String("labels.gz"))),
                Setting("shuffle", ()),
                Setting("seed", numbers(3)),
                Setting("folds", numbers(5, 1)),
                Column("input", Binary("/", Binary("-", Name("column"), Number(3)), Name("α"))),
            )
        ),
        TrainDeclaration(
            (
                Setting("optimizer", (Call("momentum", (), (("rate", Binary("*", Number(0.1), halving)),)),)),
                Setting("clip", (Name("norm"), Number(1.5))),
            )
        ),
    )
