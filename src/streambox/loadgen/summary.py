"""The run in figures: ``summary.json``, and whether the generator kept its own schedule."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox import __version__
from streambox.loadgen.record import UNSENT, WRONG
from streambox.loadgen.split import Split
from streambox.loadgen.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.loadgen.histogram import Durations
    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.slo import Judgement

SCHEMA_VERSION: Final = 1
OPEN_LOOP: Final = "open-loop"
CLOSED_LOOP: Final = "closed-loop"
FAILED: Final = "failed"
MOST_LAG_P99_US: Final = 5000.0
MOST_RATE_ERROR: Final = 0.01
WAITED: Final = ": the late ones waited for a connection"
_PERCENTILES: Final = {"p50": 50, "p90": 90, "p99": 99, "p99_9": 99.9}


def summarise(
    outcomes: Outcomes,
    *,
    mode: str,
    seed: int,
    schedule_sha256: str | None,
    duration_ns: int,
    judgements: Sequence[Judgement] = (),
    begin_ns: int = 0,
    failure: str | None = None,
) -> dict[str, Any]:
    """
    The contents of ``summary.json``; docs/load-generator.md says what each key means.

    *duration_ns*: how long the workload lasts, from *begin_ns*; the run lasts until its last response.
    *failure*: why the run did not get through.
    """
    tally = Tally(outcomes)
    errors = outcomes.errors()
    run_ns = max(duration_ns, tally.last_done_ns - begin_ns, 1)
    summary: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "environment": environment(),
        "mode": mode,
        "offered": tally.offered,
        "sent": tally.sent,
        "unsent": tally.offered - tally.sent,
        "completed": tally.completed,
        "ok": tally.ok,
        "wrong": errors.get(WRONG, 0),
        "errors": errors,
        "duration_s": round(run_ns / 1e9, 6),
        "offered_per_s": round(tally.offered / max(duration_ns, 1) * 1e9, 3),
        "throughput_per_s": round(tally.completed / run_ns * 1e9, 3),
        "send_lag_us": figures(tally.lags, 1e3),
        "response_ms": figures(tally.responses, 1e6),
        "response_from_sent_ms": figures(tally.responses_from_sent, 1e6),
        "first_byte_ms": figures(tally.first_bytes, 1e6),
        "service_ms": figures(tally.services, 1e6),
        "split_ms": Split.of(outcomes).summary(),
        "batch_size": _sizes(tally.sizes),
        "seed": seed,
        "schedule_sha256": schedule_sha256,
        "excluded": 0,
        "objectives": [judgement.summary() for judgement in judgements],
    }
    found = _closed_verdict() if mode == CLOSED_LOOP else verdict(outcomes, summary)
    if failure is not None:
        found = {"status": FAILED, "valid": False, "reasons": [failure, *found["reasons"]]}
    summary["verdict"] = found
    return summary


def figures(durations: Durations, unit_ns: float) -> dict[str, float | None]:
    """Percentiles and maximum in the given unit; all None where there is nothing to measure."""
    if not durations.count:
        return dict.fromkeys((*_PERCENTILES, "max"))
    found = durations.percentiles(list(_PERCENTILES.values())) / unit_ns
    percentiles: dict[str, float | None] = {
        name: round(float(value), 3) for name, value in zip(_PERCENTILES, found, strict=True)
    }
    return {**percentiles, "max": round(durations.largest / unit_ns, 3)}


def _sizes(sizes: Durations) -> dict[str, float | None]:
    if not sizes.count:
        return dict.fromkeys(("mean", "p50", "max"))
    mean, (middle,) = sizes.total / sizes.count, sizes.percentiles([50])
    return {"mean": round(mean, 3), "p50": float(middle), "max": sizes.largest}


def verdict(outcomes: Outcomes, summary: dict[str, Any]) -> dict[str, Any]:
    """
    Whether the generator kept its schedule, so that the figures speak of the server.

    ``valid`` needs nothing unsent, a rate within 1 % of the schedule's, and a send lag
    of at most 5 ms at p99.
    """
    reasons = []
    if summary["unsent"]:
        why = ", ".join(
            f"{kind} {n}"
            for kind, n in summary["errors"].items()
            if kind == UNSENT or kind.startswith("connect")
        )
        reasons.append(f"{summary['unsent']} of {summary['offered']} requests were not sent: {why}")
    error = rate_error(outcomes)
    if error > MOST_RATE_ERROR:
        reasons.append(
            f"the rate sent is {error:.1%} off the schedule's; at most {MOST_RATE_ERROR:.0%} is allowed"
        )
    lag_us = summary["send_lag_us"]["p99"]
    if lag_us is not None and lag_us > MOST_LAG_P99_US:
        reasons.append(
            f"the send lag at p99 is {lag_us / 1e3:.1f} ms; at most {MOST_LAG_P99_US / 1e3:g} ms is allowed"
            + (WAITED if _waited(outcomes) else "")
        )
    return {"status": "generator-limited" if reasons else "valid", "valid": not reasons, "reasons": reasons}


def _waited(outcomes: Outcomes) -> bool:
    """Whether the late requests were late for want of a connection, rather than noticed too late."""
    late = waited = 0
    for some in outcomes.in_parts():
        sent = some.sent & (some.dispatched_ns >= 0)
        sent_ns = some.sent_ns[sent]
        is_late = sent_ns - some.intended_ns[sent] > MOST_LAG_P99_US * 1000
        has_waited = sent_ns - some.dispatched_ns[sent] > MOST_LAG_P99_US * 500
        late += int(is_late.sum())
        waited += int((is_late & has_waited).sum())
    return 2 * waited > late


def rate_error(outcomes: Outcomes) -> float:
    """How far the time that sending took is off the time that it should have taken, as a share."""
    spans = []
    for some in outcomes.in_parts():
        sent = some.sent
        if sent.any():
            intended_ns, sent_ns = some.intended_ns[sent], some.sent_ns[sent]
            spans.append([intended_ns.min(), intended_ns.max(), sent_ns.min(), sent_ns.max()])
    if not spans:
        return 0.0
    all_ns = np.array(spans, np.int64)
    lasting_ns = int(all_ns[:, 1].max() - all_ns[:, 0].min())
    taken_ns = int(all_ns[:, 3].max() - all_ns[:, 2].min())
    # Over a short run a scheduling delay at either end is not a rate; the lag bounds it anyway.
    excess_ns = max(0, abs(taken_ns - lasting_ns) - round(MOST_LAG_P99_US * 1000))
    return excess_ns / max(lasting_ns, 1)


def environment() -> dict[str, Any]:
    """What the figures were measured with."""
    return {
        "streambox": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def _closed_verdict() -> dict[str, Any]:
    reason = (
        "a closed loop has no schedule to keep: a slow server is offered less, and its latency is flattered"
    )
    return {"status": CLOSED_LOOP, "valid": True, "reasons": [reason]}
