"""
The coordinated-omission test: ``python benchmarks/coordinated_omission.py``.

1000 requests/s for 20 s, constant, at a server that stops answering for 2 s and goes on accepting.
What its users wait follows from the schedule, the stall and the rate at which the server drains
(``stall.py``); our p99 has to be that one to within 5 %. What other tools say of the same server
stands beside it: one that waits for its answers sends little during the stall, and so hardly sees it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import HERE, end_on_sigterm, ending, machine, wide_console
from load_tools import OURS, TOOLS, Order, Tool
from rich.table import Table
from stall import Stall, responses_ns

from streambox.workload.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

RATE_PER_S = 1000
SECONDS = 20
CONNECTIONS = 64
MOST_CONNECTIONS = 4096  # of an open loop: each request that is held holds one
STALL = Stall(service_ns=100_000, begin_ns=5_000_000_000, end_ns=7_000_000_000)
CLOSE_ENOUGH = 0.05
Figures = dict[str, float]


def measure(console: Console) -> dict[str, Any]:
    """By tool: requests, p50, p99 and max in ms as it tells them; and the exact ones of the schedule."""
    told: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for tool, read in _TOLD.items():
            reason = tool.absent()
            if reason is not None:
                console.print(f"{tool.name:<12} left out: {reason}", highlight=False)
                continue
            folder = Path(scratch, tool.name)
            folder.mkdir()
            told[tool.name] = _run(tool, read, folder)
            console.print(f"{tool.name:<12} p99 {told[tool.name]['p99']:10.3f} ms", highlight=False)
        exact = _exact(Path(scratch, OURS.name, "run"))
    return {
        "exact": exact,
        "told": told,
        "off": {name: f["p99"] / exact["p99"] - 1 for name, f in told.items()},
    }


def _exact(run: Path) -> Figures:
    """Of the very schedule that was replayed."""
    waited_ms = responses_ns(Schedule.from_parquet(run / "schedule.parquet").intended_ns, STALL) / 1e6
    p50, p99 = np.percentile(waited_ms, (50, 99))
    return {"requests": len(waited_ms), "p50": p50, "p99": p99, "max": waited_ms.max()}


def _run(tool: Tool, read: Callable[[str], Figures], folder: Path) -> Figures:
    with _stalling_server() as port:
        connections = MOST_CONNECTIONS if tool is OURS else CONNECTIONS
        rate = None if tool.paces is None else RATE_PER_S
        command = tool.command(Order(f"http://127.0.0.1:{port}/", connections, SECONDS, folder, rate))
        if tool is OURS:
            command += ["--out", str(folder / "run")]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool.name}: exit code {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
    return read(done.stdout)


@contextlib.contextmanager
def _stalling_server() -> Iterator[int]:
    command = [sys.executable, str(HERE / "stalling_server.py"), *map(str, dataclasses.astuple(STALL))]
    with ending(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        yield int(process.stdout.readline())


# ---- what each tool says -------------------------------------------------------------------------


def _ours_told(out: str) -> Figures:
    summary = json.loads(out)
    response = summary["response_ms"]
    return {"requests": summary["ok"], **{key: response[key] for key in ("p50", "p99", "max")}}


def _wrk_told(out: str) -> Figures:
    def ms(pattern: str) -> float:
        number, unit = re.search(pattern + r"\s+([\d.]+)(us|ms|s)\b", out).groups()
        return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]

    requests = int(re.search(r"(\d+) requests in", out)[1])
    return {"requests": requests, "p50": ms("50%"), "p99": ms("99%"), "max": ms(r"Latency\s+\S+\s+\S+")}


def _hey_told(out: str) -> Figures:
    def ms(pattern: str) -> float:
        return float(re.search(pattern + r"\s+([\d.]+) secs", out)[1]) * 1e3

    requests = int(re.search(r"\[200\]\s+(\d+) responses", out)[1])
    return {"requests": requests, "p50": ms("50% in"), "p99": ms("99% in"), "max": ms("Slowest:")}


def _autocannon_told(out: str) -> Figures:
    found = json.loads(out)
    return {"requests": found["2xx"], **{key: found["latency"][key] for key in ("p50", "p99", "max")}}


_READERS = {"StreamBox": _ours_told, "wrk": _wrk_told, "hey": _hey_told, "autocannon": _autocannon_told}
_TOLD = {tool: _READERS[tool.name] for tool in TOOLS if tool.name in _READERS}


# ---- the table -----------------------------------------------------------------------------------


def table(found: dict[str, Any]) -> Table:
    drawn = Table(title=f"{RATE_PER_S:,}/s for {SECONDS} s, of which the server answers nobody for 2 s")
    for column in ("", "requests", "p50 ms", "p99 ms", "max ms", "p99 off by"):
        drawn.add_column(column, justify="right" if column else "left")
    for name, figures in {"exact, of the schedule": found["exact"], **found["told"]}.items():
        off = f"{found['off'][name]:+.2%}" if name in found["off"] else ""
        values = [f"{figures[key]:,.3f}" for key in ("p50", "p99", "max")]
        drawn.add_row(name, f"{figures['requests']:,.0f}", *values, off)
    drawn.caption = f"wrk knows no rate; the others have {CONNECTIONS} connections, ours as many as it takes"
    return drawn


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    end_on_sigterm()
    console = wide_console()
    console.print(", ".join(f"{key} {fact}" for key, fact in machine().items()), highlight=False)
    found = measure(console)
    console.print(table(found))
    off = found["off"][OURS.name]
    if abs(off) > CLOSE_ENOUGH:
        sys.exit(f"our p99 is {off:+.1%} off the exact one; at most {CLOSE_ENOUGH:.0%} is right")


if __name__ == "__main__":
    main()
