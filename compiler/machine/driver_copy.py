"""Rows of datasets into the buffers of a program, and rows of outputs back: LLVM text.

In: a `Placement` and what is known of it.  Out: how its lanes and rows are laid out (`RowCopy`), and the text of a few
functions that do the work for all placements, such as

    void @dln_fill_i32x8(ptr buffer, ptr data, ptr rows, i64 begin, i64 end,
                          i64 row_bytes, i64 lanes, i64 lane_stride, i64 extent, i64 stride)

`rows[lane]` is the row of the row-major `data` that belongs to a lane of the minibatch; `extent` neighbours in a row lie `stride`
bytes apart in the buffer (along the last of a placement's dimensions; driver.py loops over the others, if there are any).
[begin, end) counts groups of lanes (`group_count`), so that threads can share the work. Where the batch is innermost in the
buffer, as it mostly is, this is a transposition: squares of 2, 4 or 8 rows by as many columns are turned in registers.
"""

from __future__ import annotations

from math import prod

from ..kernels.program import DataType, Placement
from ..record import record

#: Bits of the widest vectors that squares are made of: 16 rows at a time are hardly faster than 8, and take LLVM four times
#: as long to compile.
_WIDEST = 256
_BITS = {"float32": 32, "float64": 64, "int32": 32, "int64": 64}


def data_type_of(data_type: DataType) -> str:
    """The LLVM type of an element."""
    return {"float32": "float", "float64": "double", "int32": "i32", "int64": "i64"}[data_type]


def is_batched(place: Placement, capacity: int) -> bool:
    """Whether the first axis is the batch."""
    return place.batched if place.batched is not None else place.shape[:1] == (capacity,)


