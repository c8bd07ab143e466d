"""What all connections share: the way into the scheduler, limits, counts, the date."""

from __future__ import annotations

import random
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, NamedTuple

from streambox.server.head import RequestHead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.batcher.scheduler import Scheduler
    from streambox.errors import StreamBoxError
    from streambox.roster import Roster
    from streambox.server.connection import HotConnection
    from streambox.server.head import Headers
    from streambox.server.routes import Route, Router

REASON_PHRASES: Final[Mapping[int, bytes]] = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    422: b"Unprocessable Content",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class Limits(NamedTuple):
    """What one connection may send, in bytes and nanoseconds; ``buffered``: all of them together."""

    json_body: int = 16 * 1024**2
    binary_body: int = 64 * 1024**2
    header: int = 64 * 1024
    buffered: int = 1024**3
    header_ns: int = 10_000_000_000
    body_ns: int = 30_000_000_000
    idle_ns: int = 75_000_000_000


class Edge:
    """
    The HTTP edge's shared state.

    ``now_ns`` is as old as the last sweep, at most a second: fine for time-outs of
    seconds, and free on the hot path. ``head_200`` is a response head up to the
    content length, made anew when the date changes.
    """

    def __init__(self, scheduler: Scheduler, router: Router, limits: Limits, roster: Roster) -> None:
        self.scheduler = scheduler
        self.router = router
        self.roster = roster
        self.limits = limits
        self.connections: set[HotConnection] = set()
        self.buffered_bytes = 0
        self.most_buffered_bytes = limits.buffered
        self.draining = False
        self.answered = 0
        self.errors: dict[str, int] = {}
        self.now_ns = time.monotonic_ns()
        self.date = b""
        self.head_200 = b""
        self._stamp()

    def read_head(self, url: bytes, headers: Headers, last: RequestHead | None) -> RequestHead | None:
        """The head of a request on a hot route, behind *last*; None when the route is not hot."""
        route = self.router.find(url)
        if route is None:
            return None
        return RequestHead(route, url, headers, self.limits, self.roster, last)

    def sweep(self) -> None:
        """Once a second: the date, and every connection's time-outs."""
        # What happened since the last sweep bears its stamp. Measured from there as well, no time-out is
        # shorter than it says, if up to two sweeps longer.
        last_ns = self.now_ns
        self._stamp()
        for connection in list(self.connections):
            connection.check_timeouts(last_ns)

    def error_reply(
        self, route: Route, error: StreamBoxError, request_id: str | None, *, close: bool
    ) -> bytes:
        """A whole response that says *error* the way *route*'s API says it."""
        self.errors[error.code] = self.errors.get(error.code, 0) + 1
        body, extra = route.error(error, request_id)
        phrase = REASON_PHRASES.get(error.status, b"Error")
        lines = [
            b"HTTP/1.1 %d %b\r\n" % (error.status, phrase),
            self.date,
            b"content-type: application/json\r\n",
        ]
        lines += [b"%b: %b\r\n" % pair for pair in extra]
        if error.retry_after_s is not None:
            lines.append(b"retry-after: %d\r\n" % _apart(error.retry_after_s))
        if error.challenge is not None:
            lines.append(b"www-authenticate: %b\r\n" % error.challenge.encode())
        if close:
            lines.append(b"connection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        lines.append(body)
        return b"".join(lines)

    def _stamp(self) -> None:
        self.now_ns = time.monotonic_ns()
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        self.head_200 = (
            b"HTTP/1.1 200 OK\r\n" + self.date + b"content-type: application/json\r\ncontent-length: "
        )


def _apart(seconds: int) -> int:
    """*seconds*, or up to half as many more: who is turned away together is not to come back together."""
    return random.randint(seconds, seconds + seconds // 2 + 1)
