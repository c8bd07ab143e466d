"""
A batching rule of one's own: who must be answered first goes first.

Where the built-in ``Batcher`` is first in, first out, this one fills its batches in the
order of the requests' deadlines, so that impatient callers overtake patient ones. It
waits for company no longer than the time window either.

    streambox serve --config examples/custom_batcher.yaml
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from streambox.batcher import FlushReason

if TYPE_CHECKING:
    from streambox.batcher import Batch, Engine, PendingRequest


class Queue:
    """One model's waiting requests, by deadline, and how they are batched."""

    def __init__(self, time_window_ns: int, max_batch_size: int) -> None:
        self.time_window_ns = time_window_ns
        self.max_batch_size = max_batch_size
        self.due = False  # somebody has waited for the whole window
        self._by_deadline: list[tuple[int, int, PendingRequest]] = []
        self._count = 0  # equal deadlines: first in, first out

    def push(self, request: PendingRequest) -> None:
        self._count += 1
        heapq.heappush(self._by_deadline, (request.deadline_ns, self._count, request))

    def rows(self) -> int:
        self._by_deadline = [entry for entry in self._by_deadline if not entry[2].done]
        heapq.heapify(self._by_deadline)  # callers may leave while they wait
        return sum(request.rows for *_, request in self._by_deadline)

    def take(self) -> list[PendingRequest]:
        """The most urgent requests that fit into one batch; those of a batch have equal signatures."""
        taken: list[PendingRequest] = []
        room = self.max_batch_size
        while self._by_deadline:
            request = self._by_deadline[0][2]
            if taken and (request.rows > room or request.signature != taken[0].signature):
                break
            room -= request.rows
            taken.append(heapq.heappop(self._by_deadline)[2])
        return taken


class UrgentFirst:
    """Implements ``streambox.batcher.Batcher``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queues: dict[str, Queue] = {}

    def set_time_window(self, ms: float, model: str | None = None) -> None:
        for name in [model] if model else self._engine.models():
            self._queue(name).time_window_ns = round(ms * 1_000_000)

    def set_batch_size(self, rows: int, model: str | None = None) -> None:
        for name in [model] if model else self._engine.models():
            self._queue(name).max_batch_size = rows

    def add_one(self, request: PendingRequest) -> None:
        queue = self._queue(request.model)
        queue.push(request)
        if queue.rows() >= queue.max_batch_size:
            self.batch(request.model, FlushReason.BATCHSIZE)
        if request.batch is None and not request.done:  # it waits: no longer than its window
            end_ns = request.enqueued_ns + queue.time_window_ns
            self._engine.clock.call_at(end_ns, lambda: self._window_ends(request))

    def batch(self, model: str, reason: FlushReason) -> Batch | None:
        """Also called by the engine: with ``slotfree`` when a slot frees, with ``drain`` at the end."""
        queue = self._queue(model)
        sent = None
        while (rows := queue.rows()) and self._engine.slots(model).free:
            if reason is FlushReason.SLOTFREE and not queue.due and rows < queue.max_batch_size:
                break  # nobody's window has ended
            sent = self._engine.dispatch(model, queue.take(), reason) or sent
        queue.due = queue.due and bool(rows)
        return sent

    def _window_ends(self, request: PendingRequest) -> None:
        if request.batch is None and not request.done:
            self._queue(request.model).due = True
            self.batch(request.model, FlushReason.TIMEWINDOW)

    def _queue(self, model: str) -> Queue:
        if model not in self._queues:
            settings = self._engine.settings(model)
            self._queues[model] = Queue(settings.time_window_ns, settings.max_batch_size)
        return self._queues[model]
