"""Latency at a given rate, open-loop: ours, Mosec and a bare batcher, by our own Load Generator."""

from __future__ import annotations

from typing import Any

from harness import Side, bare, check_null, end_on_sigterm, mosec, ours, peer_python, running, spread
from rich.console import Console

from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import run_load

RATES_PER_S = (1000, 3000)
WINDOW_MS = 5.0
SIDES = (ours, mosec, bare)
_WARM_UP_S = 1.0
_SPREAD = ("p50_ms", "p99_ms", "over_window_ms", "lag_p99_ms")


def measure(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Per rate and side: response time from the intended instant, and the generator's own lag."""
    peer_python("mosec")  # before the clock starts, not in the middle of a round
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number in range(rounds):
        for rate in RATES_PER_S:
            # Both sides get the very same arrivals: one seed a round.
            for make in SIDES if number % 2 == 0 else SIDES[::-1]:
                side = make()
                figures = _measure_side(side, rate, seconds, number + 1)
                found.setdefault(str(rate), {}).setdefault(side.name, []).append(figures)
                console.print(
                    f"round {number + 1} {side.name:<12} {rate}/s  p50 {figures['p50_ms']:5.2f}  p99 "
                    f"{figures['p99_ms']:6.2f} ms  (send lag p99 {figures['lag_p99_ms']:.2f} ms, "
                    f"{'valid' if figures['valid'] else 'generator-limited'})",
                    highlight=False,
                    soft_wrap=True,
                )
    return {rate: {name: _summary(runs) for name, runs in sides.items()} for rate, sides in found.items()}


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    valid = sum(run["valid"] for run in runs)
    return {key: spread([run[key] for run in runs]) for key in _SPREAD} | {"runs": len(runs), "valid": valid}


def _measure_side(side: Side, rate: float, seconds: float, seed: int) -> dict[str, float]:
    with running(side):
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
