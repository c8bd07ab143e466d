"""Whether a request may enter: immediate, typed refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streambox.errors import BadRequest, Draining, ModelUnavailable, QueueFull, StreamBoxError

if TYPE_CHECKING:
    from streambox.batcher.counters import ModelCounters
    from streambox.batcher.request import PendingRequest
    from streambox.batcher.tenants import Tenant


class Admission:
    """
    One model's door.

    ``max_queue_size`` bounds the requests that wait for a batch; ``max_rows`` the
    rows of one request, however many batches it takes. ``closed_by`` is the error to
    answer while the door is shut.
    """

    __slots__ = ("closed_by", "max_queue_size", "max_rows", "model")

    def __init__(self, model: str, max_queue_size: int, max_rows: int) -> None:
        self.model = model
        self.max_queue_size = max_queue_size
        self.max_rows = max_rows
        self.closed_by: StreamBoxError | None = None

    def refusal(self, request: PendingRequest, counters: ModelCounters) -> StreamBoxError | None:
        """Why *request* may not enter; None when it may. Cost: three comparisons."""
        if self.closed_by is not None:
            # A new one each time: a raised error keeps its traceback, and with it the caller's frames.
            return type(self.closed_by)(str(self.closed_by))
        if counters.queued >= self.max_queue_size:
            return QueueFull(
                f"model {self.model!r} has {counters.queued} requests waiting, its max_queue_size: "
                "try again later"
            )
        if request.rows > self.max_rows:
            return BadRequest(
                f"{request.rows} rows exceed the {self.max_rows} that a request to model {self.model!r} "
                "may have: send fewer rows per request"
            )
        return None

    def crowding(self, tenant: Tenant, waiting: int) -> QueueFull | None:
        """
        Why *tenant*, of whom *waiting* requests wait, gets no further place in a queue that is half full.

        The first half of the places is for whoever comes; of the others each tenant has its share, so
        that one who floods the queue leaves room to the rest. They add up to no more than all: who is
        let in has less than its share of the second half, or the first is not full.
        """
        own = max(1, int(self.max_queue_size * tenant.share / 2))
        if waiting < own:
            return None
        return QueueFull(
            f"model {self.model!r} is busy, and tenant {tenant.name!r} has {waiting} requests waiting, "
            "its share: try again later"
        )

    def drain(self) -> None:
        self.closed_by = Draining("the server is shutting down: send the request elsewhere")

    def fail(self, reason: str) -> None:
        self.closed_by = ModelUnavailable(f"model {self.model!r} cannot be served now: {reason}")

    def open(self) -> None:
        if not isinstance(self.closed_by, Draining):
            self.closed_by = None
