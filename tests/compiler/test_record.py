"""Records against the library's dataclasses."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import pprint
from dataclasses import dataclass, field
from typing import Any

import pytest
from dln.compiler.record import record


@record
class Place:
    line: int = field(default=0, compare=False, repr=False, kw_only=True)


@record
class Name(Place):
    """A name."""

    name: str


@record
class Call(Place):
    function: str
    arguments: tuple[Place, ...] = ()
    options: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PlainPlace:
    line: int = field(default=0, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class PlainCall(PlainPlace):
    function: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, int] = field(default_factory=dict)


@record
class Numbered:
    number: int

    def __hash__(self) -> int:
        return 7


def test_a_hash_of_the_class_itself_is_kept() -> None:
    @dataclass(frozen=True)
    class Plain:
        number: int

        def __hash__(self) -> int:
            return 7

    assert hash(Numbered(1)) == hash(Plain(1)) == 7
    assert Numbered(1) == Numbered(1) != Numbered(2)


def test_they_are_made_and_shown_as_dataclasses_are() -> None:
    for call, plain in (
        (Call("f"), PlainCall("f")),
        (Call("f", (1,), {"a": 2}, line=3), PlainCall("f", (1,), {"a": 2}, line=3)),  # type: ignore[arg-type]
        (Call(function="f" * 90, options={}), PlainCall(function="f" * 90, options={})),
    ):
        assert dataclasses.asdict(call) == dataclasses.asdict(plain)  # type: ignore[call-overload]
        assert repr(call) == repr(plain).replace("PlainCall", "Call")
        shown = [[line.strip() for line in pprint.pformat(c, width=60).splitlines()] for c in (call, plain)]
        assert shown[0] == [line.replace("PlainCall", "Call") for line in shown[1]]
    assert Call.__match_args__ == PlainCall.__match_args__
    assert [(f.name, f.kw_only) for f in dataclasses.fields(Call)] == [  # type: ignore[arg-type]
        (f.name, f.kw_only) for f in dataclasses.fields(PlainCall)
    ]
    assert Call("f").options is not Call("f").options
    assert Name.__doc__ == "A name."
    match Call("g", (Name("x"),)):
        case Call("g", (Name(name),)):
            assert name == "x"
        case _:
            pytest.fail("it does not match")


@pytest.mark.parametrize("wrong", [{}, {"function": "f", "other": 1}, {"line": 3}])
def test_what_is_missing_or_unknown_is_refused_alike(wrong: dict[str, Any]) -> None:
    messages = []
    for kind in (Call, PlainCall):
        with pytest.raises(TypeError) as error:
            kind(**wrong)
        messages.append(str(error.value).replace("PlainCall", "Call"))
    assert messages[0] == messages[1]
    with pytest.raises(TypeError):
        Call("f", (), {}, 3)  # type: ignore[misc]


def test_equality_and_hash_leave_out_what_is_not_compared() -> None:
    assert Name("x", line=1) == Name("x", line=2) != Name("y")
    assert hash(Name("x", line=1)) == hash(Name("x"))
    assert Name("x") != Call("x")
    assert Call("f", (Name("x"),)) == Call("f", (Name("x", line=9),))
    assert len({Name("x"), Name("x", line=4), Name("y")}) == 2


def test_they_cannot_be_changed_but_replaced_copied_and_pickled() -> None:
    name = Name("x", line=3)
    with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field 'name'"):
        name.name = "y"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'name'"):
        del name.name
    other = dataclasses.replace(name, name="y")  # type: ignore[type-var]
    assert (other.name, other.line) == ("y", 3)
    for again in (copy.deepcopy(name), pickle.loads(pickle.dumps(name))):
        assert (again, again.line) == (name, 3)


@record(frozen=False)
class Tally:
    name: str
    counts: list[int] = field(default_factory=list)
    total: int = field(default=0, init=False)
    half: float = field(init=False)

    def __post_init__(self) -> None:
        self.half = sum(self.counts) / 2


@dataclass
class PlainTally:
    name: str
    counts: list[int] = field(default_factory=list)
    total: int = field(default=0, init=False)
    half: float = field(init=False)

    def __post_init__(self) -> None:
        self.half = sum(self.counts) / 2


def test_what_may_be_changed_is_as_the_library_makes_it() -> None:
    for values in (("x",), ("x", [3, 4])):
        tally, plain = Tally(*values), PlainTally(*values)  # type: ignore[arg-type]
        assert repr(tally) == repr(plain).replace("PlainTally", "Tally")
        assert tally == Tally(*values) and tally is not Tally(*values)  # type: ignore[arg-type]
        tally.total = plain.total = 7
        assert tally != Tally(*values)  # type: ignore[arg-type]
        assert dataclasses.asdict(tally) == dataclasses.asdict(plain)  # type: ignore[call-overload]
    for kind in (Tally, PlainTally):
        with pytest.raises(TypeError, match="unhashable"):
            hash(kind("x"))
        with pytest.raises(TypeError, match="total"):
            kind("x", total=3)  # type: ignore[call-arg]


def test_a_record_that_is_not_compared_is_itself() -> None:
    @record(eq=False)
    class Site:
        name: str

    one, other = Site("x"), Site("x")
    assert one != other and len({one, other}) == 2 and repr(one).endswith("Site(name='x')")
