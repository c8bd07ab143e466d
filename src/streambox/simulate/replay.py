"""A workload through the core, faster than it would take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.batcher.interface import QueueSettings
from streambox.batcher.request import COMPLETED, PendingRequest
from streambox.batcher.scheduler import Scheduler
from streambox.batcher.served_model import ServedModel
from streambox.batcher.streambox import StreamBoxBatcher
from streambox.clock import VirtualClock
from streambox.errors import StreamBoxError
from streambox.simulate.executor import SPEC, SimulatedExecutor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.executor.base import ModelSpec

    Int64s = np.ndarray[Any, np.dtype[np.int64]]

MODEL: Final = "model"


class ModelUnderTest(msgspec.Struct, frozen=True, kw_only=True):
    """
    A model as the simulator takes it: how long a batch of b rows takes, and how it is batched.

    ``slo_ns`` is the deadline of every request; one that is late is not answered at all.
    """

    service_ns: Callable[[int], float]
    slo_ns: int
    policy: str = "window"
    time_window_ns: int = 100_000_000
    max_batch_size: int = 32
    slots: int = 1
    max_queue_size: int = 10_000


class Replay(msgspec.Struct, frozen=True):
    """
    What became of each request, in the order of arrival.

    ``response_ns``: until its answer; -1 where it was refused, or expired.
    """

    arrived_ns: Int64s
    response_ns: Int64s
    refused: int
    expired: int
    batches: int
    utilization: float

    @property
    def answered(self) -> int:
        return int((self.response_ns >= 0).sum())

    @property
    def goodput(self) -> float:
        """The share of all requests that were answered within their deadline."""
        return self.answered / max(1, len(self.response_ns))


def replay(arrived_ns: Int64s, model: ModelUnderTest) -> Replay:
    """Every request of one row. *arrived_ns* sorted."""
    clock = VirtualClock()
    scheduler = Scheduler(clock, StreamBoxBatcher)
    executor = SimulatedExecutor(clock, model.service_ns, model.slots)
    settings = QueueSettings(model.time_window_ns, model.max_batch_size, model.policy)
    served = ServedModel(
        MODEL,
        executor,
        SPEC,
        settings,
        max_queue_size=model.max_queue_size,
        timeout_ns=model.slo_ns,
        stack=_nothing_to_stack,
    )
    scheduler.add_model(served)
    response_ns = np.full(len(arrived_ns), -1, np.int64)
    responses = memoryview(response_ns.data)

    def on_done(request: _Request) -> None:
        if request.state is COMPLETED:
            responses[request.call] = clock.now_ns() - request.enqueued_ns

    advance_to, submit = clock.advance_to, scheduler.submit
    refused = 0
    for start in range(0, len(arrived_ns), 65_536):
        for index, instant_ns in enumerate(arrived_ns[start : start + 65_536].tolist(), start):
            advance_to(instant_ns)
            request = _Request(MODEL, on_done)
            request.call = index
            try:
                submit(request)
            except StreamBoxError:
                refused += 1
    while scheduler.in_flight and (due_ns := clock.next_ns()) is not None:
        advance_to(due_ns)
    span_ns = max(1, clock.now_ns()) * model.slots
    counters = served.counters
    return Replay(
        arrived_ns, response_ns, refused, counters.expired, executor.batches, executor.busy_ns / span_ns
    )


class _Request(PendingRequest):
    __slots__ = ("call",)

    call: int


def _nothing_to_stack(
    _: list[PendingRequest], __: ModelSpec
) -> tuple[dict[str, Any], Mapping[int, StreamBoxError]]:
    return {}, {}
