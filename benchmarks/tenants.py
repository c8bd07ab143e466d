"""
Are tenants served as they should be, live over HTTP? ``python benchmarks/tenants.py``.

One model that takes 2 ms for a batch of any size, of at most 4 rows, with a 20 ms window, so that the
model and not the front is the limit. Each tenant is a process of ``streambox load`` with its own key.

* Weights 1 : 2 : 4, all backlogged: whose rows are served, by the server's own count.
* The heaviest of them idle: whether the others use what it leaves.
* A flood of 50 × 100 requests/s beside a tenant that asks for half its share, against that one alone.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import HERE, Side, ending, free_port, machine, running

from streambox.tenancy import make_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BATCH: Final = 4
CALLERS: Final = 64
FLOOD_PER_S: Final = 50 * 100
SETTLE_S: Final = 3.0
MEASURED_S: Final = 10.0
FLOODED_S: Final = 20.0
MOST_UNFAIR: Final = 0.05
MOST_SLOWDOWN: Final = 1.5

_CONFIG: Final = """
batcher: {{time_window: 20ms, max_batch_size: {batch}, max_queue_size: 2000}}
models:
  steady:
    executor: python
    callable: "null_model:steady"
    inputs: [{{name: vector, datatype: FP32, shape: [-1, 4]}}]
    outputs: [{{name: output, datatype: FP32, shape: [-1, 4]}}]
tenants:
{tenants}
log: {{level: warning}}
"""


class Front:
    """A server of ours with tenants of these weights, each with a key."""

    def __init__(self, weights: Mapping[str, float], folder: Path) -> None:
        self.keys = {name: make_key() for name in weights}
        lines = [
            f'  - {{name: {name}, weight: {weight:g}, keys: [{{id: k, sha256: "{self.keys[name].sha256}"}}]}}'
            for name, weight in weights.items()
        ]
        config = folder / "serve.yaml"
        config.write_text(_CONFIG.format(batch=BATCH, tenants="\n".join(lines)))
        (folder / "null_model.py").write_text((HERE / "null_model.py").read_text())
        port = free_port()
        command = [sys.executable, "-m", "streambox", "serve", "--config", str(config), "--port", str(port)]
        self.side = Side("StreamBox", command, port, "/api/batcher", ready="/v2/health/ready")

    def rows(self) -> dict[str, float]:
        """Served so far, by tenant."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.side.port}/metrics") as page:
            text = page.read().decode()
        found = re.findall(r'^streambox_tenant_rows_total\{tenant="(\w+)"\} (\S+)', text, re.MULTILINE)
        return {name: float(count) for name, count in found}

    @contextlib.contextmanager
    def load(self, tenant: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """``streambox load`` as *tenant*, ended on leaving."""
        url = f"http://127.0.0.1:{self.side.port}/api/batcher"
        command = [sys.executable, "-m", "streambox", "load", "--url", url, "--model", "steady"]
        key = f"x-api-key: {self.keys[tenant].secret}"
        command += ["--check", "id", "--header", key, "--json", "--quiet", "--allow-invalid", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        with ending(process):
            yield process


@contextlib.contextmanager
def front(**weights: float) -> Iterator[Front]:
    with tempfile.TemporaryDirectory() as folder:
        made = Front(weights, Path(folder))
        with running(made.side):
            yield made


def served_per_s(at: Front, *backlogged: str) -> dict[str, float]:
    """Rows a second of each tenant while all of *backlogged* have always something waiting."""
    duration = f"{SETTLE_S + MEASURED_S + 5:g}s"
    with contextlib.ExitStack() as stack:
        for name in backlogged:
            stack.enter_context(at.load(name, "--concurrency", str(CALLERS), "--duration", duration))
        time.sleep(SETTLE_S)
        before, begun = at.rows(), time.monotonic()
        time.sleep(MEASURED_S)
        after, took = at.rows(), time.monotonic() - begun
    return {name: (after[name] - before[name]) / took for name in after}


def shares() -> float:
    """Prints who is served how much; returns the rows a second of all."""
    weights = {"light": 1.0, "middle": 2.0, "heavy": 4.0}
    with front(**weights) as at:
        rates = served_per_s(at, *weights)
        rest = served_per_s(at, "light", "middle")
    total, left = sum(rates.values()), sum(rest.values())
    print(f"weights 1 : 2 : 4, all backlogged ({total:,.0f} rows/s)")
    off = {
        name: rates[name] / (total * weight / sum(weights.values())) - 1 for name, weight in weights.items()
    }
    for name, rate in rates.items():
        print(f"  {name:<8} {rate:8,.1f} rows/s  {rate / total:6.2%}  {off[name]:+.2%} of its due")
    worst = max(map(abs, off.values()))
    print(f"  within {worst:.2%} of the weights: {verdict(worst <= MOST_UNFAIR)}")
    print(f"the heaviest idle: {left:,.0f} rows/s for the others, 1 : {rest['middle'] / rest['light']:.3f}")
    print(f"  {left / total:.1%} of what all had: {verdict(left >= (1 - MOST_UNFAIR) * total)}")
    return total


def flooded(total: float) -> None:
    """Prints what a flood does to who asks for half its share, a quarter of *total* rows a second."""
    rate = f"{total / 4:.0f}"
    steady = ("--rate", rate, "--duration", f"{FLOODED_S:g}s", "--warm-up", "2s")
    flood = ("--rate", str(FLOOD_PER_S), "--duration", f"{FLOODED_S + 10:g}s", "--connections", "4000")
    with front(small=1.0, flood=1.0) as at:
        alone = ended(at, "small", *steady)
        with at.load("flood", *flood) as process:
            time.sleep(SETTLE_S)
            beside = ended(at, "small", *steady)
            flooding = json.loads(process.communicate(timeout=120)[0])
    slowdown = beside["response_ms"]["p99"] / alone["response_ms"]["p99"]
    refused = beside["sent"] - beside["ok"]
    print(f"a tenant at half its share, {rate}/s, alone and beside a flood of {FLOOD_PER_S:,}/s")
    for name, summary in (("alone", alone), ("beside", beside), ("flood", flooding)):
        p50, p99 = (summary["response_ms"][percentile] for percentile in ("p50", "p99"))
        told = f"{summary['ok']:,} ok, {summary['errors'] or 'no errors'}"
        print(f"  {name:<8} p50 {p50:7.1f}  p99 {p99:7.1f} ms  {told}")
    print(f"  p99 times {slowdown:.2f}: {verdict(slowdown <= MOST_SLOWDOWN)}")
    print(f"  {refused} refused: {verdict(not refused)}")


def ended(at: Front, tenant: str, *options: str) -> dict[str, Any]:
    """The summary of a run."""
    with at.load(tenant, *options) as process:
        out, err = process.communicate(timeout=120)
    if process.returncode:
        sys.exit(f"streambox load: exit code {process.returncode}: {err}")
    summary: dict[str, Any] = json.loads(out)
    return summary


def verdict(holds: bool) -> str:
    return "as it should be" if holds else "NOT as it should be"


def main() -> None:
    print(", ".join(f"{key} {fact}" for key, fact in machine().items()))
    flooded(shares())


if __name__ == "__main__":
    main()
