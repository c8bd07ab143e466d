"""
The core through random storms in virtual time: ``python tests/storm.py --seeds 10000``.

A seed makes a small system (models, slots, policies, tenants) and a thousand and more events:
arrivals of several sizes, shapes and deadlines, callers who leave, rows that are poison, some of them
sent again and again, executors that are slow, fail, die or are lost, models whose rows may run once
only, settings that change, wall clocks that jump; a drain at the end. After
every event the laws that cost O(1) are checked, after every hundredth all of them. A seed that
breaks one is named with the command that runs it again.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import structlog

from streambox.batcher import State
from streambox.batcher.breaker import THRESHOLD
from streambox.batcher.retry_budget import RESERVE
from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.errors import CircuitOpen, Quarantined, RetryBudgetSpent, StreamBoxError
from streambox.executor.base import RowErrors
from virtual import BROKEN, DIED, HOPELESS, MS, Bench, has_its_rows, pieces

EVENTS = 1000
ROUNDS = 1 + 4  # of at most 8 requests: the first, and ceil(log2 8) + 1 more
FULL_SCAN_EVERY = 100
HARMLESS, RAISES, KILLS, REFUSED = range(4)
FAMILIAR = 2  # bad inputs that come again and again


class Storm:
    """One seed's system and history. ``run()`` raises AssertionError where a law is broken."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.events = 0
        self.outages = 0
        self.lost = False  # an outage in which no worker can be had, rather than one on which they die
        self.deaths: Counter[str] = Counter()
        self.met: Counter[Any] = Counter()
        self.answers: Counter[int] = Counter()
        self.told: Counter[str] = Counter(m=-1, other=-1)
        self.kinds: dict[str, int] = {}
        self.left: set[Any] = set()
        self.alive: list[Any] = []
        self.wall_s = 1e9
        self.tenants = self._tenants()
        self.bench = Bench(shared=bool(self.tenants))
        self.models = ["m", "other"][: draw.randint(1, 2)]
        for name in self.models:
            self.bench.add_model(
                name,
                policy=draw.choice(["window", "eager", "slo"]),
                window_ms=draw.choice([0, 3, 20]),
                max_batch_size=draw.choice([1, 4, 8]),
                max_queue_size=draw.choice([5, 40]),
                max_request_rows=draw.choice([None, 4, 20]),
                preferred=draw.choice([(), (), (2, 4)]),
                pad_to=draw.choice([(), (), (2, 4, 8)]),
                preserve_ordering=draw.random() < 0.3,
                timeout_ms=draw.choice([30, 400]),
                slots=draw.randint(1, 3),
                service_ns=self.service_ns,
                outcome=self.outcome,
                idempotent=draw.random() < 0.8,
                quarantine_ns=draw.choice([0, 50, 1000]) * MS,
                breaker_ns=draw.choice([5, 20, 100]) * MS,
            )

    def _tenants(self) -> list[Tenant]:
        draw = self.draw
        return [
            Tenant(
                f"t{number}",
                weight=draw.choice([0.5, 1, 4]),
                priority=draw.choice([0, 0, 1]),
                bucket=draw.choice([None, TokenBucket(500, 10, 0)]),
                max_in_flight=draw.choice([None, 3]),
                max_queued=draw.choice([None, 2]),
            )
            for number in range(draw.choice([0, 0, 1, 3]))
        ]

    # ---- what happens ----------------------------------------------------------------------------

    def run(self) -> None:
        draw = self.draw
        while self.events < EVENTS:
            kind = draw.random()
            if kind < 0.6:
                self.arrive()
            elif kind < 0.68:
                self.leave()
            elif kind < 0.94:
                self.pass_time(draw.choice([0.1, 1, 5]))
            elif kind < 0.96:
                self.outages = draw.choice([1, 2, 3, 1, 2, 3, 12])
                self.lost = draw.random() < 0.3
            elif kind < 0.97:
                self.wall_s += draw.choice([-3600, 3600])  # which nothing in the core may mind
            else:
                self.change()
            self.check()
        self.bench.scheduler.drain()
        self.check()
        while (due_ns := self.bench.clock.next_ns()) is not None:
            self.bench.clock.advance_to(due_ns)
            self.check()
        self.check_all()
        assert self.bench.scheduler.in_flight == 0, "something never ended"

    def arrive(self) -> None:
        draw, bench = self.draw, self.bench
        model = draw.choice(self.models)
        request = bench.request(
            draw.choice([1, 1, 1, 1, 2, 2, 5, 19]),
            model=model,
            width=draw.choice([2, 2, 3]),
            timeout_ms=draw.choice([None, None, 0, 4, 60]),
            on_done=self.answered,
        )
        request.tenant = draw.choice(self.tenants) if self.tenants else None
        kind = draw.choices((HARMLESS, RAISES, KILLS, REFUSED), (20, 1, 1, 1))[0]
        self.kinds[request.request_id] = kind
        if kind in (RAISES, KILLS) and draw.random() < 0.8:
            familiar = -1.0 - draw.randrange(FAMILIAR)
            request.inputs = {"x": np.full((request.rows, request.signature), familiar)}
        guard = bench.served[model].guard
        try:
            bench.scheduler.submit(request)
        except Quarantined:
            assert guard.quarantine.hold_ns, "held, where nobody is to be"
            assert kind in (RAISES, KILLS), "held, and never failed by itself"
            return
        except CircuitOpen:
            assert not guard.breaker.closed, "refused by a breaker that is closed"
            return
        except StreamBoxError:
            return
        self.alive.append(request)

    def leave(self) -> None:
        self.alive = [r for r in self.alive if not r.done or self.waits_for_its_turn(r)]
        if self.alive:
            request = self.draw.choice(self.alive)
            self.left.add(request)
            self.bench.scheduler.cancel(request)

    def pass_time(self, ms: float) -> None:
        clock = self.bench.clock
        until_ns = clock.now_ns() + round(ms * MS)
        while (due_ns := clock.next_ns()) is not None and due_ns <= until_ns:
            clock.advance_to(due_ns)
            self.check()
        clock.advance_to(until_ns)

    def change(self) -> None:
        draw, batcher = self.draw, self.bench.batcher
        if draw.random() < 0.5:
            batcher.set_time_window(draw.choice([0, 2, 30]), draw.choice([None, *self.models]))
            return
        if draw.random() < 0.3:
            batcher.set_policy(draw.choice(["window", "eager", "slo"]), draw.choice([None, *self.models]))
            return
        model, rows = draw.choice(self.models), draw.choice([1, 4, 8])
        batcher.set_batch_size(rows, model)

    def answered(self, request: Any) -> None:
        self.answers[id(request)] += 1
        if self.bench.served[request.model].line is not None:
            assert int(request.request_id) > self.told[request.model], "told before one that came first"
            self.told[request.model] = int(request.request_id)
        if request.state is State.COMPLETED:
            assert has_its_rows(request, request.inputs["x"]), "somebody else's rows"

    def service_ns(self, batch: Any) -> int:
        return round(self.draw.choice([0.2, 1, 1, 6]) * MS * (1 + batch.size / 8))

    def outcome(self, batch: Any) -> Any:
        self.met.update(batch.requests)  # parts, where a request is cut into some
        kinds = {self.kinds[request.request_id] for request in batch.requests}
        allowed = self.bench.served[batch.model].settings.pad_to
        fed = len(batch.tensors["x"])
        assert fed == batch.size + batch.padding, "more or fewer rows than it says"
        assert not allowed or fed in allowed or fed > allowed[-1], "a size that is not allowed"
        if self.outages:
            self.outages -= 1
            self.deaths[batch.model] += 1
            return HOPELESS if self.lost else DIED
        if RAISES in kinds:
            return BROKEN
        if KILLS in kinds:
            self.deaths[batch.model] += 1
            return DIED
        refused = {r.first_row: "no" for r in batch.requests if self.kinds[r.request_id] is REFUSED}
        return RowErrors(refused) if refused else None

    # ---- what must hold --------------------------------------------------------------------------

    def check(self) -> None:
        """What costs O(1)."""
        self.events += 1
        for name in self.models:
            served, executor = self.bench.served[name], self.bench.executors[name]
            violations = served.counters.violations() + served.parts.violations()
            assert not violations, violations
            assert 0 <= executor.running <= executor.slots + 1, "more batches than slots and a staged one"
            assert served.running == executor.running, "a slot has leaked"
            assert served.counters.queued <= served.admission.max_queue_size, "the queue is not bounded"
            breaker, budget = served.guard.breaker, served.guard.budget
            assert self.deaths[name] >= THRESHOLD * bool(breaker.opened), "opened for another's failures"
            assert breaker.closed or served.guard.alert, "nobody asks the breaker"
            assert budget.spent <= RESERVE + served.counters.accepted / 10, "more retries than a tenth"
        for tenant in self.tenants:
            assert 0 <= tenant.queued <= tenant.in_flight <= tenant.max_in_flight, tenant
        if self.events % FULL_SCAN_EVERY == 0:
            self.check_all()

    def check_all(self) -> None:
        bench, now_ns = self.bench, self.bench.clock.now_ns()
        queued: Counter[str] = Counter()
        by_tenant: Counter[Any] = Counter()
        parts: Counter[str] = Counter()
        for request in bench.submitted:
            if request.counters is None:
                assert not self.answers[id(request)], "a refused request was answered as well"
                continue
            state = request.state
            parts[request.model] += sum(
                part.state is State.QUEUED for part in pieces(request) if part is not request
            )
            if state is State.QUEUED:
                queued[request.model] += 1
                assert now_ns <= request.deadline_ns, "queued beyond its deadline"
            if state in (State.QUEUED, State.DISPATCHED):
                by_tenant[request.tenant] += 1
            wanted = int(state >= State.COMPLETED and state is not State.CANCELLED)
            if request in self.left or self.waits_for_its_turn(request):
                wanted = 0
            assert self.answers[id(request)] == wanted, (
                f"{state.name} and {self.answers[id(request)]} answers"
            )
            if state is State.FAILED:
                assert self.kinds[request.request_id] is not HARMLESS or self.was_struck(request)
        for request, times in self.met.items():
            once = not bench.served[request.model].guard.idempotent
            assert times <= (1 if once else ROUNDS), "it ran too often"
        for name in self.models:
            assert bench.served[name].counters.queued == queued[name], "queued is not what waits"
            line = bench.served[name].line
            assert line is None or len(line) >= bench.served[name].counters.in_flight
            assert bench.served[name].parts.queued == parts[name], "parts wait of what has ended"
        for tenant in self.tenants:
            assert tenant.in_flight == by_tenant[tenant], "a tenant's count is not what it has in flight"

    def waits_for_its_turn(self, request: Any) -> bool:
        """It has ended, and somebody before it has not: its model's answers keep their order."""
        line = self.bench.served[request.model].line
        return line is not None and request in line

    def was_struck(self, request: Any) -> bool:
        """
        An outage found it alone in its batch: nobody can tell that from poison. Or it is said to be
        one; or nothing runs twice here.
        """
        guard = self.bench.served[request.model].guard
        if isinstance(request.error, CircuitOpen | RetryBudgetSpent):
            return guard.breaker.opened > 0 or guard.budget.denied > 0
        if request.error.code == "model_unavailable" or not guard.idempotent:
            return True
        return any(
            len(batch.requests) == 1 and batch.requests[0].request_id == request.request_id
            for batch in self.bench.executors[request.model].started
        )


def run(seed: int) -> tuple[int, int, str]:
    """Seed, events, and what was wrong."""
    storm = Storm(seed)
    try:
        storm.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed is worth knowing
        return seed, storm.events, f"{type(error).__name__}: {error}"
    return seed, storm.events, ""


def silence() -> None:
    """Thousands of failed batches are logged, as they should be, and read by nobody."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="this one alone, with its trace")
    args = parser.parse_args()
    silence()
    if args.seed is not None:
        Storm(args.seed).run()
        print(f"seed {args.seed}: every law held")
        return
    begun, events, bad = time.monotonic(), 0, 0
    with multiprocessing.Pool(initializer=silence) as pool:
        seeds = range(args.first, args.first + args.seeds)
        for done, (seed, count, wrong) in enumerate(pool.imap_unordered(run, seeds, 20), 1):
            events += count
            if wrong:
                bad += 1
                print(f"seed {seed}: {wrong}\n  again: python tests/storm.py --seed {seed}", flush=True)
            if done % 1000 == 0:
                print(f"{done} seeds, {events:,} events, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{args.seeds} seeds, {events:,} events: {bad} broke a law")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
