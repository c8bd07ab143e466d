"""
What too much load does to a server, live over HTTP: ``python benchmarks/overload.py``.

One model that takes 2 ms for a batch of any size, of at most 4 rows, with a deadline of 100 ms for
every request, so that the model and not the front is the limit. Under each policy in turn:

* the capacity, in a closed loop; the peak of the goodput, open-loop, around it;
* three times the capacity for 60 s: goodput, the answers' latency, the refusals', memory;
* half of it, ten times it for 20 s, and half of it again: how soon all is as before.

Goodput counts the right answers within their deadline, from the instant at which each was to be sent.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from harness import HERE, Side, end_on_sigterm, free_port, machine, running, tree_of
from rich.console import Console

from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, run_load

if TYPE_CHECKING:
    from collections.abc import Iterator

SLO_MS: Final = 100.0
AROUND_CAPACITY: Final = (0.8, 0.9, 1.0, 1.2)
OVERLOAD: Final = 3
FLOOD: Final = 10
LEAST_GOODPUT: Final = 0.9
MOST_REFUSAL_MS: Final = 20.0
MOST_GROWTH_MB: Final = 50.0
MOST_SLOWDOWN: Final = 1.5
MOST_RECOVERY_S: Final = 5
_SAMPLED_EVERY_S: Final = 0.25
_MS: Final = 1_000_000
_S: Final = 1_000_000_000

_CONFIG: Final = """
batcher: {{time_window: 5ms, max_batch_size: 4, policy: {policy}}}
models:
  steady:
    executor: python
    callable: "null_model:steady"
    slo: {slo_ms:g}ms
    inputs: [{{name: vector, datatype: FP32, shape: [-1, 4]}}]
    outputs: [{{name: output, datatype: FP32, shape: [-1, 4]}}]
log: {{level: error}}
"""


class Spans(NamedTuple):
    """How long to measure what, in seconds."""

    peak: float
    overload: float
    calm: float
    flood: float


FULL: Final = Spans(10, 60, 20, 20)
QUICK: Final = Spans(3, 6, 6, 4)


@contextlib.contextmanager
def front(policy: str) -> Iterator[tuple[Side, int]]:
    """A server of ours, and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "serve.yaml")
        config.write_text(_CONFIG.format(policy=policy, slo_ms=SLO_MS))
        Path(folder, "null_model.py").write_text((HERE / "null_model.py").read_text())
        port = free_port()
        command = [sys.executable, "-m", "streambox", "serve", "--config", str(config), "--port", str(port)]
        side = Side("StreamBox", command, port, "/api/batcher", ready="/v2/health/ready")
        with running(side) as process:
            yield side, process.pid


def sent(side: Side, seconds: float, *, process: str | None = None, callers: int | None = None) -> Finished:
    """One run: the arrivals of *process*, or *callers* in a closed loop."""
    duration_ns = round(seconds * _S)
    workload = WorkloadOptions(process=process, duration_ns=duration_ns, seed=1)
    options = RunOptions(
        target=Target("127.0.0.1", side.port, side.path),
        check="id",
        connections=8192,
        concurrency=callers,
        duration_ns=duration_ns,
    )
    finished = run_load(workload, options, "steady", Console(stderr=True), quiet=True)
    end_on_sigterm()  # the run has had the signals for itself
    if finished.summary["verdict"]["status"] == "interrupted":
        raise KeyboardInterrupt
    return finished


def poisson(side: Side, seconds: float, rate_per_s: float) -> Finished:
    return sent(side, seconds, process=f"poisson:rate={rate_per_s:.0f}")


def within_slo(finished: Finished) -> np.ndarray[Any, Any]:
    """Of each request, whether it was answered rightly and in time."""
    outcomes = finished.outcomes
    in_time: np.ndarray[Any, Any] = outcomes.done_ns - outcomes.intended_ns <= SLO_MS * _MS
    return outcomes.ok & in_time


def goodput_per_s(finished: Finished, seconds: float) -> float:
    return float(within_slo(finished).sum() / seconds)


def p99_ms(finished: Finished, chosen: np.ndarray[Any, Any]) -> float:
    outcomes = finished.outcomes
    latencies = (outcomes.done_ns - outcomes.intended_ns)[chosen]
    return float(np.percentile(latencies, 99) / _MS) if len(latencies) else float("nan")


def refused(finished: Finished) -> np.ndarray[Any, Any]:
    """Of each request, whether it was answered 503: there was too much before it."""
    outcomes = finished.outcomes
    numbers = [number for number, kind in enumerate(outcomes.kinds) if kind.startswith("http_503")]
    return np.isin(outcomes.kind, numbers)


