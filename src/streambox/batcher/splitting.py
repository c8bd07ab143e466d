"""
A request of more rows than a batch may have: cut into parts, and answered as one. Pure.

The *whole* is what its caller knows and what is counted: accepted once, ended once, for its model
and for its tenant. Its *parts* wait, run, fail and are tried again as any request does, and are
counted in a ledger beside, for which the same laws hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streambox.batcher.request import DISPATCHED, FAILED, QUEUED, PendingRequest
from streambox.errors import BadModelOutput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streambox.batcher.counters import ModelCounters
    from streambox.batcher.request import State

    Array = np.ndarray[Any, np.dtype[Any]]


class Part(PendingRequest):
    """Some rows of ``split.whole``, from its row ``offset`` on."""

    __slots__ = ("offset", "split")

    offset: int
    split: Split

    def _leave(self, state: State) -> ModelCounters:
        """As its base, but for the tenant, which has asked for the whole."""
        counters = self.counters
        assert counters is not None, "a part is accepted when it is made"  # noqa: S101
        if self.state is QUEUED:
            counters.queued -= 1
            if self.queue is not None:
                self.queue.discard(self)
        self.state = state
        counters.in_flight -= 1
        return counters


class Split:
    """
    An accepted *whole* as parts of at most *rows* rows each, in order; *ledger* counts them.

    The whole waits until the last of its parts is dispatched, and is answered when the last of them
    has completed. The first that fails or expires ends it. Whatever ends it ends the parts that are
    left: those that wait never run.
    """

    __slots__ = ("_unfinished", "_waiting", "parts", "whole")

    def __init__(self, whole: PendingRequest, rows: int, ledger: ModelCounters) -> None:
        self.whole = whole
        self.parts = [self._part(offset, rows, ledger) for offset in range(0, whole.rows, rows)]
        self._waiting = self._unfinished = len(self.parts)
        whole.parts = self

    def __repr__(self) -> str:
        return f"<Split {self.whole!r}: {self._waiting} of {len(self.parts)} parts wait>"

    @property
    def failed(self) -> bool:
        """The whole has, for one of its parts."""
        return self.whole.state is FAILED

    def discard(self, request: PendingRequest) -> None:
        """The whole has ended."""
        request.parts = None
        for part in self.parts:
            part.cancel()

    def dispatched(self) -> None:
        """One of the parts that waited has left its queue."""
        self._waiting -= 1
        whole = self.whole
        if self._waiting or whole.state is not QUEUED:
            return
        whole.state = DISPATCHED
        assert whole.counters is not None  # noqa: S101 - it was accepted
        whole.counters.queued -= 1
        if whole.tenant is not None:
            whole.tenant.queued -= 1

    def _part(self, offset: int, rows: int, ledger: ModelCounters) -> Part:
        whole = self.whole
        rows = min(rows, whole.rows - offset)
        inputs = whole.inputs and {name: a[offset : offset + rows] for name, a in whole.inputs.items()}
        part = Part(whole.model, self._ended, whole.request_id, inputs=inputs, rows=rows)
        part.split, part.offset = self, offset
        part.signature, part.timeout_ns, part.tenant = whole.signature, whole.timeout_ns, whole.tenant
        ledger.received += 1
        part.accept(ledger, whole.enqueued_ns, whole.deadline_ns - whole.enqueued_ns)
        return part

    def _ended(self, part: Part) -> None:
        """Called by a part that has completed, failed or expired."""
        self._unfinished -= 1
        if part.error is not None:
            self.whole.finish(part.error)
        elif not self._unfinished:
            self._answer(part)

    def _answer(self, last: Part) -> None:
        """
        All have completed: join their outputs.

        The batch that the answer tells of is the last one to end: its wait and its service are what the
        caller has waited for.
        """
        whole, batch = self.whole, last.batch
        assert batch is not None  # noqa: S101 - a completed request has run
        try:
            outputs = {name: np.concatenate(self._rows_of(name)) for name in batch.outputs}
        except (KeyError, ValueError) as error:
            whole.finish(BadModelOutput(f"the outputs of its {len(self.parts)} parts do not join: {error}"))
            return
        whole.batch = batch.showing(outputs)
        whole.first_row = 0
        whole.finish()

    def _rows_of(self, name: str) -> list[Array]:
        return [
            part.batch.outputs[name][part.first_row : part.first_row + part.rows]
            for part in self.parts
            if part.batch is not None
        ]


def in_groups(requests: Iterable[PendingRequest], rows: int) -> list[list[PendingRequest]]:
    """*requests* in their order, in groups of at most *rows* rows; one with more is alone."""
    groups: list[list[PendingRequest]] = []
    room = 0
    for request in requests:
        if not groups or request.rows > room:
            groups.append([])
            room = rows
        groups[-1].append(request)
        room -= request.rows
    return groups


def dispatch_parts(requests: Iterable[PendingRequest], ledger: ModelCounters) -> int:
    """Those of *requests* that are parts and wait have been dispatched; how many they are."""
    count = 0
    for request in requests:
        if isinstance(request, Part) and request.state is QUEUED:
            count += 1
            request.state = DISPATCHED
            request.split.dispatched()
    ledger.queued -= count
    return count


def finish_parts(requests: Iterable[PendingRequest]) -> None:
    """Complete those of *requests* that are parts; with the last of them, their whole."""
    for request in requests:
        if isinstance(request, Part):
            request.finish()
