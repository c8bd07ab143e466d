"""
The core as a queue of queueing theory: one slot, batch size 1, no window, Poisson arrivals.

Then the mean wait must be the Pollaczek–Khinchine formula's: with load rho and mean
service time s, rho * s / (2 * (1 - rho)) for constant service (M/D/1) and twice that for
exponential service (M/M/1).

The confidence bound: waits of neighbours are correlated, so the run is cut into 20 long
batches whose means are nearly independent; the formula must lie within 3.88 standard
errors of their mean (the 99.9 % interval of Student's t with 19 degrees of freedom), and
that interval must be narrow enough to tell: at most 15 % of the formula to either side.
"""

import random
import statistics

import pytest

from virtual import MS, Bench

SERVICE_NS = 10 * MS
WARM_UP, BATCHES, BATCH = 2_000, 20, 1_500
T_99_9 = 3.88


def waits_ms(load: float, service_ns, seed: int) -> list[float]:
    draw = random.Random(seed)
    bench = Bench(
        window_ms=0, max_batch_size=1, max_queue_size=10**6, timeout_ms=10**9, service_ns=service_ns
    )
    due_ns = 0.0
    for _ in range(WARM_UP + BATCHES * BATCH):
        due_ns += draw.expovariate(load / SERVICE_NS)
        bench.clock.advance_to(round(due_ns))
        bench.submit()
    bench.scheduler.drain()
    while bench.scheduler.in_flight:
        bench.clock.advance_to(bench.clock.next_ns())
    assert all(batch.size == 1 for batch in bench.batches)
    waited = [(batch.at_ns - batch.requests[0].enqueued_ns) / MS for batch in bench.batches]
    return waited[WARM_UP:]


def exponential(seed: int):
    draw = random.Random(seed)
    return lambda _: max(1, round(draw.expovariate(1 / SERVICE_NS)))


QUEUES = [
    ("M/D/1", 0.5, 1),
    ("M/D/1", 0.7, 1),
    ("M/M/1", 0.5, 2),
    ("M/M/1", 0.6, 2),
]


@pytest.mark.parametrize(
    ("kind", "load", "factor"), QUEUES, ids=[f"{kind} at {load}" for kind, load, _ in QUEUES]
)
def test_mean_wait_is_the_formulas(kind, load, factor):
    service_ns = SERVICE_NS if kind == "M/D/1" else exponential(seed=11)
    waited = waits_ms(load, service_ns, seed=7)

    means = [statistics.fmean(waited[start : start + BATCH]) for start in range(0, len(waited), BATCH)]
    expected = factor * load * (SERVICE_NS / MS) / (2 * (1 - load))
    bound = T_99_9 * statistics.stdev(means) / len(means) ** 0.5
    assert len(means) == BATCHES
    assert abs(statistics.fmean(means) - expected) <= bound
    assert bound <= 0.15 * expected
