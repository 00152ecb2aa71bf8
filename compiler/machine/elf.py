"""Object files of 64-bit x86 systems with ELF, linked into an image that lies anywhere.

In: the object files that LLVM writes (native.py), the functions that are wanted.  Out: `Image`, or None where the files hold
what this linker does not know: another format, another machine, data that is written to. LLVM's own linker serves then.

    image = link([entry, kernel, other_kernel], ["dln_routine_train"])

Only what position-independent code of one piece needs is here: sections that are read or run are put one behind the other, and
references within them are relative (System V ABI, AMD64 supplement 1.0, § 4.4). A function of the system is called through a
jump of six bytes, `jmp [rip + 0]`, and the slot with its address behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from ..record import record
from .image import Image

_X86_64 = 62
_SECTION = struct.Struct(
    "<IIQQQQIIQQ"
)  # name, type, flags, address, offset, size, link, info, alignment, entry size
_SYMBOL = struct.Struct("<IBBHQQ")  # name, binding and type, visibility, section, value, size
_RELOCATION = struct.Struct("<QQq")  # offset, symbol and kind, addend
_SYMBOLS, _RELOCATIONS, _EMPTY = 2, 4, 8
_WRITTEN, _KEPT = 1, 2
_RELATIVE = (2, 4)  # R_X86_64_PC32, R_X86_64_PLT32
_UNDEFINED = 0
_LOCAL = 0
_JUMP = b"\xff\x25\x00\x00\x00\x00"


@record(frozen=False)
class _Reference:
    """Four bytes at `place` of the image that say how far away `target` is: a symbol's name, or an offset."""

    place: int
    target: str | int
    addend: int


class _Unknown(Exception):
    """Something that this linker leaves to LLVM's."""


def link(objects: Sequence[bytes], wanted: Iterable[str]) -> Image | None:
    """One image of several object files. Functions that several of them define are the same, and the first is taken."""
    work = _Linking()
    try:
        for content in objects:
            work.add(content)
        return work.image(list(wanted))
    except (_Unknown, struct.error, IndexError):
        return None


class _Linking:
    def __init__(self) -> None:
        self.code = bytearray()
        self.defined: dict[str, int] = {}
        self.references: list[_Reference] = []

    def add(self, content: bytes) -> None:
        if content[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", content, 18)[0] != _X86_64:
            raise _Unknown
        (start,) = struct.unpack_from("<Q", content, 40)
        (count,) = struct.unpack_from("<H", content, 60)
        sections = [_SECTION.unpack_from(content, start + _SECTION.size * n) for n in range(count)]
        places: dict[int, int] = {}
        for number, (_, kind, flags, _, offset, size, _, _, alignment, _) in enumerate(sections):
            if not flags & _KEPT or not size:
                continue
            if flags & _WRITTEN or kind == _EMPTY:
                raise _Unknown
            self.code += b"\0" * (-len(self.code) % max(1, alignment))
            places[number] = len(self.code)
            self.code += content[offset : offset + size]
        tables = [s for s in sections if s[1] == _SYMBOLS]
        symbols = [symbol for table in tables for symbol in self._symbols(content, sections, table, places)]
        for _, kind, _, _, offset, size, _, section, _, _ in sections:
            if kind != _RELOCATIONS or section not in places:
                continue
            for at, info, addend in _RELOCATION.iter_unpack(content[offset : offset + size]):
                if info & 0xFFFFFFFF not in _RELATIVE:
                    raise _Unknown
                self.references.append(_Reference(places[section] + at, symbols[info >> 32], addend))

    def _symbols(
        self,
        content: bytes,
        sections: Sequence[tuple[int, ...]],
        table: tuple[int, ...],
        places: dict[int, int],
    ) -> list[str | int]:
        """Every symbol as the offset where it lies, or as its name if other files may define it."""
        _, _, _, _, offset, size, names, *_ = table
        texts = sections[names][4]
        found: list[str | int] = []
        for name, information, _, section, value, _ in _SYMBOL.iter_unpack(content[offset : offset + size]):
            text = content[texts + name : content.index(b"\0", texts + name)].decode()
            if section == _UNDEFINED:
                found.append(text)
            elif section in places:
                place = places[section] + value
                if information >> 4 != _LOCAL:
                    place = self.defined.setdefault(text, place)
                found.append(place)
            else:  # of a section that is not kept, such as the file's name; a reference to it is not known
                found.append(-1)
        return found

    def image(self, wanted: list[str]) -> Image:
        slots: dict[str, int] = {}
        jumps: dict[str, int] = {}
        for reference in self.references:
            target = reference.target
            if isinstance(target, str):
                if target not in self.defined and target not in jumps:
                    self.code += b"\0" * (-(len(self.code) + len(_JUMP)) % 8)
                    jumps[target] = len(self.code)
                    slots[target] = len(self.code) + len(_JUMP)
                    self.code += _JUMP + bytes(8)
                target = self.defined.get(target, jumps.get(target, -1))
            if target < 0:
                raise _Unknown
            struct.pack_into("<i", self.code, reference.place, target + reference.addend - reference.place)
        if any(name not in self.defined for name in wanted):
            raise _Unknown
        return Image(bytes(self.code), {name: self.defined[name] for name in wanted}, slots)
