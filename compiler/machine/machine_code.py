"""The machine code of a program: its routines, run on this machine.

In: a lowered `Program` and a `Target`.  Out: `Code`.

    code = compile_program(program, host_target())
    code.run("train", job, threads=2)

A routine is compiled when it is first asked for, and linked with its kernels into one image, which is kept on disk: a program
that was compiled before needs neither its texts nor LLVM.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any

from ..kernels.division import calls_of, is_balanced, is_divided, scratch_of
from ..kernels.program import Program
from ..record import record
from . import threads as thread_pools
from .cache import load_entry, store_entry
from .elf import link
from .fingerprint import llvm_fingerprint, package_fingerprint
from .image import Image, ImageError, LoadedImage, load_image
from .job import LINE, ROW_PADDING, Job
from .native import Library, compile_text, compile_texts, host_target, load_code
from .target import Target
from .team import Team

if TYPE_CHECKING:
    from .ahead import Ahead

#: Gives the object files of a library.
_Objects = Callable[[], Sequence[bytes]]


def emit_object(program: Program, target: Target, routines: Iterable[str] | None = None) -> bytes:
    """An object file with the entries `dln_routine_NAME` of a program for any target (not linked, not run)."""
    from .module import whole_text

    return compile_text(whole_text(program, routines or program.routines, target), target)


def _loaded(key: tuple[str, ...], names: Sequence[str], objects: _Objects) -> Library | LoadedImage:
    """Functions in memory: from the image that is kept under a key, else linked of object files, which are only asked for then.
    Raises NativeError."""
    kept = load_entry(("image", *key)) if key else None
    try:
        if kept is not None:
            return load_image(Image.from_bytes(kept))
    except ImageError:
        pass
    files = objects()
    image = link(files, names)
    if image is None:
        return load_code(files, names)
    try:
        loaded = load_image(image)
    except ImageError:
        return load_code(files, names)
    if key:
        store_entry(("image", *key), image.as_bytes())
    return loaded


@cache
def _pool_functions() -> tuple[int, int]:
    """The addresses of the functions of driver_threads.py. Their library is never unloaded: threads run in it."""
    target = host_target()

    def objects() -> list[bytes]:
        from .driver_threads import pool_text

        return [compile_text(pool_text(target.architecture), target)]

    key = ("pool", package_fingerprint(), llvm_fingerprint(), repr(target))
    library = _loaded(key, ("dln_pool_worker", "dln_pool_run"), objects)
    _immortal.append(library)
    return library.addresses["dln_pool_worker"], library.addresses["dln_pool_run"]


_immortal: list[Library | LoadedImage] = []
_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


@record(frozen=False)
class _Loaded:
    address: int
    function: Callable[[int, int], None]
    divided: bool
    balanced: int  # calls in which threads take over pieces from each other
    scratch: int  # bytes that each thread lends to the calls
    lent: list[ctypes.Array[ctypes.c_char]] = field(default_factory=list)  # memory that no run uses now
    teams: dict[int, Team] = field(default_factory=dict)  # by number of threads

    def lend(self, threads: int) -> ctypes.Array[ctypes.c_char]:
        """Memory for the calls of so many threads, which nobody else uses. Several Python threads may ask at once."""
        size = max(threads, 1) * self.scratch + LINE
        while self.lent:
            try:
                own = self.lent.pop()
            except IndexError:
                break
            if len(own) >= size:
                return own
        return (ctypes.c_char * size)()


@record(frozen=False)
class Code:
    """The machine code of a program's routines on this machine.

    key       what tells this program from all others, if its images are to be kept on disk
    ahead     what was compiled while the program was made
    seconds   routine → time that it took to compile and load
    """

    program: Program
    target: Target
    profile: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    _loaded: dict[str, _Loaded] = field(default_factory=dict)
    key: str = ""
    ahead: Ahead | None = None
    _objects: dict[str, bytes] = field(default_factory=dict)  # of kernels, by symbol
    _libraries: list[Library | LoadedImage] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def load(self, routine: str) -> _Loaded:
        """Compile and load a routine, if that has not been done. Raises NativeError."""
        with self._lock:
            if routine not in self._loaded:
                self._loaded[routine] = self._compile(routine)
            return self._loaded[routine]

    def _compile(self, routine: str) -> _Loaded:
        start = time.perf_counter()
        entry = f"dln_routine_{routine}"
        key = (self.key, routine, repr(self.target), llvm_fingerprint()) if self.key else ()
        library = _loaded(key, [entry], lambda: self._object_files(routine))
        self._libraries.append(library)
        self.seconds[routine] = time.perf_counter() - start
        address = library.addresses[entry]
        what = self.program.routines[routine]
        divided = any(map(is_divided, calls_of(what)))
        balanced = sum(map(is_balanced, calls_of(what)))
        return _Loaded(address, _Entry(address), divided, balanced, scratch_of(what))

    def _object_files(self, routine: str) -> list[bytes]:
        """The routine's entry, its kernels, and what copies rows for it. Raises NativeError."""
        from .module import entry_texts, kernel_symbol, kernel_text

        program, target = self.program, self.target
        names = dict.fromkeys(call.kernel for call in calls_of(program.routines[routine]))
        symbols = {name: kernel_symbol(program.kernels[name]) for name in names}
        kernels = {symbol: program.kernels[name] for name, symbol in symbols.items()}
        entries = entry_texts(program, routine, target, symbols, self.profile)
        if self.ahead is not None:
            self._objects |= self.ahead.finished(kernels)
            self.ahead = None
        fresh = [symbol for symbol in kernels if symbol not in self._objects]
        texts = [kernel_text(kernels[symbol], target, symbol) for symbol in fresh]
        files = compile_texts([*texts, *entries], target)
        self._objects |= dict(zip(fresh, files, strict=False))
        return [*(self._objects[symbol] for symbol in kernels), *files[len(fresh) :]]

    def run(self, routine: str, job: Job, threads: int = 1) -> None:
        """Go through the job's positions. Several threads may run jobs at once, on memory of their own.

        threads: at the most; a routine that runs faster on one thread gets one. The results do not depend on it.
        """
        loaded = self.load(routine)
        if not 1 <= job.batch <= self.program.capacity:
            raise ValueError(f"a batch of {job.batch}, but the program has room for {self.program.capacity}")
        job.halt = job.arrived = 0
        job.done = job.start
        job.clock_function, job.yield_function = _system_functions()
        rows = (ctypes.c_int64 * (max(threads, 1) * (self.program.capacity + ROW_PADDING)))()
        job.rows = ctypes.addressof(rows)
        minibatches = -(-(job.stop - job.start) // job.batch)
        several, team = False, None
        if threads > 1 and loaded.divided:
            team = loaded.teams.setdefault(threads, Team())
            several = team.choose(minibatches)
        tickets = (ctypes.c_int64 * (several * loaded.balanced * threads * ROW_PADDING))()
        job.tickets = ctypes.addressof(tickets)
        own = loaded.lend(threads)
        job.scratch = -(-ctypes.addressof(own) // LINE) * LINE
        start = time.perf_counter()
        if not (several and thread_pools.run(_pool_functions, loaded.address, job, threads)):
            job.threads = 1
            loaded.function(ctypes.addressof(job), 0)
        if team is not None and job.done == job.stop:
            team.record(several, minibatches, time.perf_counter() - start)
        loaded.lent.append(own)


@cache
def _system_functions() -> tuple[int | None, int | None]:
    return thread_pools.function_address("clock_gettime"), thread_pools.function_address("sched_yield")


def compile_program(
    program: Program,
    target: Target | None = None,
    *,
    profile: bool = False,
    key: str = "",
    ahead: Ahead | None = None,
) -> Code:
    """Code for this machine. `target` may leave out features that the machine has, or ask for narrower vectors."""
    return Code(program, target or host_target(), profile, key="" if profile else key, ahead=ahead)
