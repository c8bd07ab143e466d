"""
The rules of the core over random histories, in virtual time.

Arrivals of several models, sizes, signatures and deadlines; callers who leave, or who
submit again from their answer; rows that are poison, executors that fail, die or are
slow; windows and batch sizes changed while requests wait; a drain at the end. After
every single event the laws are checked.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streambox.batcher import State
from streambox.batcher.served_model import STAGE_BELOW_NS
from streambox.errors import (
    BadRequest,
    CircuitOpen,
    DeadlineExceeded,
    Draining,
    Hopeless,
    QueueFull,
    RetryBudgetSpent,
)
from streambox.executor.base import BatchError, RowErrors
from virtual import BROKEN, DIED, MS, Bench, has_its_rows, pieces

if TYPE_CHECKING:
    from streambox.batcher import Batch, PendingRequest

MODELS = ("m", "other")
MOST_ROWS = 20  # of one request
HARMLESS, NAN, RAISES, KILLS, REFUSED = "harmless", "nan", "raises", "kills", "refused"


@pytest.fixture(autouse=True)
def _quiet():
    """Thousands of failed batches are logged, as they should be, and read by nobody."""
    with structlog.testing.capture_logs():
        yield


class Core(RuleBasedStateMachine):
    @initialize(
        slots=st.integers(1, 3),
        window_ms=st.sampled_from([0, 3, 10, 20]),
        max_batch_size=st.sampled_from([1, 3, 4, 6, 8]),
        service_ms=st.sampled_from([0.5, 1, 5, 30]),
        policy=st.sampled_from(["window", "window", "eager", "slo"]),
    )
    def start(self, slots: int, window_ms: int, max_batch_size: int, service_ms: float, policy: str) -> None:
        self.policy = policy
        self.service_ns = round(service_ms * MS)
        self.bench = bench = Bench()
        self.window_ns = dict.fromkeys(MODELS, window_ms * MS)
        self.max_rows = dict.fromkeys(MODELS, max_batch_size)
        self.inputs: dict[str, object] = {}
        self.kind: dict[str, str] = {}
        self.chained: set[str] = set()
        self.answers: Counter[str] = Counter()
        self.cancelled: set[str] = set()
        self.outages = 0
        self.struck_alone: set[str] = set()
        self.last_dispatched: dict[object, int] = {}
        self.idle_calls = 0
        self.draining = False
        self.steps = 0
        for name in MODELS:
            bench.add_model(
                name,
                slots=slots,
                window_ms=window_ms,
                max_batch_size=max_batch_size,
                service_ns=self.service_ns,
                max_queue_size=40,
                max_request_rows=MOST_ROWS,
                timeout_ms=400,
                outcome=self.run_batch,
                policy=policy,
            )

    # ---- what happens ----------------------------------------------------------------------------

    @rule(
        model=st.sampled_from(MODELS),
        rows=st.integers(1, 22),
        width=st.sampled_from([2, 2, 2, 3]),
        timeout_ms=st.sampled_from([None, None, 0, 1, 10, 1000]),
        kind=st.sampled_from([HARMLESS] * 8 + [NAN, RAISES, KILLS, REFUSED]),
        chained=st.booleans(),
    )
    def arrive(
        self, model: str, rows: int, width: int, timeout_ms: int | None, kind: str, chained: bool
    ) -> None:
        if rows < 15:  # else more than a batch may have
            rows = 1 + rows % self.max_rows[model]
        self.submit(model, rows, width, timeout_ms, kind, chained)

    @rule(model=st.sampled_from(MODELS), batches=st.integers(1, 4), more=st.integers(-1, 3))
    def arrive_at_once(self, model: str, batches: int, more: int) -> None:
        count = batches * self.max_rows[model] + more
        for _ in range(count):
            self.submit(model, 1, 2, None, HARMLESS, chained=False)

    @rule(position=st.integers(0, 30))
    def caller_leaves(self, position: int) -> None:
        waiting = [request for request in self.bench.submitted if self.is_in_flight(request)]
        if waiting:
            request = waiting[position % len(waiting)]
            self.cancelled.add(request.request_id)
            self.bench.scheduler.cancel(request)

    @rule(ms=st.sampled_from([0, 1, 2, 5, 20, 100]))
    def time_passes(self, ms: int) -> None:
        clock = self.bench.clock
        until_ns = clock.now_ns() + ms * MS
        while (due_ns := clock.next_ns()) is not None and due_ns <= until_ns:
            clock.advance_to(due_ns)
            self.laws_hold()
        clock.advance_to(until_ns)

    @rule(model=st.sampled_from((*MODELS, None)), ms=st.integers(0, 30))
    def window_changes(self, model: str | None, ms: int) -> None:
        for name in (model,) if model else MODELS:
            self.window_ns[name] = ms * MS
        self.bench.batcher.set_time_window(ms, model)

    @rule(model=st.sampled_from((*MODELS, None)), rows=st.integers(1, 8))
    def batch_size_changes(self, model: str | None, rows: int) -> None:
        for name in (model,) if model else MODELS:
            self.max_rows[name] = rows
        self.bench.batcher.set_batch_size(rows, model)

    @rule(model=st.sampled_from(MODELS), ms=st.sampled_from([0.5, 1, 5, 30]))
    def executor_changes_pace(self, model: str, ms: float) -> None:
        self.bench.executors[model].service_ns = round(ms * MS)

    @rule(batches=st.integers(1, 3))
    def next_batches_die(self, batches: int) -> None:
        self.outages = batches

    @precondition(lambda self: self.steps > 30 and not self.draining)
    @rule()
    def drain(self) -> None:
        def on_idle() -> None:
            self.idle_calls += 1

        self.draining = True
        self.bench.scheduler.on_idle = on_idle
        self.bench.scheduler.drain()

    def submit(
        self, model: str, rows: int, width: int, timeout_ms: int | None, kind: str, chained: bool
    ) -> None:
        bench = self.bench
        value = float("nan") if kind is NAN else None
        request = bench.request(
            rows, model=model, width=width, timeout_ms=timeout_ms, value=value, on_done=self.answered
        )
        self.inputs[request.request_id] = request.inputs["x"]
        self.kind[request.request_id] = kind
        if chained:
            self.chained.add(request.request_id)
        try:
            bench.scheduler.submit(request)
        except BadRequest:
            assert rows > MOST_ROWS
        except CircuitOpen:
            assert not bench.served[model].guard.breaker.closed
        except QueueFull:
            assert bench.served[model].counters.queued >= 40
        except Hopeless:
            assert bench.served[model].counters.in_flight, "an idle system could have met the deadline"
        except DeadlineExceeded:
            assert timeout_ms is not None
            assert bench.served[model].latency.observed
        except Draining:
            assert self.draining
        else:
            assert not self.draining
            assert rows <= MOST_ROWS

    def answered(self, request: PendingRequest) -> None:
        self.answers[request.request_id] += 1
        if request.state is State.COMPLETED:
            assert has_its_rows(request, self.inputs[request.request_id])
        if request.request_id in self.chained and not self.draining:
            # As a pipelined connection does: the next request follows from within the answer.
            self.submit(request.model, 1, 2, None, HARMLESS, chained=False)

    def run_batch(self, batch: Batch) -> RowErrors | BatchError | None:
        self.check_dispatch(batch)
        kinds = {request.request_id: self.kind[request.request_id] for request in batch.requests}
        if self.outages:
            self.outages -= 1
            if len(batch.requests) == 1:
                self.struck_alone.add(batch.requests[0].request_id)
            return DIED
        if RAISES in kinds.values():
            return BROKEN
        if KILLS in kinds.values():
            return DIED
        refused = {
            request.first_row + request.rows - 1: "no"
            for request in batch.requests
            if kinds[request.request_id] is REFUSED
        }
        return RowErrors(refused) if refused else None

    # ---- what must hold --------------------------------------------------------------------------

    def check_dispatch(self, batch: Batch) -> None:
        """Called as the batch reaches the executor."""
        bench, model, requests = self.bench, batch.model, batch.requests
        served, executor = bench.served[model], bench.executors[model]
        now_ns = bench.clock.now_ns()
        assert batch.size == sum(request.rows for request in requests)
        assert len({request.signature for request in requests}) == 1
        for request in requests:
            assert request.state is State.DISPATCHED, "doomed work"
            assert request.deadline_ns > now_ns, "doomed work"
        running = executor.running - 1  # the executor counts this batch already
        assert running <= executor.slots
        if batch.reason == "retry":
            assert running < executor.slots
            return
        assert batch.size <= self.max_rows[model] or len(requests) == 1
        if self.policy == "slo":
            deadlines = [request.deadline_ns for request in requests]
            assert deadlines == sorted(deadlines)
        else:
            order = [int(request.request_id) for request in requests]
            lane = (model, requests[0].signature)
            assert order == sorted(order)
            assert order[0] >= self.last_dispatched.get(lane, -1)  # equal: two parts of one request
            self.last_dispatched[lane] = order[-1]
        if running == executor.slots:
            full = batch.size >= self.max_rows[model] or served.counters.queued > 0
            assert full, "a partial batch behind a busy slot"
            assert served.service_ns < STAGE_BELOW_NS

    @invariant()
    def laws_hold(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.steps += 1
        assert self.bench.violations() == []
        for name in MODELS:
            self.check_windows(name)
            self.check_nobody_is_forgotten(name)
        for request in self.bench.submitted:
            answered = self.answers[request.request_id]
            assert answered <= 1
            if request.state is State.CANCELLED:
                assert request.request_id in self.cancelled
                assert not answered
            elif request.state >= State.COMPLETED:
                assert answered == 1
            if request.state is State.EXPIRED and self.policy != "slo":  # which sees it coming
                # No sooner than a batch could not be back in time any more, give or take its margin.
                assert self.bench.clock.now_ns() + 2 * self.service_ns >= request.deadline_ns
        if self.draining and not self.bench.scheduler.in_flight:
            assert self.idle_calls

    def check_windows(self, model: str) -> None:
        """With a slot free, nobody has waited for its window or beyond its deadline."""
        executor, now_ns = self.bench.executors[model], self.bench.clock.now_ns()
        waiting = [r for r in self.bench.submitted if r.model == model and r.state is State.QUEUED]
        for request in waiting:
            assert now_ns <= request.deadline_ns  # equal: the timer is due at this instant
        if executor.running >= executor.slots or not waiting:
            return
        assert not self.draining
        by_signature = Counter()
        for request in waiting:
            waiting_rows = (part.rows for part in pieces(request) if part.state is State.QUEUED)
            by_signature[request.signature] += sum(waiting_rows)
        assert max(by_signature.values()) < self.max_rows[model]
        assert self.policy != "eager", "work waits and a slot is free"
        for request in waiting:
            assert now_ns < request.enqueued_ns + self.window_ns[model]

    def check_nobody_is_forgotten(self, model: str) -> None:
        """Who is neither queued nor ended is in a batch, or waits to run again while every slot is busy."""
        executor = self.bench.executors[model]
        again = [request for part in self.bench.served[model].retries for request in part.requests]
        assert not again or executor.running >= executor.slots
        held = {id(request) for batch in executor.in_hand.values() for request in batch.requests}
        held |= {id(request) for request in again}
        for request in self.bench.submitted:
            for piece in pieces(request) if request.model == model else ():
                assert piece.state is not State.DISPATCHED or id(piece) in held

    def is_in_flight(self, request: PendingRequest) -> bool:
        return request.state in (State.QUEUED, State.DISPATCHED)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        if not self.draining:
            self.drain()
        self.time_passes(1)
        self.bench.settle()
        self.laws_hold()
        assert self.bench.scheduler.in_flight == 0
        assert not any(self.is_in_flight(request) for request in self.bench.submitted)
        for request in self.bench.submitted:
            if request.state is State.FAILED:
                self.check_blame(request)

    def check_blame(self, request: PendingRequest) -> None:
        """Nobody fails for a batch-mate's fault; when workers die of everything, that is said."""
        name, guard = request.request_id, self.bench.served[request.model].guard
        if isinstance(request.error, CircuitOpen):
            assert guard.breaker.opened
            return
        if isinstance(request.error, RetryBudgetSpent):
            assert guard.budget.denied
            return
        assert self.kind[name] is not HARMLESS or name in self.struck_alone, (request, request.error)


TestCore = pytest.mark.timeout(300)(Core.TestCase)
TestCore.settings = settings(
    max_examples=int(os.environ.get("STREAMBOX_EXAMPLES", "200")),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
