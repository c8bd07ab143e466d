"""Our own ``Batcher``: queues of what may run together, and a policy that says when."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from streambox.batcher.batch import FlushReason
from streambox.batcher.fairness import FairQueue
from streambox.batcher.model_queue import DeadlineQueue, ModelQueue, moved
from streambox.batcher.policies import make_policy
from streambox.batcher.policy import NEVER_NS, Flush, Refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streambox.batcher.batch import Batch
    from streambox.batcher.interface import Engine, QueueSettings
    from streambox.batcher.policy import Policy
    from streambox.batcher.request import PendingRequest
    from streambox.batcher.tenants import Tenant
    from streambox.clock import Timer


class _Lane:
    """
    What of one model may run together: its queue, its policy, and what that last asked to be woken for.

    Requests for a model whose dimensions vary are in lanes by their ``signature``.
    """

    __slots__ = ("draining", "model", "policy", "queue", "signature", "timer", "wake_rows")

    def __init__(self, model: _Model, signature: object) -> None:
        self.model = model.name
        self.signature = signature
        self.policy = policy = model.make_policy()
        plain = _kind(policy)
        self.queue: ModelQueue | FairQueue = plain(policy.max_batch_size)
        if model.shared:
            self.queue = FairQueue(policy.max_batch_size, plain, model.outlook.row_ns, model.waiting)
        self.wake_rows = 0
        self.timer: Timer | None = None
        self.draining = model.draining

    def follow(self, policy: Policy) -> None:
        """From now on *policy* decides; what waits is put into its order."""
        kind, before = _kind(policy), _kind(self.policy)
        self.policy = policy
        if kind is before:
            return
        if isinstance(self.queue, FairQueue):
            self.queue.keep_by(kind)
        else:
            self.queue = moved(self.queue, kind)

    @property
    def urgency_ns(self) -> int:
        """What compares two lanes that want the same slot: the lower one goes first."""
        return self.queue.ahead(1)[0].deadline_ns if self.policy.by_deadline else self.queue.oldest_ns


def _kind(policy: Policy) -> type[ModelQueue]:
    return DeadlineQueue if policy.by_deadline else ModelQueue


class _Model:
    """One model's lanes, and the settings that a new one gets. ``sole``: the lane of no signature."""

    __slots__ = ("_engine", "draining", "lanes", "name", "outlook", "shared", "sole", "waiting")

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.outlook = engine.outlook(name)
        self.shared = engine.shared
        self._engine = engine
        self.draining = False
        self.waiting: Counter[Tenant] = Counter()  # requests, over all lanes; where tenants share the model
        self.lanes: dict[object, _Lane] = {}
        self.sole: _Lane = self.lane(None)

    def lane(self, signature: object) -> _Lane:
        found = self.lanes.get(signature)
        if found is None:
            found = self.lanes[signature] = _Lane(self, signature)
        return found

    def make_policy(self) -> Policy:
        return make_policy(self._engine.settings(self.name), self.outlook)

    def by_urgency(self) -> list[_Lane]:
        """The lanes in which somebody waits."""
        waiting = [lane for lane in self.lanes.values() if lane.queue.count]
        return sorted(waiting, key=lambda lane: lane.urgency_ns) if len(waiting) > 1 else waiting


