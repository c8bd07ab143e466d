"""
Whose rows a batch is made of, where several tenants wait: start-time fair queueing. Pure.

Goyal, Vin and Cheng, "Start-time Fair Queueing" (SIGCOMM 1996). Each tenant has a finish tag F, in
service time divided by weight. The next row is that of the smallest start tag, max(V, F), where
the virtual time V is the start tag of the row taken last. A row of a batch of b rows is charged
ℓ(b)/b, its part of the batch's time, over its tenant's weight.

So backlogged tenants are served in proportion to their weights to within one batch; whoever is
alone gets all there is; and idle time earns no credit, since V has moved on meanwhile.
"""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from streambox.batcher.model_queue import moved
from streambox.batcher.splitting import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streambox.batcher.model_queue import ModelQueue
    from streambox.batcher.policy import Place
    from streambox.batcher.request import PendingRequest
    from streambox.batcher.tenants import Tenant

    Cost = Callable[[int], float]

_UNKNOWN_NS: Final = 1_000_000.0  # the cost of any row while no batch has shown one: equal for all


class _Flow:
    """One tenant's part of a queue. ``finish`` is F."""

    __slots__ = ("finish", "queue", "tenant")

    def __init__(self, tenant: Tenant, queue: ModelQueue) -> None:
        self.tenant = tenant
        self.queue = queue
        self.finish = 0.0


