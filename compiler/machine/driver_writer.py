"""Writes LLVM text line by line: values with numbers, blocks with labels, branches and loops.

In: lines.  Out: `Writer.lines`.

    writer = Writer()
    sum = writer.value("add i64 1, 2")            # "%v1"
    after = writer.only_if("%first", "lead")      # a block that runs where %first holds
    …
    writer.end_if(after)
"""

from __future__ import annotations

from .driver_job import field_address, field_type


class Writer:
    """The text of one function. `block`: the label of the block that is being written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0
        self.block = "entry"

    def value(self, right: str) -> str:
        self.count += 1
        self.lines.append(f"  %v{self.count} = {right}")
        return f"%v{self.count}"

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def start_block(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def fresh(self, word: str) -> str:
        self.count += 1
        return f"{word}{self.count}"

    def load_field(self, name: str) -> str:
        return self.value(f"load {field_type(name)}, ptr {self.value(field_address(name))}")

    def store_field(self, name: str, value: str) -> None:
        self.line(f"store {field_type(name)} {value}, ptr {self.value(field_address(name))}")

    def only_if(self, condition: str, word: str) -> str:
        """Open a block that runs where the condition holds. Gives the label that ends it."""
        inside, after = self.fresh(word), self.fresh("after")
        self.line(f"br i1 {condition}, label %{inside}, label %{after}")
        self.start_block(inside)
        return after

    def end_if(self, after: str) -> None:
        self.line(f"br label %{after}")
        self.start_block(after)

    def open_loop(self, word: str, extent: int, reverse: bool = False) -> str:
        """Begin a loop over 0 … extent−1, or downwards. Gives the variable."""
        variable = self.fresh(word)
        self.line(f"br label %{variable}.head")
        before = self.block
        self.start_block(f"{variable}.head")
        first = extent - 1 if reverse else 0
        self.line(f"%{variable} = phi i64 [ {first}, %{before} ], [ %{variable}.next, %{variable}.done ]")
        return f"%{variable}"

    def close_loop(self, variable: str, extent: int, reverse: bool = False) -> None:
        name = variable[1:]
        self.line(f"br label %{name}.done")
        self.start_block(f"{name}.done")
        self.line(f"%{name}.next = add i64 %{name}, {-1 if reverse else 1}")
        self.line(f"%{name}.end = icmp eq i64 %{name}, {0 if reverse else extent - 1}")
        self.line(f"br i1 %{name}.end, label %{name}.left, label %{name}.head")
        self.start_block(f"{name}.left")
