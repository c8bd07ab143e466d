"""Which accepted request's deadline passes next."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from streambox.batcher.request import COMPLETED

if TYPE_CHECKING:
    from streambox.batcher.request import PendingRequest

_SLACK = 64  # an ended request kept here keeps its inputs and its batch's outputs


class Expiry:
    """
    The unfinished requests of one model by deadline, queued and executing alike.

    Requests under the model's own time-out expire in the order of their arrival, so a
    deque will do; a heap holds only those that brought a deadline. Ended requests stay
    until they surface, or until ``prune``.

    Cost: an append per request under the model's time-out, O(log n) otherwise.
    """

    __slots__ = ("_count", "_heap", "_queue", "append")

    def __init__(self) -> None:
        self._queue: deque[PendingRequest] = deque()
        self.append = self._queue.append  # add() for a request under the model's time-out: no call of ours
        self._heap: list[tuple[int, int, PendingRequest]] = []
        self._count = 0

    def add(self, request: PendingRequest) -> None:
        if request.timeout_ns is None:
            self.append(request)
            return
        self._count += 1
        heapq.heappush(self._heap, (request.deadline_ns, self._count, request))

    def prune(self, in_flight: int) -> None:
        """
        Drop those that have ended, once they outnumber the others; call it when some have.

        *in_flight*: how many of the requests added here have not ended.
        """
        queue, most = self._queue, 2 * in_flight + _SLACK
        while queue and queue[0].state >= COMPLETED:
            queue.popleft()
        if len(queue) > most:
            alive = [request for request in queue if not request.done]
            queue.clear()
            queue.extend(alive)
        if len(self._heap) > most:
            self._heap = [entry for entry in self._heap if not entry[2].done]
            heapq.heapify(self._heap)

    def next_ns(self) -> int | None:
        """The earliest deadline of an unfinished request; None when there is none."""
        queue, heap = self._queue, self._heap
        while queue and queue[0].done:
            queue.popleft()
        while heap and heap[0][2].done:
            heapq.heappop(heap)
        if queue and heap:
            return min(queue[0].deadline_ns, heap[0][0])
        if queue:
            return queue[0].deadline_ns
        return heap[0][0] if heap else None

    def pop_due(self, now_ns: int) -> PendingRequest | None:
        """Remove and return an unfinished request whose deadline is not after *now_ns*."""
        due_ns = self.next_ns()
        if due_ns is None or due_ns > now_ns:
            return None
        if self._queue and self._queue[0].deadline_ns == due_ns:
            return self._queue.popleft()
        return heapq.heappop(self._heap)[2]

    def unfinished(self) -> list[PendingRequest]:
        """Every request here that has not ended, in no particular order."""
        return [r for r in (*self._queue, *(entry[2] for entry in self._heap)) if not r.done]