class FairQueue:
    """
    Several tenants' requests that may share a batch; in each tenant's part the usual order.

    *make_queue* makes such a part; *row_ns(b)* is what a row of a batch of b rows costs. Tenants
    of a higher ``priority`` go before all others, whatever the tags. *waiting* counts the requests
    of each tenant, here and in other queues that are given the same.

    Cost: as a ``ModelQueue``, and O(log tenants) per request taken.
    """

    __slots__ = ("_flows", "_make_queue", "_row_ns", "_virtual", "count", "max_batch_size", "rows", "waiting")

    def __init__(
        self,
        max_batch_size: int,
        make_queue: Callable[[int], ModelQueue],
        row_ns: Cost,
        waiting: Counter[Tenant] | None = None,
    ) -> None:
        self.waiting: Counter[Tenant] = Counter() if waiting is None else waiting
        self.max_batch_size = max_batch_size
        self.rows = 0
        self.count = 0
        self._make_queue = make_queue
        self._row_ns = row_ns
        self._flows: dict[Tenant, _Flow] = {}
        self._virtual = 0.0

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<FairQueue {self.count} requests, {self.rows} rows, {len(self._waiting())} tenants>"

    def append(self, request: PendingRequest) -> None:
        tenant = request.tenant
        assert tenant is not None, "with tenants, every request has one"  # noqa: S101
        flow = self._flows.get(tenant)
        if flow is None:
            flow = self._flows[tenant] = _Flow(tenant, self._make_queue(self.max_batch_size))
        flow.queue.append(request)
        self._joined(request, tenant)

    def keep_by(self, kind: type[ModelQueue]) -> None:
        """From now on each tenant's part is a queue of *kind*; its tags stay."""
        self._make_queue = kind
        for flow in self._flows.values():
            flow.queue = moved(flow.queue, kind)
            for request in flow.queue:
                request.queue = self

    def discard(self, request: PendingRequest) -> None:
        """*request*, waiting here, has ended."""
        assert request.tenant is not None  # noqa: S101 - see append
        self._flows[request.tenant].queue.discard(request)
        self._left([request])

    @property
    def oldest_ns(self) -> int:
        return min(flow.queue.oldest_ns for flow in self._waiting())

    @property
    def closed(self) -> bool:
        return self.rows >= self.max_batch_size

    def rows_before(self, deadline_ns: int, tenant: Tenant | None) -> int:
        """
        How many rows would be taken before a request of *tenant*, if it came now with that deadline.

        Its own that come first, and of each other tenant what its weight gives it meanwhile; of a
        tenant of higher priority all that wait. As of now: others may yet join in.
        """
        assert tenant is not None  # noqa: S101 - see append
        own = self._flows.get(tenant)
        rows = own.queue.rows_before(deadline_ns) if own is not None else 0
        cost = self._row_ns(self.max_batch_size) or _UNKNOWN_NS
        begins = max(self._virtual, own.finish) if own is not None else self._virtual
        start = begins + rows * cost / tenant.weight
        others = [flow for flow in self._waiting() if flow is not own]
        return rows + sum(self._rows_until(start, flow, tenant.priority, cost) for flow in others)

    def _rows_until(self, tag: float, flow: _Flow, priority: int, cost: float) -> int:
        """How many rows of *flow* go before one that has *tag* and *priority*."""
        if flow.tenant.priority != priority:
            return flow.queue.rows if flow.tenant.priority > priority else 0
        room = tag - max(self._virtual, flow.finish)
        return min(flow.queue.rows, int(room * flow.tenant.weight / cost) + 1) if room >= 0 else 0

    def ahead(self, requests: int) -> list[Place]:
        """The first *requests* by deadline, whoever's they are."""
        places = chain.from_iterable(flow.queue.ahead(requests) for flow in self._waiting())
        return sorted(places)[:requests]

    def skim(self, count: int) -> list[PendingRequest]:
        """Remove and return the *count* requests of the earliest deadlines, whoever's they are."""
        flows = self._waiting()
        heap = [(flow.queue.ahead(1)[0].deadline_ns, index) for index, flow in enumerate(flows)]
        heapq.heapify(heap)
        taken: list[PendingRequest] = []
        while heap and len(taken) < count:
            _, index = heap[0]
            queue = flows[index].queue
            taken += queue.skim(1)
            if queue.count:
                heapq.heapreplace(heap, (queue.ahead(1)[0].deadline_ns, index))
            else:
                heapq.heappop(heap)
        self._left(taken)
        return taken

    def put_back(self, requests: Sequence[PendingRequest]) -> None:
        """Undo ``skim``."""
        for request in reversed(requests):
            assert request.tenant is not None  # noqa: S101 - see append
            self._flows[request.tenant].queue.put_back([request])
            self._joined(request, request.tenant)

    def take(self, rows: int) -> list[PendingRequest]:
        """
        Remove and return what one batch of at most *rows* rows is made of (at least one request).

        Charges each tenant for its rows.
        """
        taken: list[PendingRequest] = []
        if not self.count:
            return taken
        cost = self._row_ns(min(rows, self.rows)) or _UNKNOWN_NS
        room = rows
        heap = self._by_tag()
        while heap:
            level, start, index, flow = heap[0]
            (place,) = flow.queue.ahead(1)
            if taken and place.rows > room:
                break
            taken += flow.queue.skim(1)
            room -= place.rows
            self._virtual = start
            flow.finish = start + place.rows * cost / flow.tenant.weight
            if flow.queue.count:
                heapq.heapreplace(heap, (level, flow.finish, index, flow))
            else:
                heapq.heappop(heap)
        self._left(taken)
        if not self.count:
            self._rest()
        return taken

    def _rest(self) -> None:
        """Nobody waits: the next busy period begins with no debts and no credit, and with tags from 0."""
        self._virtual = 0.0
        self._flows.clear()

    def _by_tag(self) -> list[tuple[int, float, int, _Flow]]:
        """A heap of those who wait: by priority, then by start tag."""
        heap = [
            (-flow.tenant.priority, max(self._virtual, flow.finish), index, flow)
            for index, flow in enumerate(self._waiting())
        ]
        heapq.heapify(heap)
        return heap

    def _waiting(self) -> list[_Flow]:
        return [flow for flow in self._flows.values() if flow.queue.count]

    def _joined(self, request: PendingRequest, tenant: Tenant) -> None:
        request.queue = self
        self.rows += request.rows
        self.count += 1
        self.waiting[tenant] += _counts(request)

    def _left(self, requests: Sequence[PendingRequest]) -> None:
        for request in requests:
            assert request.tenant is not None  # noqa: S101 - see append
            self.waiting[request.tenant] -= _counts(request)
            request.queue = None
            self.rows -= request.rows
            self.count -= 1


def _counts(request: PendingRequest) -> bool:
    """Of one that was cut into parts only the last counts: it waits as one request, until that leaves."""
    return not isinstance(request, Part) or request is request.split.parts[-1]
