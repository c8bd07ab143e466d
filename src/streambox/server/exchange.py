"""What a connection owes replies for, in the order in which the requests came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streambox.batcher.request import PendingRequest

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from streambox.server.routes import Route


class HotRequest(PendingRequest):
    """
    A request on a hot route, which is also its own place in the connection's order.

    ``reply`` is the whole response once it is known; ``close``: the connection ends
    after it. ``call`` is what the route needs to remember to render the answer.
    """

    __slots__ = ("body_bytes", "call", "close", "reply", "route")

    reply: bytes | None
    close: bool
    body_bytes: int
    call: Any
    route: Route


class Refusal:
    """A reply that was known before any request came to be: bad input, over a limit."""

    __slots__ = ("body_bytes", "close", "reply")

    def __init__(self, reply: bytes, *, close: bool) -> None:
        self.reply: bytes | None = reply
        self.close = close
        self.body_bytes = 0


class ColdExchange:
    """A request that uvicorn and the ASGI application answer; it starts when all before it are answered."""

    __slots__ = ("app", "body_bytes", "close", "cycle", "reply", "started")

    def __init__(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.cycle = cycle
        self.app = app
        self.body_bytes = 0  # uvicorn's own flow control bounds what it holds
        self.started = False
        self.reply: bytes | None = None
        self.close = False


Exchange = HotRequest | Refusal | ColdExchange
