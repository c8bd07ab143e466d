"""An executor in virtual time: batches take as long as a function says, and compute nothing."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from streambox.executor.base import BatchResult, Health, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.batcher.batch import Batch
    from streambox.clock import VirtualClock
    from streambox.executor.base import OnEnd

SPEC = ModelSpec(
    inputs=(TensorSpec("x", "FP32", (-1, 1)),),
    outputs=(TensorSpec("y", "FP32", (-1, 1)),),
    platform="simulated",
)


class AlwaysLoaded:
    """The part of an executor that says how it is; a subclass has its ``begin``."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    async def load(self) -> ModelSpec:
        return SPEC

    async def unload(self) -> None:
        return

    def hurry(self) -> None:
        return

    def health(self) -> Health:
        return Health(ready=True, slots=self.slots, restarts=0)


class SimulatedExecutor(AlwaysLoaded):
    """*slots* workers, each one batch after the other; a batch of b rows takes ``service_ns(b)``."""

    def __init__(self, clock: VirtualClock, service_ns: Callable[[int], float], slots: int = 1) -> None:
        super().__init__(slots)
        self.busy_ns = 0
        self.batches = 0
        self._clock = clock
        self._service_ns = service_ns
        self._free_at_ns = [0] * slots

    def begin(self, batch: Batch, on_end: OnEnd) -> None:
        took_ns = max(1, round(self._service_ns(batch.size + batch.padding)))
        begins_ns = max(batch.dispatched_ns, heapq.heappop(self._free_at_ns))
        ends_ns = begins_ns + took_ns
        heapq.heappush(self._free_at_ns, ends_ns)
        self.busy_ns += took_ns
        self.batches += 1
        result = BatchResult({}, took_ns)
        self._clock.call_at(ends_ns, lambda: on_end(batch, result))
