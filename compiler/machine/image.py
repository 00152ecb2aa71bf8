"""Linked machine code as plain data, and its way into memory. It needs no LLVM: a program that was compiled before runs without.

In: what elf.py linked, or the bytes that `as_bytes` gave.  Out: the addresses of its functions.

    image = Image.from_bytes(saved)
    load_image(image).addresses["dln_routine_train"]

An image lies anywhere in memory: all that it says about places in itself is relative. Functions of the system that it calls
are reached through slots of eight bytes each, which are filled with addresses when it is loaded.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import weakref
from functools import cache
from typing import Any

from ..record import record


class ImageError(Exception):
    """The system does not let this process make memory executable, or has no function of a name."""


@record
class Image:
    """code: instructions and constants.  exports: function → offset.  slots: function of the system → offset of its slot."""

    code: bytes
    exports: dict[str, int]
    slots: dict[str, int]

    def as_bytes(self) -> bytes:
        head = json.dumps([self.exports, self.slots]).encode()
        return len(head).to_bytes(8, "little") + head + self.code

    @classmethod
    def from_bytes(cls, content: bytes) -> Image:
        size = int.from_bytes(content[:8], "little")
        exports, slots = json.loads(content[8 : 8 + size])
        return cls(content[8 + size :], exports, slots)


class LoadedImage:
    """An image in memory; it leaves when nothing refers to it any more, but never while the process ends: a thread may be
    running in it."""

    def __init__(self, addresses: dict[str, int], place: int, size: int) -> None:
        self.addresses = addresses
        weakref.finalize(self, _system().munmap, place, size).atexit = False


@cache
def _system() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library


def load_image(image: Image) -> LoadedImage:
    """Put an image into memory: written first, then executable and no longer writable. Raises ImageError."""
    size = -(-max(1, len(image.code)) // mmap.PAGESIZE) * mmap.PAGESIZE
    system = _system()
    # One block of zeros of this process alone.
    place = system.mmap(
        None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    if place is None or place == ctypes.c_void_p(-1).value:
        raise ImageError(f"no memory for machine code: {os.strerror(ctypes.get_errno())}")
    loaded = LoadedImage({name: place + offset for name, offset in image.exports.items()}, place, size)
    ctypes.memmove(place, image.code, len(image.code))
    for name, offset in image.slots.items():
        if not hasattr(system, name):
            raise ImageError(f"the system has no function '{name}'")
        address = ctypes.cast(getattr(system, name), ctypes.c_void_p).value
        ctypes.c_uint64.from_address(place + offset).value = address or 0
    if system.mprotect(place, size, mmap.PROT_READ | mmap.PROT_EXEC):
        reason = os.strerror(ctypes.get_errno())
        raise ImageError(f"memory cannot be made executable: {reason}")
    return loaded
