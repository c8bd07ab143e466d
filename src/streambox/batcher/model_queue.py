"""The requests that may share a batch, oldest first."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from streambox.batcher.policy import Place
from streambox.batcher.request import QUEUED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streambox.batcher.request import PendingRequest
    from streambox.batcher.tenants import Tenant


class ModelQueue:
    """
    First in, first out, counted in rows.

    The *head batch* is the longest run of waiting requests, from the oldest on, that
    fits into ``max_batch_size`` rows. It is ``closed`` when it is full, or when the next one
    does not fit: it will not grow any more.

    A request that ends while it waits leaves the counts at once and the deque when it
    surfaces, or when more of the deque is dead than alive.
    """

    __slots__ = ("_requests", "count", "max_batch_size", "rows")

    def __init__(self, max_batch_size: int) -> None:
        self.max_batch_size = max_batch_size
        self.rows = 0
        self.count = 0
        self._requests: deque[PendingRequest] = deque()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[PendingRequest]:
        """Those who wait, in order."""
        return self._waiting()

    def __repr__(self) -> str:
        return f"<ModelQueue {self.count} requests, {self.rows} rows>"

    def append(self, request: PendingRequest) -> None:
        request.queue = self
        self._requests.append(request)
        self.rows += request.rows
        self.count += 1

    def discard(self, request: PendingRequest) -> None:
        """*request*, waiting here, has ended. Cost: O(1), amortised."""
        request.queue = None
        self.rows -= request.rows
        self.count -= 1
        if len(self._requests) > 2 * self.count + 64:
            self._requests = deque(self._waiting())

    @property
    def oldest_ns(self) -> int:
        """When the oldest waiting request arrived. The queue must not be empty."""
        return self._head().enqueued_ns

    @property
    def closed(self) -> bool:
        return self.rows >= self.max_batch_size

    def ahead(self, requests: int) -> list[Place]:
        """The first *requests* that wait, in order. Cost: in proportion to how many."""
        return [Place(r.deadline_ns, r.rows) for r in islice(self._waiting(), requests)]

    def rows_before(self, deadline_ns: int, _tenant: Tenant | None = None) -> int:
        """How many rows would be taken before a request of that deadline, if it came now."""
        return self.rows

    def skim(self, count: int) -> list[PendingRequest]:
        """Remove and return the first *count* requests."""
        taken: list[PendingRequest] = []
        requests = self._requests
        while self.count and len(taken) < count:
            self._head()
            request = requests.popleft()
            self._remove(request)
            taken.append(request)
        return taken

    def put_back(self, requests: Sequence[PendingRequest]) -> None:
        """Undo ``skim``."""
        for request in reversed(requests):
            request.queue = self
            self.rows += request.rows
            self.count += 1
            self._requests.appendleft(request)

    def take(self, rows: int) -> list[PendingRequest]:
        """Remove and return the head batch, of at most *rows* rows (at least one request)."""
        taken: list[PendingRequest] = []
        if not self.count:
            return taken
        requests = self._requests
        if self.rows == self.count == len(requests):
            return self._take_singles(min(rows, self.count))
        room = rows
        while requests:
            request = requests[0]
            if request.state is QUEUED:
                if taken and request.rows > room:
                    break
                room -= request.rows
                self._remove(request)
                taken.append(request)
            requests.popleft()
        return taken

    def _take_singles(self, count: int) -> list[PendingRequest]:
        """The usual case: requests of one row each, none of them ended."""
        popleft = self._requests.popleft
        taken = [popleft() for _ in range(count)]
        for request in taken:
            request.queue = None
        self.rows -= count
        self.count -= count
        return taken

    def _remove(self, request: PendingRequest) -> None:
        self.rows -= request.rows
        self.count -= 1
        request.queue = None

    def _head(self) -> PendingRequest:
        requests = self._requests
        while requests[0].state is not QUEUED:
            requests.popleft()
        return requests[0]

    def _waiting(self) -> Iterator[PendingRequest]:
        return (request for request in self._requests if request.state is QUEUED)


def moved(queue: ModelQueue, kind: type[ModelQueue]) -> ModelQueue:
    """What waits in *queue*, in a new one of *kind* and in its order; *queue* is left empty."""
    made = kind(queue.max_batch_size)
    for request in sorted(queue.skim(queue.count), key=lambda request: request.enqueued_ns):
        made.append(request)
    return made


class DeadlineQueue(ModelQueue):
    """
    The same in the order of deadlines; among equal ones, of arrivals.

    Requests under the model's own limit come in that order anyway. One that brings an
    earlier deadline is put in its place, at a cost in proportion to the queue.
    """

    __slots__ = ()

    def append(self, request: PendingRequest) -> None:
        requests = self._requests
        if not requests or requests[-1].deadline_ns <= request.deadline_ns:
            super().append(request)
            return
        place = bisect_right(requests, request.deadline_ns, key=lambda other: other.deadline_ns)
        request.queue = self
        requests.insert(place, request)
        self.rows += request.rows
        self.count += 1

    def rows_before(self, deadline_ns: int, _tenant: Tenant | None = None) -> int:
        return sum(request.rows for request in self._waiting() if request.deadline_ns <= deadline_ns)

    @property
    def oldest_ns(self) -> int:
        """When the oldest waiting request arrived: not always the first one."""
        return min(request.enqueued_ns for request in self._waiting())
