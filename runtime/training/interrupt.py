"""Ctrl-C while native code runs: noted when it comes, acted upon between two native calls.

In: nothing.  Out: `Interrupt`, whose `flag` native code looks at before every minibatch.

    with Interrupt() as interrupt:
        while work and not interrupt.requested: …

Python delivers signals only between bytecodes, and only to the main thread: elsewhere nothing is installed, and the thread
that wants to stop a training calls `request`. A second Ctrl-C interrupts at once.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """A request to stop, from the keyboard (SIGINT), the system (SIGTERM), or another thread."""

    def __init__(self) -> None:
        self.flag = ctypes.c_int32(0)
        self._earlier: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return bool(self.flag.value)

    def request(self) -> None:
        """Ask for the work to end after the minibatch that is running."""
        self.flag.value = 1

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._restore()
            raise KeyboardInterrupt
        self.request()

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                earlier = signal.getsignal(number)
                # Leave alone what the surrounding program handles itself, or ignores.
                if earlier in (signal.default_int_handler, signal.SIG_DFL):
                    self._earlier[number] = signal.signal(number, self._handle)
        return self

    def _restore(self) -> None:
        for number, earlier in self._earlier.items():
            signal.signal(number, earlier)
        self._earlier.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
