"""One request from acceptance to its single end."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from streambox.errors import DeadlineExceeded, StreamBoxError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from streambox.batcher.batch import Batch
    from streambox.batcher.counters import ModelCounters
    from streambox.batcher.tenants import Tenant

    Array = np.ndarray[Any, np.dtype[Any]]

log = structlog.get_logger(__name__)


class State(enum.IntEnum):
    """A request moves down this list, once; everything from COMPLETED on is an end."""

    NEW = 0
    QUEUED = 1
    DISPATCHED = 2
    COMPLETED = 3
    FAILED = 4
    EXPIRED = 5
    CANCELLED = 6


# Module-level names: an enum member looked up through its class costs more than the rest of finish().
NEW, QUEUED, DISPATCHED = State.NEW, State.QUEUED, State.DISPATCHED
COMPLETED, FAILED, EXPIRED, CANCELLED = State.COMPLETED, State.FAILED, State.EXPIRED, State.CANCELLED


class HoldsRequests(Protocol):
    """
    Whatever has a request and wants to know when it ends: a queue, while it waits there; what it was
    cut into, as long as it lives.
    """

    def discard(self, request: PendingRequest) -> None: ...


class PendingRequest:
    """
    One inference call: its rows, its stamps, and what to call when it has ended.

    Inputs come in one of two forms: ``vector``, one row for the model's sole input
    (the reference API; a plain list that is turned into an array once per batch, or
    an array where it is long), or ``inputs``, arrays of shape (rows, ...) by input name.

    ``signature`` is equal for requests that may share a batch; None where the
    model's shapes are all fixed. ``timeout_ns`` is the caller's own limit, None: the
    model's. ``deadline_ns`` is the instant at which the caller stops waiting.

    ``on_done(request)`` is called once, when the request has ended, unless its
    caller cancelled it. A completed request finds its rows in
    ``batch.outputs[name][first_row : first_row + rows]``; any other has ``error``.
    """

    __slots__ = (
        "batch",
        "counters",
        "deadline_ns",
        "enqueued_ns",
        "error",
        "first_row",
        "inputs",
        "model",
        "on_done",
        "parts",
        "queue",
        "request_id",
        "rows",
        "signature",
        "state",
        "tenant",
        "timeout_ns",
        "vector",
    )

    def __init__(
        self,
        model: str,
        on_done: Callable[[Any], None],
        request_id: str = "",
        vector: list[float] | Array | None = None,
        inputs: dict[str, Array] | None = None,
        rows: int = 1,
    ) -> None:
        self.model = model
        self.on_done = on_done
        self.request_id = request_id
        self.vector = vector
        self.inputs = inputs
        self.rows = rows
        self.signature: object = None
        self.timeout_ns: int | None = None
        self.enqueued_ns = 0
        self.deadline_ns = 0
        self.state: State = NEW
        self.queue: HoldsRequests | None = None
        self.parts: HoldsRequests | None = None
        self.batch: Batch | None = None
        self.first_row = 0
        self.error: StreamBoxError | None = None
        self.counters: ModelCounters | None = None
        self.tenant: Tenant | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request_id!r} {self.model} rows={self.rows} {self.state.name}>"

    @property
    def done(self) -> bool:
        return self.state >= COMPLETED

    def accept(self, counters: ModelCounters, now_ns: int, timeout_ns: int) -> None:
        """Enter the system: from here on the request ends exactly once."""
        self.state = QUEUED
        self.counters = counters
        self.enqueued_ns = now_ns
        own_ns = self.timeout_ns
        self.deadline_ns = now_ns + (timeout_ns if own_ns is None or own_ns > timeout_ns else own_ns)
        counters.accepted += 1
        counters.in_flight += 1
        counters.queued += 1

    def finish(self, error: StreamBoxError | None = None) -> bool:
        """
        End the request: completed, or failed or expired by *error*.

        Returns False, and changes nothing, when it had ended before.
        """
        if self.state >= COMPLETED:
            return False
        if error is None:
            self._leave(COMPLETED).completed += 1
        elif isinstance(error, DeadlineExceeded):
            self._leave(EXPIRED).expired += 1
        else:
            self._leave(FAILED).failed += 1
        self.error = error
        try:
            self.on_done(self)
        except Exception:  # its caller's fault must not keep the rest of the batch from its answers
            log.exception("on_done raised", model=self.model, request_id=self.request_id)
        return True

    def cancel(self) -> bool:
        """The caller has gone: end without an answer. False when it had ended before."""
        if self.state >= COMPLETED:
            return False
        self._leave(CANCELLED).cancelled += 1
        return True

    def _leave(self, state: State) -> ModelCounters:
        counters = self.counters
        assert counters is not None, "a request is accepted before it ends"  # noqa: S101
        was_queued = self.state is QUEUED
        self.state = state
        counters.in_flight -= 1
        if was_queued:
            counters.queued -= 1
            if self.queue is not None:
                self.queue.discard(self)
        if self.parts is not None:
            self.parts.discard(self)
        tenant = self.tenant
        if tenant is not None:
            tenant.in_flight -= 1
            tenant.queued -= was_queued
            if state is COMPLETED:
                tenant.completed += 1
                tenant.rows += self.rows
        return counters


def complete(requests: list[PendingRequest]) -> None:
    """
    ``finish()`` for all of a batch at once, which saves most of its cost.

    All of them have ended before the first hears of it: one whose caller goes away in the
    course of this is completed, too.
    """
    ending = [request for request in requests if request.state is DISPATCHED]
    if not ending:
        return
    counters = ending[0].counters
    assert counters is not None, "a request is accepted before it ends"  # noqa: S101
    for request in ending:
        request.state = COMPLETED
    counters.in_flight -= len(ending)
    counters.completed += len(ending)
    if ending[0].tenant is not None:
        for request in ending:
            tenant = request.tenant
            assert tenant is not None  # noqa: S101 - all of them have one, or none
            tenant.in_flight -= 1
            tenant.completed += 1
            tenant.rows += request.rows
    for request in ending:
        try:
            request.on_done(request)
        except Exception:  # its caller's fault must not keep the rest of the batch from its answers
            log.exception("on_done raised", model=request.model, request_id=request.request_id)
