"""One request from acceptance to its single end."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from streambox.errors import DeadlineExceeded, StreamBoxError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from streambox.batcher.batch import Batch
    from streambox.batcher.counters import ModelCounters


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


class PendingRequest:
    """
    One inference call: its rows, its stamps, and what to call when it has ended.

    Inputs come in one of two forms: ``vector``, one row for the model's sole input
    as a plain list (the reference API; turned into an array once per batch), or
    ``inputs``, arrays of shape (rows, \\*dims) by input name.

    ``signature`` is equal for requests that may share a batch; None where the
    model's shapes are all fixed. ``deadline_ns`` is when the caller stops waiting.

    After ``on_done(request)`` a completed request finds its rows in
    ``batch.outputs[...][first_row : first_row + rows]``; any other has ``error``.
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
        "request_id",
        "rows",
        "signature",
        "state",
        "vector",
    )

    def __init__(
        self,
        model: str,
        on_done: Callable[[Any], None],
        *,
        request_id: str = "",
        vector: list[float] | None = None,
        inputs: dict[str, np.ndarray[Any, np.dtype[Any]]] | None = None,
        rows: int = 1,
    ) -> None:
        self.model = model
        self.on_done = on_done
        self.request_id = request_id
        self.vector = vector
        self.inputs = inputs
        self.rows = rows
        self.signature: object = None
        self.enqueued_ns = 0
        self.deadline_ns = 0
        self.state = NEW
        self.batch: Batch | None = None
        self.first_row = 0
        self.error: StreamBoxError | None = None
        self.counters: ModelCounters | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request_id!r} {self.model} rows={self.rows} {self.state.name}>"