@record
class RowCopy:
    """How the lanes of a buffer and the rows of data are laid out. `lane_stride` is 0 where all lanes share one value."""

    item: int  # bytes of an element
    lanes: int
    lane_stride: int
    dimensions: tuple[
        tuple[int, int], ...
    ]  # (extent, stride in bytes) of the features, merged where contiguous
    square: int  # rows and columns turned at a time; 1: one element after the other

    @property
    def row_bytes(self) -> int:
        return self.item * prod(n for n, _ in self.dimensions)

    @property
    def group_count(self) -> int:
        return -(-self.lanes // self.square)

    def function(self, into_buffer: bool) -> str:
        """The name of the function that copies this: `dln_fill_…` into the buffer, `dln_read_…` out of it."""
        return f"dln_{'fill' if into_buffer else 'read'}_i{8 * self.item}x{self.square}"

    @property
    def operands(self) -> str:
        """The last operands of a call."""
        extent, stride = self.dimensions[-1]
        numbers = (self.row_bytes, self.lanes, self.lane_stride, extent, stride)
        return ", ".join(f"i64 {n}" for n in numbers)


def row_copy(place: Placement, capacity: int, batched: bool, vector_bits: int) -> RowCopy:
    """The layout of a placement, and the size of the squares for a machine's vectors."""
    bits = _BITS[place.data_type]
    if batched:
        lane_stride, extents, strides = place.strides[0], place.shape[1:], place.strides[1:]
    else:
        lane_stride, extents, strides = 0, place.shape, place.strides
    merged: list[tuple[int, int]] = []
    for extent, stride in zip(extents, strides, strict=True):
        if extent == 1:
            continue
        if merged and merged[-1][1] == extent * stride:
            merged[-1] = (merged[-1][0] * extent, stride)
        else:
            merged.append((extent, stride))
    if not merged:
        merged = [(1, bits // 8)]
    square = min(vector_bits, _WIDEST) // bits
    if lane_stride != bits // 8 or capacity < square or merged[-1][0] < square:
        square = 1
    return RowCopy(bits // 8, capacity, lane_stride, tuple(merged), square)


def copy_function(copy: RowCopy, into_buffer: bool) -> str:
    """The text of the function that `copy` names."""
    return _CopyText(copy.item, copy.square, into_buffer).function(copy.function(into_buffer))


_NUMBERS = ("begin", "end", "row.bytes", "lanes", "lane.stride", "extent", "stride")


def copy_declaration(name: str) -> str:
    """The declaration of a copy function that is defined elsewhere."""
    return f"declare void @{name}({', '.join(['ptr'] * 3 + ['i64'] * len(_NUMBERS))})"


class _CopyText:
    """Writes the loops. A loop's head is a block with a phi; `%gN` are values, `bN` blocks."""

    def __init__(self, item: int, square: int, into_buffer: bool) -> None:
        self.item, self.square, self.into_buffer = item, square, into_buffer
        self.element = f"i{8 * item}"
        self.lines: list[str] = []
        self.count = 0
        self.block = "entry"

    def value(self, right: str) -> str:
        self.count += 1
        self.lines.append(f"  %g{self.count} = {right}")
        return f"%g{self.count}"

    def start_block(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def address(self, base: str, index: str, stride: str | int) -> str:
        offset = self.value(f"mul i64 {index}, {stride}")
        return self.value(f"getelementptr i8, ptr {base}, i64 {offset}")

    def open_loop(self, begin: str, end: str, step: int = 1) -> tuple[str, tuple[str, str, str, int]]:
        """Begin a loop: begin, begin + step, … below end. Gives the variable, and what `close_loop` needs."""
        self.count += 1
        number = self.count
        some = self.value(f"icmp slt i64 {begin}, {end}")
        self.lines.append(f"  br i1 {some}, label %b{number}, label %e{number}")
        before = self.block
        self.start_block(f"b{number}")
        # The block that ends the body is not known yet; close_loop puts its name in.
        self.lines.append(f"  %i{number} = phi i64 [ {begin}, %{before} ], [ %n{number}, %@{number}@ ]")
        return f"%i{number}", (str(number), begin, end, step)

    def close_loop(self, loop: tuple[str, str, str, int]) -> None:
        number, _, end, step = loop
        last = self.block
        self.lines = [line.replace(f"%@{number}@", f"%{last}") for line in self.lines]
        self.lines.append(f"  %n{number} = add i64 %i{number}, {step}")
        more = self.value(f"icmp slt i64 %n{number}, {end}")
        self.lines.append(f"  br i1 {more}, label %b{number}, label %e{number}")
        self.start_block(f"e{number}")

    def function(self, name: str) -> str:
        group, loop = self.open_loop("%begin", "%end")
        if self.square == 1:
            self.one_lane(group)
        else:
            first = self.value(f"mul i64 {group}, {self.square}")
            following = self.value(f"add i64 {first}, {self.square}")
            full = self.value(f"icmp sle i64 {following}, %lanes")
            self.lines.append(f"  br i1 {full}, label %full, label %part")
            self.start_block("full")
            self.turn_squares(first, name)
            self.lines.append("  br label %done")
            self.start_block("part")
            lane, lanes = self.open_loop(first, "%lanes")
            self.one_lane(lane)
            self.close_loop(lanes)
            self.lines.append("  br label %done")
            self.start_block("done")
        self.close_loop(loop)
        body = "\n".join(self.lines)
        rows = f"  %pointers = alloca [{self.square} x ptr], align 64\n" if self.square > 1 else ""
        square = self.square_function(name) if self.square > 1 else ""
        numbers = ", ".join(f"i64 %{name}" for name in _NUMBERS)
        return (
            f"{square}define void @{name}(ptr noalias %buffer, ptr noalias %data, ptr noalias %rows, {numbers})"
            f" noinline nounwind {{\nentry:\n{rows}{body}\n  ret void\n}}\n"
        )

    def row(self, lane: str) -> str:
        """The address of the row of a lane."""
        place = self.value(f"getelementptr i64, ptr %rows, i64 {lane}")
        return self.address("%data", self.value(f"load i64, ptr {place}"), "%row.bytes")

    def move(self, in_row: str, in_buffer: str) -> None:
        """One element."""
        source, target = (in_row, in_buffer) if self.into_buffer else (in_buffer, in_row)
        moved = self.value(f"load {self.element}, ptr {source}")
        self.lines.append(f"  store {self.element} {moved}, ptr {target}")

    def one_lane(self, lane: str) -> None:
        """One lane, element after element."""
        row, buffer = self.row(lane), self.address("%buffer", lane, "%lane.stride")
        column, loop = self.open_loop("0", "%extent")
        self.move(self.address(row, column, self.item), self.address(buffer, column, "%stride"))
        self.close_loop(loop)

    def turn_squares(self, first: str, name: str) -> None:
        """The lanes first … first + square − 1: squares, then the columns that do not fill one."""
        for k in range(self.square):
            place = self.value(f"getelementptr ptr, ptr %pointers, i64 {k}")
            self.lines.append(f"  store ptr {self.row(self.value(f'add i64 {first}, {k}'))}, ptr {place}")
        buffer = self.address("%buffer", first, self.item)
        whole = self.value(f"and i64 %extent, {-self.square}")
        column, loop = self.open_loop("0", whole, self.square)
        offset, there = self.value(f"mul i64 {column}, {self.item}"), self.address(buffer, column, "%stride")
        self.lines.append(
            f"  call void @{name}.square(ptr %pointers, i64 {offset}, ptr {there}, i64 %stride)"
        )
        self.close_loop(loop)
        lane, lanes = self.open_loop("0", str(self.square))
        place = self.value(f"getelementptr ptr, ptr %pointers, i64 {lane}")
        row, there = self.value(f"load ptr, ptr {place}"), self.address(buffer, lane, self.item)
        column, loop = self.open_loop(whole, "%extent")
        self.move(self.address(row, column, self.item), self.address(there, column, "%stride"))
        self.close_loop(loop)
        self.close_loop(lanes)

    def square_function(self, name: str) -> str:
        """One square: load a vector per row (or per column of the buffer), transpose, store the other way round.

        A function of its own, since LLVM takes long over loops that step through many pointers.
        """
        self.lines = []
        rows = []
        for k in range(self.square):
            place = self.value(f"getelementptr ptr, ptr %pointers, i64 {k}")
            row = self.value(f"load ptr, ptr {place}")
            rows.append(self.value(f"getelementptr i8, ptr {row}, i64 %offset"))
        size, item = self.square, self.item
        vector = f"<{size} x {self.element}>"
        columns = [self.address("%buffer", str(k), "%stride") for k in range(size)]
        sources, targets = (rows, columns) if self.into_buffer else (columns, rows)
        values = [self.value(f"load {vector}, ptr {source}, align {item}") for source in sources]
        # Dealing the halves out like cards, log2(size) times, transposes (H. S. Stone, "Parallel processing with the
        # perfect shuffle", IEEE Transactions on Computers C-20, 1971).
        half = size // 2
        low = ", ".join(f"i32 {k // 2 + (k % 2) * size}" for k in range(size))
        high = ", ".join(f"i32 {half + k // 2 + (k % 2) * size}" for k in range(size))
        for _ in range(size.bit_length() - 1):
            dealt = []
            for k in range(half):
                pair = f"shufflevector {vector} {values[k]}, {vector} {values[k + half]}, <{size} x i32>"
                dealt += [self.value(f"{pair} <{low}>"), self.value(f"{pair} <{high}>")]
            values = dealt
        for value, target in zip(values, targets, strict=True):
            self.lines.append(f"  store {vector} {value}, ptr {target}, align {item}")
        body = "\n".join(self.lines)
        return (
            f"define internal void @{name}.square(ptr %pointers, i64 %offset, ptr %buffer, i64 %stride)"
            f" noinline nounwind {{\n{body}\n  ret void\n}}\n"
        )
