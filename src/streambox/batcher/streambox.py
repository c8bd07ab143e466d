"""Our own ``Batcher``: one first-in-first-out queue per model, and a policy that says when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from streambox.batcher.batch import FlushReason
from streambox.batcher.model_queue import DeadlineQueue, ModelQueue
from streambox.batcher.policies import make_policy
from streambox.batcher.policy import NEVER_NS, Flush, Refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streambox.batcher.batch import Batch
    from streambox.batcher.interface import Engine
    from streambox.batcher.policy import Policy
    from streambox.batcher.request import PendingRequest
    from streambox.clock import Timer


class _Lane:
    """One model's queue, its policy, and what the policy last asked to be woken for."""

    __slots__ = ("draining", "model", "policy", "queue", "timer", "wake_rows")

    def __init__(self, model: str, policy: Policy) -> None:
        self.model = model
        self.policy = policy
        self.queue = (DeadlineQueue if policy.by_deadline else ModelQueue)(policy.max_batch_size)
        self.wake_rows = 0
        self.timer: Timer | None = None
        self.draining = False


class StreamBoxBatcher:
    """
    Batches by each model's policy.

    Cost of ``add_one``: an append and two comparisons, unless the policy asked to be
    woken at this row count.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lanes: dict[str, _Lane] = {}

    def __repr__(self) -> str:
        waiting = ", ".join(f"{lane.model}: {lane.queue.count} queued" for lane in self._lanes.values())
        return f"<StreamBoxBatcher {waiting or 'idle'}>"

    def set_time_window(self, ms: float, model: str | None = None) -> None:
        if not 0 <= ms < math.inf:
            raise ValueError(f"the time window is 0 ms or more, got {ms}")
        for lane in self._chosen(model):
            lane.policy.time_window_ns = round(ms * 1_000_000)
            self._decide(lane)

    def set_batch_size(self, rows: int, model: str | None = None) -> None:
        if rows < 1:
            raise ValueError(f"the maximum batch size is at least 1 row, got {rows}")
        for lane in self._chosen(model):
            lane.policy.max_batch_size = lane.queue.max_batch_size = rows
            self._decide(lane)

    def add_one(self, request: PendingRequest) -> None:
        lane = self._lanes.get(request.model) or self._lane(request.model)
        queue = lane.queue
        queue.append(request)
        if queue.rows >= lane.wake_rows or queue.mixed:
            self._decide(lane)

    def batch(self, model: str, reason: FlushReason) -> Batch | None:
        lane = self._lane(model)
        if reason is FlushReason.DRAIN:
            lane.draining = True
        if reason is FlushReason.SLOTFREE or reason is FlushReason.DRAIN:
            return self._decide(lane)
        if not self._engine.slots(model).free or not lane.queue.rows:
            return None
        return self._dispatch(lane, lane.policy.max_batch_size, reason)

    def _lane(self, model: str) -> _Lane:
        lane = self._lanes.get(model)
        if lane is None:
            policy = make_policy(self._engine.settings(model), self._engine.outlook(model))
            lane = self._lanes[model] = _Lane(model, policy)
        return lane

    def _chosen(self, model: str | None) -> Iterable[_Lane]:
        models = self._engine.models() if model is None else [model]
        return [self._lane(name) for name in models]

    def _decide(self, lane: _Lane) -> Batch | None:
        """Ask the policy until it says wait; the last batch sent off, if any."""
        sent = None
        engine = self._engine
        while True:
            slots = engine.slots(lane.model)
            decision = lane.policy.decide(lane.queue, slots, engine.clock.now_ns())
            if isinstance(decision, Flush):
                sent = self._dispatch(lane, decision.rows, decision.reason, decision.skip) or sent
            elif isinstance(decision, Refuse):
                engine.give_up(lane.queue.skim(decision.requests))
            elif lane.draining and lane.queue.rows and slots.free:
                # Nobody will join this batch any more: its window has no purpose.
                sent = self._dispatch(lane, lane.policy.max_batch_size, FlushReason.DRAIN) or sent
            else:
                self._sleep(lane, decision.until_ns, decision.rows)
                return sent

    def _dispatch(self, lane: _Lane, rows: int, reason: FlushReason, skip: int = 0) -> Batch | None:
        queue = lane.queue
        if not skip:
            return self._engine.dispatch(lane.model, queue.take(rows), reason)
        skipped = queue.skim(skip)
        taken = queue.take(rows)
        queue.put_back(skipped)
        return self._engine.dispatch(lane.model, taken, reason)

    def _sleep(self, lane: _Lane, until_ns: int, rows: int) -> None:
        lane.wake_rows = rows
        timer = lane.timer
        if until_ns == NEVER_NS or (timer is not None and timer.when_ns <= until_ns):
            return  # an earlier wake-up asks again, which costs less than re-arming at every batch
        if timer is not None:
            timer.cancel()
        lane.timer = self._engine.clock.call_at(until_ns, lambda: self._wake(lane))

    def _wake(self, lane: _Lane) -> None:
        lane.timer = None
        self._decide(lane)
