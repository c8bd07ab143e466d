"""
Latency at a given rate, open-loop: ours, Mosec and a bare batcher, by our own Load Generator.

Twice: all processes wherever the system puts them, and the generator on a core of its own, as if it
were another machine. Where there are two cores, the second tells of the server and the first of both.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import Side, bare, check_null, end_on_sigterm, mosec, ours, peer_python, running, spread
from rich.console import Console
from rich.table import Table

from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import run_load

if TYPE_CHECKING:
    from collections.abc import Iterator

RATES_PER_S = (1000, 3000)
WINDOW_MS = 5.0
SIDES = (ours, mosec, bare)
_WARM_UP_S = 1.0
_SPREAD = ("p50_ms", "p99_ms", "over_window_ms", "lag_p99_ms")


@dataclass(frozen=True)
class Placement:
    """On which cores the servers run, and on which the Load Generator; the same for every side."""

    name: str
    servers: frozenset[int]
    generator: frozenset[int]


def placements() -> list[Placement]:
    """Everything anywhere; and apart, where this process has two cores or more to choose from."""
    if not hasattr(os, "sched_setaffinity"):
        return [Placement("free", frozenset(), frozenset())]
    cores = frozenset(os.sched_getaffinity(0))
    found = [Placement("free", cores, cores)]
    if len(cores) > 1:
        own = frozenset([max(cores)])
        found.append(Placement("apart", cores - own, own))
    return found


@contextlib.contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """This thread, and the processes that it starts, on *cores*; on none in particular if there are none."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(rounds: int, seconds: float, console: Console) -> list[dict[str, Any]]:
    """Per placement, rate and side: response time from the intended instant, and the generator's own lag."""
    peer_python("mosec")  # before the clock starts, not in the middle of a round
    found: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    for number in range(rounds):
        for rate in RATES_PER_S:
            for place in placements():
                # All sides get the very same arrivals: one seed a round.
                for make in SIDES if number % 2 == 0 else SIDES[::-1]:
                    side = make()
                    figures = _measure_side(side, place, rate, seconds, number + 1)
                    found.setdefault((place.name, rate, side.name), []).append(figures)
                    console.print(
                        f"round {number + 1} {_line(side, place, rate, figures)}",
                        highlight=False,
                        soft_wrap=True,
                    )
    return [
        {"placement": place, "rate_per_s": rate, "side": side} | _summary(runs)
        for (place, rate, side), runs in found.items()
    ]


def _line(side: Side, place: Placement, rate: int, figures: dict[str, float]) -> str:
    verdict = "valid" if figures["valid"] else "generator-limited"
    return (
        f"{side.name:<12} {rate}/s {place.name:<5}  p50 {figures['p50_ms']:5.2f}  "
        f"p99 {figures['p99_ms']:6.2f} ms  (send lag p99 {figures['lag_p99_ms']:.2f} ms, {verdict})"
    )


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    valid = sum(run["valid"] for run in runs)
    return {key: spread([run[key] for run in runs]) for key in _SPREAD} | {"runs": len(runs), "valid": valid}


def _measure_side(side: Side, place: Placement, rate: float, seconds: float, seed: int) -> dict[str, float]:
    with contextlib.ExitStack() as stack:
        with on_cores(place.servers):
            stack.enter_context(running(side))
        stack.enter_context(on_cores(place.generator))
        check_null(side)
        _run(side, rate, _WARM_UP_S, 0)
        summary = _run(side, rate, seconds, seed)
        check_null(side)
    p99_ms = summary["response_ms"]["p99"]
    return {
        "p50_ms": summary["response_ms"]["p50"],
        "p99_ms": p99_ms,
        "over_window_ms": p99_ms - WINDOW_MS,
        "lag_p99_ms": summary["send_lag_us"]["p99"] / 1e3,
        "valid": int(summary["verdict"]["valid"]),
    }


def _run(side: Side, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """One run; every answer's request id is checked. Ends the benchmark if any that was sent went wrong."""
    workload = WorkloadOptions(rate_per_s=rate, duration_ns=round(seconds * 1e9), seed=seed)
    options = RunOptions(target=Target("127.0.0.1", side.port, side.path), check="id")
    finished = run_load(workload, options, "double", Console(stderr=True), quiet=True)
    end_on_sigterm()  # the run has had the signals for itself
    if len(finished.outcomes) < len(finished.schedule):
        raise KeyboardInterrupt  # which it takes for a wish to stop early
    summary = finished.summary
    if not summary["sent"] or summary["ok"] != summary["sent"]:
        raise SystemExit(f"{side.name} at {rate}/s: {summary['errors']}")
    return summary


def table(found: list[dict[str, Any]]) -> Table:
    shown = Table(title="open loop, Poisson arrivals, 5 ms window: response time from the intended instant")
    left = ("rate", "cores", "")
    for column in (
        *left,
        "p50 ms",
        "p99 ms",
        "p99 min to max",
        "p99 over window",
        "send lag p99 ms",
        "valid",
    ):
        shown.add_column(column, justify="left" if column in left else "right")
    for cell in found:
        p99 = cell["p99_ms"]
        shown.add_row(
            f"{cell['rate_per_s']}/s",
            cell["placement"],
            cell["side"],
            f"{cell['p50_ms']['median']:.2f}",
            f"{p99['median']:.2f}",
            f"{p99['min']:.2f} to {p99['max']:.2f}",
            f"{cell['over_window_ms']['median']:+.2f}",
            f"{cell['lag_p99_ms']['median']:.2f}",
            f"{cell['valid']} of {cell['runs']}",
        )
    shown.caption = "free: anywhere; apart: the generator on a core of its own, every server on the others"
    return shown
