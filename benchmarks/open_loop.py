"""Latency at a given rate: ours and Mosec open-loop with a 5 ms window, by our own Load Generator."""

from __future__ import annotations

from typing import Any

from harness import Side, mosec, ours, running, spread
from rich.console import Console

from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import run_load

RATES_PER_S = (1000, 3000)


def measure(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Per rate and side: response time from the intended instant, and the generator's own lag."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number in range(rounds):
        for rate in RATES_PER_S:
            for side in (ours(), mosec()):
                summary = _run(side, rate, seconds, number)
                figures = {
                    "p50_ms": summary["response_ms"]["p50"],
                    "p99_ms": summary["response_ms"]["p99"],
                    "lag_p99_ms": summary["send_lag_us"]["p99"] / 1e3,
                    "valid": float(summary["verdict"]["valid"]),
                }
                found.setdefault(str(rate), {}).setdefault(side.name, []).append(figures)
                console.print(
                    f"round {number + 1} {side.name:<10} {rate}/s  p50 {figures['p50_ms']:5.2f}  p99 "
                    f"{figures['p99_ms']:6.2f} ms  (send lag p99 {figures['lag_p99_ms']:.2f} ms, "
                    f"{summary['verdict']['status']})",
                    highlight=False,
                )
    return {
        rate: {
            name: {key: spread([run[key] for run in runs]) for key in ("p50_ms", "p99_ms", "lag_p99_ms")}
            for name, runs in sides.items()
        }
        for rate, sides in found.items()
    }


def _run(side: Side, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    workload = WorkloadOptions(rate_per_s=rate, duration_ns=round(seconds * 1e9), seed=seed)
    # The request id of the null model's reply is checked on both sides; its answer by neither.
    options = RunOptions(target=Target("127.0.0.1", side.port, side.path), check="id")
    with running(side):
        summary = run_load(workload, options, "double", Console(stderr=True), quiet=True).summary
    if summary["ok"] != summary["offered"]:
        raise SystemExit(f"{side.name} at {rate}/s: {summary['errors']}")
    return summary
