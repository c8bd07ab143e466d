"""More than a server can do, in virtual time: it goes on doing what it can."""

from __future__ import annotations

import contextlib
import random

import pytest

from streambox.errors import StreamBoxError
from virtual import MS, Bench

SLO_MS = 100
ROWS = 4
SERVICE_MS = 2.0
HANDOVER_MS = 0.3
CAPACITY_PER_MS = ROWS / (SERVICE_MS + HANDOVER_MS)


@pytest.mark.parametrize("load", [1.2, 3, 10])
@pytest.mark.parametrize("policy", ["window", "eager", "slo"])
def test_under_overload_nearly_all_that_is_run_is_answered_in_time(policy, load):
    """
    Answers take 0.3 ms more than the service that a worker tells of, and services vary.

    A forecast that does not know that lets in what will be late, until nothing is in time any more.
    """
    draw = random.Random(1)
    bench = Bench(
        policy=policy,
        window_ms=5,
        max_batch_size=ROWS,
        timeout_ms=SLO_MS,
        service_ns=lambda _: round(draw.uniform(0.8, 1.2) * SERVICE_MS * MS),
        handover_ns=round(HANDOVER_MS * MS),
    )
    duration_ms = 3000
    good = 0

    def ended(request) -> None:
        nonlocal good
        in_time = request.error is None and bench.clock.now_ns() <= request.deadline_ns
        good += in_time and bench.now_ms >= 1000  # the first second learns

    while bench.now_ms < duration_ms:
        with contextlib.suppress(StreamBoxError):
            bench.scheduler.submit(bench.request(on_done=ended))
        bench.submitted.clear()
        bench.advance_ms(draw.expovariate(load * CAPACITY_PER_MS))
    assert good >= 0.9 * CAPACITY_PER_MS * (duration_ms - 1000)
    assert bench.violations() == []
