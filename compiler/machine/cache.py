"""What was compiled, on disk, so that it is compiled once per machine.

In: a key (the kind of the entry, and all that it depends on) and bytes.  Out: the same bytes in a later process.

    store_entry(("object", "22.1.0", "x86_64…", text), code)
    load_entry(("object", "22.1.0", "x86_64…", text))         # code, or None

The folder is $DLN_CACHE, else `dln` in the user's cache folder; DLN_CACHE=off switches the cache off. A file is named by the
SHA-256 of its key and begins with the SHA-256 of its contents: one that is damaged is ignored and written again. So is one
that belongs to another user: entries are machine code, and whoever writes them decides what runs. Files appear by renaming, so
processes do not disturb each other. Those that were not used for longest go when there are more than 256 MB.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

#: Bytes that the folder may hold.
LARGEST = 256 * 2**20
_SUFFIX = ".entry"
_DIGEST_BYTES = 32


def folder() -> Path | None:
    """Where entries are kept; None if they are not."""
    chosen = os.environ.get("DLN_CACHE", "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "") or os.path.expanduser("~/.cache")
    # Where there is no home, "~" stays as it is.
    return Path(base) / "dln" if base and os.path.isabs(base) else None


def _path(key: tuple[str, ...]) -> Path | None:
    place = folder()
    if place is None:
        return None
    from ... import __version__

    digest = hashlib.sha256()
    for part in (__version__, *key):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return place / (digest.hexdigest() + _SUFFIX)


def load_entry(key: tuple[str, ...]) -> bytes | None:
    """What is stored under a key; None if there is nothing, or it is damaged, or another user's."""
    path = _path(key)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            if hasattr(os, "geteuid") and os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            digest, content = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    if hashlib.sha256(content).digest() != digest:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # it was used: let others go first
    return content


def store_entry(key: tuple[str, ...], content: bytes) -> None:
    """Keep an entry. A folder that cannot be written to is no error: the next process compiles again."""
    path = _path(key)
    if path is None:
        return
    import tempfile

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _count_towards_room(path.parent, len(content))
    except OSError:
        return


#: Bytes that this process has written to a folder since it last looked whether there is room; a folder that it has not looked
#: at counts as full. (Looking takes as long as the folder is full of files.)
_written: dict[Path, int] = {}


def _count_towards_room(place: Path, size: int) -> None:
    _written[place] = _written.get(place, LARGEST) + size
    if _written[place] > LARGEST // 16:
        _written[place] = 0
        _make_room(place)


def _make_room(place: Path) -> None:
    """Remove the files that were not used for longest until the rest is small enough, and what a killed process left."""
    files = []
    for entry in os.scandir(place):
        if entry.name.endswith((_SUFFIX, ".object", ".part")):
            with contextlib.suppress(OSError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, entry.path))
    newest = max((time for time, _, _ in files), default=0.0)
    total = sum(size for _, size, _ in files)
    for time, size, path in sorted(files):
        abandoned = path.endswith(".part") and time < newest - 3600
        if total <= LARGEST and not abandoned:
            continue
        with contextlib.suppress(OSError):
            os.unlink(path)
            total -= size