@contextlib.contextmanager
def memory_watched(pid: int) -> Iterator[list[float]]:
    """Resident MB of the server and its workers, one sample after another, while the body runs."""
    samples = [resident_mb(pid)]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLED_EVERY_S):
            samples.append(resident_mb(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join()


def resident_mb(pid: int) -> float:
    total_kb = 0
    for member in tree_of(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{member}/status").read_text(), re.MULTILINE)
            total_kb += int(found[1]) if found else 0
    return total_kb / 1024


def p95_by_second(finished: Finished, seconds: int) -> list[float]:
    """Of the right answers to what was to be sent in each second, in ms; infinite where there was none."""
    outcomes = finished.outcomes
    second = outcomes.intended_ns // _S
    latencies = (outcomes.done_ns - outcomes.intended_ns) / _MS
    found = []
    for number in range(seconds):
        chosen = latencies[(second == number) & outcomes.ok]
        found.append(float(np.percentile(chosen, 95)) if len(chosen) else float("inf"))
    return found


def recovered_after_s(p95_ms: list[float], calm_s: int, flood_s: int) -> tuple[float, int]:
    """The p95 of the calm before, and after how many seconds all are within 1.5 times that again."""
    before_ms = float(np.median(p95_ms[2:calm_s]))  # the first two warm up
    after = p95_ms[calm_s + flood_s :]
    late = [index for index, found in enumerate(after) if found > MOST_SLOWDOWN * before_ms]
    return before_ms, late[-1] + 1 if late else 0


def measure(policy: str, spans: Spans) -> None:
    with front(policy) as (side, pid):
        capacity = sent(side, spans.peak / 2, callers=64).summary["throughput_per_s"]
        print(f"policy {policy}: {capacity:,.0f} rows/s in a closed loop", flush=True)
        peak = 0.0
        for load in AROUND_CAPACITY:
            goodput = goodput_per_s(poisson(side, spans.peak, load * capacity), spans.peak)
            peak = max(peak, goodput)
            print(f"  {load:4.1f} x: goodput {goodput:8,.0f}/s", flush=True)
        with memory_watched(pid) as samples:
            finished = poisson(side, spans.overload, OVERLOAD * capacity)
        tell_overload(finished, spans.overload, peak, samples)
        tell_recovery(side, capacity, spans)


def tell_overload(finished: Finished, seconds: float, peak: float, samples: list[float]) -> None:
    outcomes, goodput = finished.outcomes, goodput_per_s(finished, seconds)
    service_ms = float(np.median(outcomes.service_ns[outcomes.ok]) / _MS)
    answered_ms, refusal_ms = p99_ms(finished, outcomes.ok), p99_ms(finished, refused(finished))
    growth_mb = max(samples) - samples[0]
    lag_ms = finished.summary["send_lag_us"]["p99"] / 1e3
    print(f"  {OVERLOAD} x for {seconds:g} s: {outcomes.ok.sum():,} ok, {finished.summary['errors']}")
    told("goodput", f"{goodput:,.0f}/s, {goodput / peak:.1%} of its peak", goodput >= LEAST_GOODPUT * peak)
    limit_ms = SLO_MS + service_ms
    told("answered p99", f"{answered_ms:.1f} ms (limit {limit_ms:.1f})", answered_ms <= limit_ms)
    told(
        "refused p99",
        f"{refusal_ms:.1f} ms (send lag p99 {lag_ms:.1f} of it)",
        refusal_ms <= MOST_REFUSAL_MS,
    )
    told("memory", f"+{growth_mb:.1f} MB, from {samples[0]:.0f} MB", growth_mb <= MOST_GROWTH_MB)


def tell_recovery(side: Side, capacity: float, spans: Spans) -> None:
    calm_s, flood_s = int(spans.calm), int(spans.flood)
    calm, flood = f"{capacity / 2:.0f}/s", f"{FLOOD * capacity:.0f}/s"
    levels = f"steps:levels={calm}:{calm_s}s+{flood}:{flood_s}s+{calm}:{calm_s}s"
    total_s = 2 * calm_s + flood_s
    finished = sent(side, total_s, process=levels)
    before_ms, recovery_s = recovered_after_s(p95_by_second(finished, total_s), calm_s, flood_s)
    print(f"  {FLOOD} x for {flood_s} s: {finished.outcomes.ok.sum():,} ok, {finished.summary['errors']}")
    told(
        "p95 by the second",
        f"{before_ms:.1f} ms before, within {MOST_SLOWDOWN:g} times that again after {recovery_s} s",
        recovery_s <= MOST_RECOVERY_S,
    )


def told(what: str, found: str, holds: bool) -> None:
    print(f"    {what:<18} {found}: {'as it should be' if holds else 'NOT as it should be'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What too much load does to a server of ours.")
    parser.add_argument("--policy", action="append", help="this one alone; repeatable (default window, slo)")
    parser.add_argument("--quick", action="store_true", help="a few seconds of each: does it run at all?")
    args = parser.parse_args()
    end_on_sigterm()
    print(", ".join(f"{key} {fact}" for key, fact in machine().items()))
    try:
        for policy in args.policy or ("window", "slo"):
            measure(policy, QUICK if args.quick else FULL)
    except KeyboardInterrupt:
        sys.exit("stopped")


if __name__ == "__main__":
    main()
