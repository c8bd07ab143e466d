"""
``make bench``: ours against peers, side by side in one run; prints medians and ratios, gates nothing.

Everything runs on this machine and talks to loopback. Results: benchmarks/results/latest.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import null_bench
import open_loop
import real_model
from harness import HERE, machine
from rich.console import Console
from rich.table import Table

PARTS = ("null", "open_loop", "real_model", "loadgen")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone; repeatable")
    parser.add_argument(
        "--rounds", type=int, default=5, help="pairs of the null model and rounds of the others"
    )
    parser.add_argument("--pairs", type=int, default=10, help="pairs of the real models")
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    args = parser.parse_args()
    console = Console()
    if shutil.which("wrk") is None and (not args.only or "null" in args.only):
        sys.exit("wrk is not installed: 'apt-get install wrk', or choose other parts with --only")
    results: dict[str, Any] = {"machine": machine(), "versions": versions()}
    console.print(results["machine"], results["versions"])
    parts = args.only or PARTS
    if "null" in parts:
        results["null"] = null_bench.measure(args.rounds, args.seconds, console)
        console.print(null_table(results["null"]))
    if "open_loop" in parts:
        results["open_loop"] = open_loop.measure(args.rounds, args.seconds, console)
        console.print(open_loop_table(results["open_loop"]))
    if "real_model" in parts:
        results["real_model"] = real_model.measure(args.pairs, args.seconds, console)
        console.print(real_model_table(results["real_model"]))
    if "loadgen" in parts:
        lag = [sys.executable, str(HERE / "loadgen_lag.py"), "--rounds", str(args.rounds)]
        subprocess.run([*lag, "--seconds", f"{args.seconds:g}"], check=True)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(results, indent=2) + "\n")


def versions() -> dict[str, str]:
    names = ("streambox-serving", "uvicorn", "uvloop", "httptools", "msgspec", "numpy", "onnxruntime")
    found = {name: importlib.metadata.version(name) for name in names}
    pinned = (HERE / "peers" / "requirements-mosec.txt").read_text().split()[0]
    return found | {"mosec": pinned.partition("==")[2]}


def null_table(found: dict[str, Any]) -> Table:
    table = Table(title="null model: y = 2x, JSON, batches of 32 or 5 ms, one worker, wrk -t1 -c64")
    for column in ("", "requests/s", "min to max", "p99 ms", "CPU us a request"):
        table.add_column(column, justify="left" if not column else "right")
    for name, rate in found["per_s"].items():
        span = f"{rate['min']:,.0f} to {rate['max']:,.0f}"
        p99, cpu = found["p99_ms"][name]["median"], found["cpu_us"][name]["median"]
        table.add_row(name, f"{rate['median']:,.0f}", span, f"{p99:.2f}", f"{cpu:.1f}")
    if found["nginx_per_s"]:
        table.add_row("nginx, a static 200", f"{found['nginx_per_s']:,.0f}", "", "", "")
    ratio = found["ratio"]
    table.caption = (
        f"ratio per round: {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}); "
        f"our batches held {found['mean_batch']['median']:.1f} rows on average"
    )
    return table


def open_loop_table(found: dict[str, Any]) -> Table:
    table = Table(title="open loop, Poisson arrivals, 5 ms window: response time from the intended instant")
    for column in ("rate", "", "p50 ms", "p99 ms", "p99 min to max", "send lag p99 ms"):
        table.add_column(column, justify="right" if column.endswith("ms") else "left")
    for rate, sides in found.items():
        for name, figures in sides.items():
            p99 = figures["p99_ms"]
            table.add_row(
                f"{rate}/s",
                name,
                f"{figures['p50_ms']['median']:.2f}",
                f"{p99['median']:.2f}",
                f"{p99['min']:.2f} to {p99['max']:.2f}",
                f"{figures['lag_p99_ms']['median']:.2f}",
            )
    return table


def real_model_table(found: dict[str, Any]) -> Table:
    table = Table(title="real models: through the Batcher over HTTP against ONNX Runtime alone, one thread")
    for column in ("model", "batch", "ours rows/s", "alone rows/s", "ratio", "95 % interval", "CPU ms a row"):
        table.add_column(column, justify="right" if column != "model" else "left")
    for name, case in found.items():
        low, high = case["interval"]
        table.add_row(
            name,
            str(case["batch"]),
            f"{case['ours_rows_per_s']:.1f}",
            f"{case['alone_rows_per_s']:.1f}",
            f"{case['ratio']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{case['ours_worker_ms']:.2f} against {case['alone_ms']:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
