"""What ends a stream of asks: trouble that every other ask would meet as well, and that everybody hears of at once."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..errors import TeacherError

UNANSWERED = 3
"""So many asks in a row that used up all their tries, with no answer to another in between, are no longer bad luck."""

UNANSWERED_AT_FIRST = 9
"""Before the first reply: one more than whoever asks needs to find that the setup is wrong (`UNPROVEN` in asking)."""


POLL_SECONDS = 0.5
"""So often whoever waits for another try looks whether the run was told to stop."""


class UnaskedError(Exception):
    """An ask that is given up before its next try, because the run was told to stop; nobody is paid for it yet."""


@dataclass
class Ending:
    """The first trouble that ends the stream. Replies under way are still waited for; nothing more is sent."""

    _trouble: TeacherError | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def by(self, trouble: TeacherError) -> TeacherError:
        """`trouble`, made known to all that wait."""
        self._trouble = self._trouble or trouble
        self._news.set()
        return trouble

    def check(self) -> None:
        """Raises the trouble, if there is one: a request that is sent now would meet the same, or be paid in vain."""
        if self._trouble is not None:
            raise self._trouble

    async def nap(self, seconds: float, given_up: Callable[[], bool]) -> None:
        """The wait before a try, cut short where there will be none: by trouble, or because the ask is `given_up`."""
        until = time.monotonic() + seconds
        while not given_up() and (left := until - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._news.wait(), min(left, POLL_SECONDS))
            except TimeoutError:
                continue
            return


@dataclass
class Silence:
    """Asks given up in a row. A long reply that comes too late is one ask's own; a server that hangs is everybody's."""

    _answered: int = 0
    _asks: int = 0

    def grows(self, answered: int) -> bool:
        """One more ask was given up, after `answered` replies in all. Whether the server is at fault."""
        self._asks = self._asks + 1 if answered == self._answered else 1
        self._answered = answered
        return self._asks >= (UNANSWERED if answered else UNANSWERED_AT_FIRST)


def lasting(error: BaseException) -> str | None:
    """What to do about trouble with a connection that no waiting heals; None where it may heal."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                "check the address; for a server of your own, name the file of the certificate that signed its own in"
                " the environment variable SSL_CERT_FILE"
            )
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return "check the host's name in the address, then run the same command again: it resumes"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1
