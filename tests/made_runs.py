"""Runs that never were, for tests of what is made of their outcomes and shown of their progress."""

from __future__ import annotations

from typing import Any

import numpy as np

from streambox.loadgen.live import Progress
from streambox.loadgen.record import REASONS, Outcomes
from streambox.workload.schedule import Lane

SECOND = 1_000_000_000
MS = 1_000_000


def make_run(count: int = 3000, seconds: int = 30, batch: int = 4) -> Outcomes:
    """Evenly spaced, all ok, in batches of *batch*; parts 0.1, 3, 1 and 0.4 ms, slower later."""
    outcomes = Outcomes(np.arange(count, dtype=np.int64) * (seconds * SECOND // max(1, count)))
    slower_ns = np.linspace(0, 2 * MS, count).astype(np.int64)
    outcomes.dispatched_ns[:] = outcomes.intended_ns + MS // 20
    outcomes.sent_ns[:] = outcomes.intended_ns + MS // 10
    outcomes.wait_ns[:] = 3 * MS + slower_ns
    outcomes.service_ns[:] = MS
    outcomes.done_ns[:] = outcomes.sent_ns + outcomes.wait_ns + outcomes.service_ns + 4 * MS // 10
    outcomes.batch_size[:] = batch
    outcomes.batch_id[:] = np.arange(count) // batch
    outcomes.reason[:] = REASONS.index("timewindow")
    return outcomes


def fail(outcomes: Outcomes, index: slice | np.ndarray, kind: str) -> None:
    """These requests were sent and got no response."""
    outcomes.kinds = (*outcomes.kinds, kind)
    outcomes.kind[index] = len(outcomes.kinds) - 1
    for column in (outcomes.done_ns, outcomes.wait_ns, outcomes.service_ns, outcomes.batch_id):
        column[index] = -1
    outcomes.batch_size[index] = 0
    outcomes.reason[index] = 0


LANES = (
    Lane("digits", "acme"),
    Lane("digits", "globex"),
    Lane("resnet50", "acme"),
    Lane("ranker", "initech"),
    Lane("ranker"),
)


def by_lane(outcomes: Outcomes, duration_s: float) -> list[dict[str, Any]]:
    """As summary.json tells of the lanes."""
    rows = []
    for number, lane in enumerate(LANES):
        mine = outcomes.of_lanes(np.arange(len(LANES)) == number)
        response_ms = dict(zip(("p50", "p99"), np.percentile(mine.response_ns, (50, 99)) / 1e6, strict=True))
        row = {"model": lane.model, "tenant": lane.tenant, "weight": 1.0, "offered": len(mine)}
        row |= {"ok": int(mine.ok.sum()), "goodput_per_s": mine.ok.sum() / duration_s}
        rows.append({**row, "errors": mine.errors(), "response_ms": response_ms})
    return rows


def make_eventful_run(count: int = 60_000, seconds: int = 60, seed: int = 3) -> Outcomes:
    """
    Of ``LANES``, seeded: Poisson arrivals, a stall of 2 s in the middle in which requests wait
    to be sent and time out, a minute later a queue that is full, and a few of most other kinds.
    """
    random = np.random.default_rng(seed)
    lane = random.choice(len(LANES), count, p=np.array([8, 4, 2, 1, 1]) / 16).astype(np.uint8)
    intended_ns = np.sort(random.uniform(0, seconds * SECOND, count).astype(np.int64))
    outcomes = Outcomes(intended_ns, lane=lane)
    middle_ns = seconds * SECOND // 2
    left_ns = np.clip(middle_ns + 2 * SECOND - intended_ns, 0, None) * (intended_ns > middle_ns)
    outcomes.dispatched_ns[:] = intended_ns + random.exponential(30_000, count).astype(np.int64)
    outcomes.sent_ns[:] = outcomes.dispatched_ns + 10_000 + left_ns // 3
    batch = np.arange(count) // 5
    outcomes.batch_id[:] = batch + 1
    outcomes.batch_size[:] = np.minimum(32, random.geometric(1 / 6, batch[-1] + 1)[batch] + 1)
    outcomes.reason[:] = random.choice([1, 2, 4], batch[-1] + 1, p=[0.2, 0.7, 0.1])[batch]
    slow_ns = np.where(lane == 3, random.exponential(20 * MS, count), 0)
    outcomes.wait_ns[:] = random.uniform(0, 5 * MS, count) + slow_ns + left_ns // 2
    outcomes.service_ns[:] = 0.3 * MS + random.exponential(0.4 * MS, count)
    network_ns = (0.4 * MS + random.exponential(0.3 * MS, count)).astype(np.int64)
    outcomes.done_ns[:] = outcomes.sent_ns + outcomes.wait_ns + outcomes.service_ns + network_ns
    outcomes.first_byte_ns[:] = outcomes.done_ns - 50_000
    outcomes.status[:] = 200
    luck = random.uniform(size=count)
    late = (intended_ns > 0.75 * seconds * SECOND) & (intended_ns < 0.85 * seconds * SECOND)
    fail(outcomes, (left_ns > 0) & (luck < 0.3), "timeout")
    fail(outcomes, late & (luck > 0.95), "http_503:queue_full")
    fail(outcomes, luck < 0.0005, "reset")
    fail(outcomes, luck > 0.9998, "http_500:executor_failed")
    return outcomes


def progress_at(elapsed_s: float, **changes: Any) -> Progress:
    """As a live view is shown it, but for *changes*."""
    figures: dict[str, Any] = {
        "elapsed_s": elapsed_s,
        "total": 18_000,
        "sent": 7200,
        "completed": 7190,
        "ok": 7150,
        "errors": {"timeout": 12, "http_503:queue_full": 28},
        "in_flight": 10,
        "offered_per_s": 612.4,
        "achieved_per_s": 598.2,
        "p50_ms": 4.123,
        "p90_ms": 7.5,
        "p99_ms": 18.25,
        "mean_batch_size": 7.21,
        "lag_p99_us": 88.4,
    }
    return Progress(**{**figures, **changes})