class StreamBoxBatcher:
    """
    Batches by each model's policy.

    Cost of ``add_one``: an append and two comparisons, unless the policy asked to be
    woken at this row count.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._models: dict[str, _Model] = {}

    def __repr__(self) -> str:
        counts = {
            name: sum(lane.queue.count for lane in m.lanes.values()) for name, m in self._models.items()
        }
        waiting = ", ".join(f"{name}: {count} queued" for name, count in counts.items())
        return f"<StreamBoxBatcher {waiting or 'idle'}>"

    def set_time_window(self, ms: float, model: str | None = None) -> None:
        if not 0 <= ms < math.inf:
            raise ValueError(f"the time window is 0 ms or more, got {ms}")
        for chosen in self._chosen(model):
            self._set(chosen, time_window_ns=round(ms * 1_000_000))

    def set_batch_size(self, rows: int, model: str | None = None) -> None:
        if rows < 1:
            raise ValueError(f"the maximum batch size is at least 1 row, got {rows}")
        for chosen in self._chosen(model):
            self._set(chosen, max_batch_size=rows)

    def set_policy(self, policy: str, model: str | None = None) -> None:
        """
        Change the policy of *model*, or of all models; what waits is decided by it from now on.

        Raises ConfigError, nothing being changed, where there is no such policy.
        """
        self._set_rule(model, policy=policy)

    def set_preferred_batch_size(self, sizes: Sequence[int], model: str | None = None) -> None:
        """Change the sizes that batches should have, of *model* or of all models; none: any will do."""
        if any(rows < 1 for rows in sizes):
            raise ValueError(f"a preferred batch size is at least 1 row, got {min(sizes)}")
        self._set_rule(model, preferred_batch_size=tuple(sorted(set(sizes))))

    def add_one(self, request: PendingRequest) -> None:
        model = self._models.get(request.model) or self._model(request.model)
        lane = model.sole if request.signature is None else model.lane(request.signature)
        queue = lane.queue
        queue.append(request)
        if queue.rows >= lane.wake_rows:
            self._decide(lane)

    def rows_before(self, request: PendingRequest, deadline_ns: int) -> int:
        """How many rows would run before *request*, if it came now with that deadline."""
        lanes = self._model(request.model).lanes.values()
        return sum(lane.queue.rows_before(deadline_ns, request.tenant) for lane in lanes)

    def waiting_of(self, tenant: Tenant, model: str) -> int:
        """How many requests of *tenant* wait for *model*, which several tenants share."""
        return self._model(model).waiting[tenant]

    def batch(self, model: str, reason: FlushReason) -> Batch | None:
        found = self._model(model)
        if reason is FlushReason.DRAIN:
            found.draining = True
            for lane in found.lanes.values():
                lane.draining = True
        if reason is FlushReason.SLOTFREE or reason is FlushReason.DRAIN:
            return self._decide_all(found)
        waiting = found.by_urgency()
        if not waiting or not self._engine.slots(model).free:
            return None
        return self._dispatch(waiting[0], waiting[0].policy.max_batch_size, reason)

    def _decide_all(self, model: _Model) -> Batch | None:
        """The most urgent lane first; one in which nobody waits asks again at its next arrival."""
        if len(model.lanes) == 1:
            return self._decide(model.sole)
        sent = None
        for lane in list(model.lanes.values()):
            if not lane.queue.count:
                self._decide(lane)
        for lane in model.by_urgency():
            sent = self._decide(lane) or sent
        return sent

    def _model(self, name: str) -> _Model:
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = _Model(name, self._engine)
        return found

    def _chosen(self, model: str | None) -> Iterable[_Model]:
        names = self._engine.models() if model is None else [model]
        return [self._model(name) for name in names]

    def _set(self, model: _Model, **limits: Any) -> None:
        """Of all its lanes, those to come included."""
        self._engine.change(model.name, self._engine.settings(model.name)._replace(**limits))
        for lane in list(model.lanes.values()):
            for limit, value in limits.items():
                setattr(lane.policy, limit, value)
            lane.queue.max_batch_size = lane.policy.max_batch_size
            self._decide(lane)

    def _set_rule(self, model: str | None, **rule: Any) -> None:
        """As ``_set``, for what needs another policy object."""
        changes: list[tuple[_Model, QueueSettings]] = []
        for chosen in self._chosen(model):
            settings = self._engine.settings(chosen.name)._replace(**rule)
            make_policy(settings, chosen.outlook)  # may raise: before anything is changed
            changes.append((chosen, settings))
        for chosen, settings in changes:
            self._engine.change(chosen.name, settings)
            for lane in list(chosen.lanes.values()):
                lane.follow(chosen.make_policy())
                self._decide(lane)

    def _decide(self, lane: _Lane) -> Batch | None:
        """Ask the policy until it says wait; the last batch sent off, if any."""
        sent = None
        engine = self._engine
        while True:
            slots = engine.slots(lane.model)
            now_ns = engine.clock.now_ns()
            decision = lane.policy.decide(lane.queue, slots, now_ns)
            if isinstance(decision, Flush):
                if lane.queue.rows > lane.policy.max_batch_size and self._drop_late(lane, now_ns):
                    continue
                sent = self._dispatch(lane, decision.rows, decision.reason, decision.skip) or sent
            elif isinstance(decision, Refuse):
                engine.give_up(lane.queue.skim(decision.requests))
            elif lane.draining and lane.queue.rows and slots.free:
                # Nobody will join this batch any more: its window has no purpose.
                sent = self._dispatch(lane, lane.policy.max_batch_size, FlushReason.DRAIN) or sent
            else:
                self._sleep(lane, decision.until_ns, decision.rows)
                return sent

    def _drop_late(self, lane: _Lane, now_ns: int) -> bool:
        """
        Give up those in front who would be answered too late, where others could have their places.

        Without it a queue that has once grown too long stays so: each batch is partly of those who are
        late already, and so the next ones are, too.
        """
        if lane.policy.by_deadline:
            return False  # it sees to that itself
        queue = lane.queue
        done_ns = now_ns + self._model(lane.model).outlook.bound_ns(lane.policy.max_batch_size)
        if queue.ahead(1)[0].deadline_ns >= done_ns:
            return False
        late = itertools.takewhile(lambda place: place.deadline_ns < done_ns, queue.ahead(queue.count))
        self._engine.give_up(queue.skim(len(list(late))))
        return True

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
        if lane.signature is not None and not lane.queue.count:
            self._forget(lane)
            return
        if until_ns == NEVER_NS or (timer is not None and timer.when_ns <= until_ns):
            return  # an earlier wake-up asks again, which costs less than re-arming at every batch
        if timer is not None:
            timer.cancel()
        lane.timer = self._engine.clock.call_at(until_ns, lambda: self._wake(lane))

    def _forget(self, lane: _Lane) -> None:
        """Callers choose signatures: one that nobody uses any more must not keep its lane."""
        if lane.timer is not None:
            lane.timer.cancel()
        self._models[lane.model].lanes.pop(lane.signature, None)

    def _wake(self, lane: _Lane) -> None:
        lane.timer = None
        self._decide(lane)
