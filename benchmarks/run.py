"""
``make bench``: ours against peers, side by side in one run; prints medians and ratios, gates nothing.

Everything runs on this machine and talks to loopback. Results: benchmarks/results/latest.json.
What each part means: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import coordinated_omission
import null_bench
import open_loop
import real_model
import rivals
from harness import HERE, end_on_sigterm, ending, machine, nginx_binary, spread_text, wide_console
from rich.table import Table

from streambox.errors import StreamBoxError

if TYPE_CHECKING:
    from rich.console import Console

PARTS = ("null", "open_loop", "real_model", "loadgen", "rivals", "omission")
QUIET_LOAD = 0.5


def main() -> None:
    args = arguments()
    end_on_sigterm()
    try:
        measure(args, wide_console())
    except KeyboardInterrupt:
        sys.exit("stopped; the parts that were through are in the results file")
    except StreamBoxError as error:
        sys.exit(f"benchmark failed: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"benchmark failed: {' '.join(map(str, error.cmd))}: exit code {error.returncode}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure StreamBox against peers, side by side.")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone; repeatable")
    parser.add_argument("--peers", choices=null_bench.PEERS, nargs="*", default=[*null_bench.PEERS])
    parser.add_argument("--rounds", type=int, help="of every part but the real models (default 5)")
    parser.add_argument("--pairs", type=int, help="of the real models, at least 2 (default 10)")
    parser.add_argument("--seconds", type=float, help="of one measurement (default 5)")
    parser.add_argument("--quick", action="store_true", help="1 round, 2 pairs, 1 s: does it run at all?")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latest.json", metavar="FILE")
    args = parser.parse_args()
    rounds, pairs, seconds = (1, 2, 1.0) if args.quick else (5, 10, 5.0)
    args.rounds = rounds if args.rounds is None else args.rounds
    args.pairs = pairs if args.pairs is None else args.pairs
    args.seconds = seconds if args.seconds is None else args.seconds
    args.parts = args.only or PARTS
    if args.rounds < 1 or args.pairs < 2 or args.seconds < 1:
        parser.error("at least 1 round, 2 pairs, 1 second")
    if shutil.which("wrk") is None and "null" in args.parts:
        sys.exit("wrk is not installed; install it, or choose other parts with --only")
    return args


def measure(args: argparse.Namespace, console: Console) -> None:
    """Part after part; what is through is on disk before the next begins."""
    results: dict[str, Any] = {"machine": machine(), "versions": versions(args.peers)}
    results["setting"] = {"rounds": args.rounds, "pairs": args.pairs, "seconds": args.seconds}
    save(args.out, results)  # not only after ten minutes to find that it cannot be written
    for facts in (results["machine"], results["versions"]):
        console.print(
            ", ".join(f"{key} {fact}" for key, fact in facts.items()), highlight=False, soft_wrap=True
        )
    if results["machine"]["load_average"] > QUIET_LOAD:
        console.print("The machine is not idle: what follows says little.", style="yellow")
    if "null" in args.parts:
        results["null"] = null_bench.measure(args.rounds, args.seconds, args.peers, console)
        console.print(null_table(results["null"]))
        save(args.out, results)
    if "open_loop" in args.parts:
        results["open_loop"] = open_loop.measure(args.rounds, args.seconds, console)
        console.print(open_loop.table(results["open_loop"]))
        save(args.out, results)
    if "real_model" in args.parts:
        results["real_model"] = real_model.measure(args.pairs, args.seconds, console)
        console.print(real_model_table(results["real_model"]))
        save(args.out, results)
    if "loadgen" in args.parts:
        results["loadgen"] = loadgen(args.rounds, args.seconds, console)
        save(args.out, results)
    if "rivals" in args.parts:
        results["rivals"] = rivals.measure(args.rounds, args.seconds, console)
        console.print(*rivals.tables(results["rivals"]))
        save(args.out, results)
    if "omission" in args.parts:
        results["omission"] = coordinated_omission.measure(console)
        console.print(coordinated_omission.table(results["omission"]))
        save(args.out, results)


def save(path: Path, results: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=2) + "\n")
    except OSError as error:
        sys.exit(f"{path}: cannot be written: {error.strerror}")


def versions(peers: list[str]) -> dict[str, str]:
    names = ("streambox-serving", "uvicorn", "uvloop", "httptools", "msgspec", "numpy", "onnxruntime")
    found = {name: importlib.metadata.version(name) for name in names}
    for peer in dict.fromkeys(("mosec", *peers)):
        pinned = (HERE / "peers" / f"requirements-{peer}.txt").read_text().split()[0]
        found[peer] = pinned.partition("==")[2]
    if shutil.which("wrk"):
        found["wrk"] = told("wrk", "-v").split()[1]
    if nginx_binary():
        found["nginx"] = told(nginx_binary(), "-v").rpartition("/")[2].strip()
    return found


def told(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def loadgen(rounds: int, seconds: float, console: Console) -> list[str]:
    """The Load Generator's own lag, by a script of its own: its lines."""
    command = [sys.executable, str(HERE / "loadgen_lag.py"), "--rounds", str(rounds)]
    process = subprocess.Popen(
        [*command, "--seconds", f"{seconds:g}"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    lines = []
    with ending(process, signal.SIGINT), process.stdout:
        for line in process.stdout:
            lines.append(line.rstrip())
            console.print(lines[-1], highlight=False, markup=False, soft_wrap=True)
        process.wait()
    if process.returncode:
        sys.exit(f"loadgen_lag.py: exit code {process.returncode}")
    return lines


def null_table(found: dict[str, Any]) -> Table:
    table = Table(title="null model: y = 2x, JSON, batches of 32 or 5 ms, one worker, wrk -t1 -c64")
    columns = (
        "requests/s",
        "min to max",
        "p99 ms",
        "CPU us a request",
        "rows a batch",
        "ours over it",
        "CPU",
    )
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, side in found["sides"].items():
        rate = side["per_s"]
        against = found["against"].get(name)
        table.add_row(
            name,
            f"{rate['median']:,.0f}",
            f"{rate['min']:,.0f} to {rate['max']:,.0f}",
            f"{side['p99_ms']['median']:.2f}",
            f"{side['cpu_us']['median']:.1f}",
            f"{side['mean_batch']['median']:.1f}" if "mean_batch" in side else "",
            spread_text(against["per_s"]) if against else "",
            spread_text(against["cpu"]) if against else "",
        )
    table.caption = "ours over it: requests/s, pair by pair; CPU: its CPU a request over ours"
    return table


def real_model_table(found: dict[str, Any]) -> Table:
    table = Table(title="real models: through the Batcher over HTTP against ONNX Runtime alone, one thread")
    columns = (
        "batch",
        "ours rows/s",
        "alone rows/s",
        "ratio",
        "95 % interval",
        "CPU ms a row",
        "front, callers",
    )
    table.add_column("model")
    for column in columns:
        table.add_column(column, justify="right")
    for name, case in found.items():
        low, high = case["interval"]
        table.add_row(
            name,
            f"{case['mean_batch']:.1f} of {case['batch']}",
            f"{case['ours_rows_per_s']:.1f}",
            f"{case['alone_rows_per_s']:.1f}",
            f"{case['ratio']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{case['ours_worker_ms']:.3f} against {case['alone_ms']:.3f}",
            f"{case['ours_front_ms']:.3f}, {case['callers_ms']:.3f}",
        )
    table.caption = f"CPU ms a row: our worker's against ONNX Runtime's alone; pairs: {case['pairs']}"
    return table


if __name__ == "__main__":
    main()
