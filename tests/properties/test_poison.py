"""A thousand random batches with poison in them: who is at fault fails, everybody else is answered."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import structlog

from streambox.batcher import State
from streambox.executor.base import BatchError, BatchErrorKind, RowErrors
from virtual import MS, Bench, has_its_rows

TRIALS = 1000
RAISES, KILLS, REFUSED, REFUSED_ONE_BY_ONE = "raises", "kills", "refused", "refused one by one"
STATUS = {RAISES: 422, KILLS: 500, REFUSED: 422, REFUSED_ONE_BY_ONE: 422}


class Trial:
    """
    One full batch of B requests, up to three of them poison, of one kind; several slots or one.

    ``met`` counts the batches that each request was in.
    """

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.size = draw.choice([1, 2, 3, 5, 8, 13, 16, 32, 64])
        self.kind = draw.choice(list(STATUS))
        self.met: Counter[str] = Counter()
        self.bench = bench = Bench(
            max_batch_size=3 * self.size,
            window_ms=5,
            slots=draw.randint(1, 3),
            service_ns=lambda _: round(draw.uniform(0.5, 20) * MS),
            outcome=self.outcome,
        )
        self.requests = [bench.request(draw.choice([1, 1, 2, 3])) for _ in range(self.size)]
        count = min(self.size, draw.choice([1, 1, 1, 2, 3]))
        self.poison = {request.request_id for request in draw.sample(self.requests, count)}

    def run(self) -> None:
        for request in self.requests:
            self.bench.scheduler.submit(request)
        while self.bench.scheduler.in_flight:
            self.bench.clock.advance_to(self.bench.clock.next_ns())

    def outcome(self, batch):
        self.met.update(request.request_id for request in batch.requests)
        bad = [request for request in batch.requests if request.request_id in self.poison]
        if not bad:
            return None
        if self.kind is RAISES:
            return BatchError(BatchErrorKind.MODEL, "why it raised", retryable=True)
        if self.kind is KILLS:
            return BatchError(BatchErrorKind.WORKER_DIED, "how it died", retryable=True, worker_died=True)
        named = bad if self.kind is REFUSED else bad[:1]
        return RowErrors({r.first_row + self.draw.randrange(r.rows): "why it was refused" for r in named})

    @property
    def alone_from_the_start(self) -> bool:
        return self.size == 1


@pytest.mark.parametrize("first", range(0, TRIALS, 100))
def test_the_poison_stands_alone_and_all_others_are_answered_within_log2_rounds(first):
    with structlog.testing.capture_logs():
        for seed in range(first, first + 100):
            trial = Trial(seed)
            trial.run()
            check(trial, f"seed {seed}: {trial.kind} {len(trial.poison)} of {trial.size}")


def check(trial: Trial, what: str) -> None:
    rounds = (trial.size - 1).bit_length() + 1
    for request in trial.requests:
        assert trial.met[request.request_id] - 1 <= rounds, what
        if request.request_id in trial.poison:
            assert request.state is State.FAILED, what
            assert request.error.status == STATUS[trial.kind], what
            assert str(request.error).startswith(("why it", "how it")), what
        else:
            assert request.state is State.COMPLETED, what
            assert has_its_rows(request, request.inputs["x"]), what
    assert trial.bench.violations() == [], what
    guard = trial.bench.served["m"].guard
    assert guard.breaker.opened == 0, what
    if not trial.alone_from_the_start and len(trial.poison) == 1:
        assert (guard.budget.spent, guard.breaker.failures) == (0, 0), what


def test_a_trial_would_notice_an_innocent_who_fails():
    trial = Trial(1)
    trial.bench.served["m"].guard.idempotent = False
    with structlog.testing.capture_logs():
        trial.run()
    with pytest.raises(AssertionError, match="seed 1"):
        check(trial, "seed 1")


def test_retries_stop_at_the_deadline():
    """Each round takes 20 ms: with 50 ms left, the second half of the second round is not begun."""
    failing = BatchError(BatchErrorKind.MODEL, "no", retryable=True)
    bench = Bench(
        max_batch_size=8,
        timeout_ms=50,
        service_ns=20 * MS,
        outcome=lambda batch: failing if "0" in {r.request_id for r in batch.requests} else None,
    )
    with structlog.testing.capture_logs():
        requests = bench.submit_many(8)
        bench.settle()
    assert {request.state for request in requests} == {State.EXPIRED}
    assert all(batch.at_ns < 50 * MS for batch in bench.batches)
    assert [batch.ids for batch in bench.batches][:2] == [list("01234567"), list("0123")]
    assert bench.violations() == []
