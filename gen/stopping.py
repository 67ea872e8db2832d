"""How a run is told to stop: it feeds nothing more, and finishes what is in flight."""

from __future__ import annotations

import threading


class StopSignal:
    """Set from a signal handler or another thread: feed nothing more, finish what is in flight."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signum = 2

    def set(self, signum: int = 2) -> None:
        self.signum = signum
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()
