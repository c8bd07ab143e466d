"""Run folders as ``load --out`` leaves them, of a server that is simulated in no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streambox.loadgen.record import UNSENT, Outcomes
from streambox.loadgen.session import Finished, finish, summary_json
from streambox.loadgen.spool import RunState
from streambox.loadgen.summary import OPEN_LOOP
from streambox.workload.schedule import Lane, Schedule

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
MS = 1_000_000


def queue_ns(intended_ns: np.ndarray, service_ns: np.ndarray) -> np.ndarray:
    """Response times of one server that takes *service_ns* for each request, by Lindley's recursion."""
    gaps = np.diff(intended_ns, prepend=intended_ns[:1])
    walk = np.cumsum(np.concatenate([[0], service_ns[:-1]]) - gaps)
    return walk - np.minimum.accumulate(walk) + service_ns


def simulated(
    rate: float = 200,
    seconds: int = 30,
    seed: int = 0,
    *,
    service_ms: float = 2.0,
    noise: int = 1,
    lost: float = 0.0,
    lag_ms: float = 0.05,
    warm_up_ns: int = 0,
) -> Finished:
    """
    Poisson arrivals from *seed*, at a queue whose service times vary a little by *noise*.

    *lost*: the share of requests that get no answer.
    """
    arrivals, server = np.random.default_rng(seed), np.random.default_rng((seed, noise))
    count = arrivals.poisson(rate * seconds)
    intended_ns = np.sort(arrivals.uniform(0, seconds * SECOND, count)).astype(np.int64)
    service_ns = (service_ms * MS * server.uniform(0.8, 1.2, count)).astype(np.int64)
    response_ns = queue_ns(intended_ns, service_ns).astype(np.int64)
    outcomes = Outcomes(intended_ns, ("ok", UNSENT, "timeout"))
    answered = server.random(count) >= lost
    outcomes.kind[:] = np.where(answered, 0, 2)
    outcomes.sent_ns[:] = intended_ns + round(lag_ms * MS)
    outcomes.done_ns[:] = np.where(answered, outcomes.sent_ns + response_ns, -1)
    for column, value in (
        ("wait_ns", response_ns - service_ns),
        ("service_ns", service_ns),
        ("batch_size", 1),
    ):
        getattr(outcomes, column)[:] = np.where(answered, value, -1)
    outcomes.batch_size[~answered] = 0
    recipe = {"rate_per_s": rate, "duration_ns": seconds * SECOND, "seed": seed}
    payload = np.zeros(count, np.int32)
    schedule = Schedule.of_lane(intended_ns, payload, Lane("digits"), recipe)
    return finish(schedule, outcomes, RunState(OPEN_LOOP, seed, seconds * SECOND, warm_up_ns))


def write(folder: Path, finished: Finished) -> Path:
    """All that is read again; no report."""
    folder.mkdir(parents=True, exist_ok=True)
    finished.schedule.to_parquet(folder / "schedule.parquet")
    finished.outcomes.to_parquet(folder / "outcomes.parquet")
    (folder / "summary.json").write_bytes(summary_json(finished.summary))
    return folder
