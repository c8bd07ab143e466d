"""
Load generators side by side: ``python benchmarks/rivals.py``, or ``run.py --only rivals``.

Two questions, each put to ours and to every rival that is here, in turn, round by round, on the same
two cores: how many requests a second it can make of a static nginx, and at which cost; and how steady
a rate it keeps, as seen from the server. docs/benchmarks.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import (
    HERE,
    Side,
    end_on_sigterm,
    ending,
    machine,
    nginx,
    nginx_requests,
    running,
    spread,
    spread_text,
    wide_console,
)
from load_tools import OURS, TOOLS, Order, Tool
from rich.table import Table
from steadiness import late_by_own_clocks_ns, late_ns
from tool_run import SPARE_S, TOLD, Window, at_work, check_working, look, two_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

CONNECTIONS = 64
RATES_PER_S = (1_000, 10_000, 30_000)
REPLY = '{"request_id":"0000000000","model":"any","output":[2,4,6,8]}'
_PATIENCE_S = 30.0
_KEPT = 0.01  # a rate within so much of the one asked for has been kept
_QUIET = 0.1  # of a core
_PERCENTILES = {"p50": 50, "p99": 99, "p99_9": 99.9}
Block = dict[str, float]


def measure(
    rounds: int,
    seconds: float,
    console: Console,
    *,
    most: bool = True,
    rates: Sequence[int] = RATES_PER_S,
    tools: Sequence[Tool] = TOOLS,
) -> dict[str, Any]:
    """
    Versions, who was left out and why; ``most``: how much of nginx; ``steady``: how well at each rate.

    *tools*: ours is one of them, to compare the others with.
    """
    left_out = {tool.name: reason for tool in tools if (reason := tool.absent()) is not None}
    for name, reason in left_out.items():
        console.print(f"{name:<12} left out: {reason}", highlight=False)
    here = [tool for tool in tools if tool.name not in left_out]
    found: dict[str, Any] = {"versions": {tool.name: tool.version() for tool in here}, "left_out": left_out}
    with two_cores(), tempfile.TemporaryDirectory() as scratch:
        found["most"] = _most(here, rounds, seconds, Path(scratch), console) if most else None
        found["steady"] = {
            str(rate): _steady(here, rate, rounds, seconds, Path(scratch), console) for rate in rates
        }
    return found


def _in_turn(tools: Sequence[Tool], rounds: int) -> Iterator[tuple[int, Tool]]:
    for number in range(rounds):
        for tool in tools if number % 2 == 0 else reversed(tools):
            yield number + 1, tool


# ---- as many as go -------------------------------------------------------------------------------


def _most(
    tools: Sequence[Tool], rounds: int, seconds: float, scratch: Path, console: Console
) -> dict[str, Any] | None:
    """Closed loop against nginx, counted by nginx; None where there is none."""
    side = nginx(REPLY)
    if side is None:
        console.print("nginx is not installed: how much each can make of it is left out", style="yellow")
        return None
    blocks: dict[str, list[Block]] = {}
    with running(dataclasses.replace(side, ready="/ready")) as server:
        for number, tool in _in_turn([tool for tool in tools if tool.closed], rounds):
            block = _most_of(tool, side, server.pid, seconds, scratch)
            blocks.setdefault(tool.name, []).append(block)
            _print(console, number, tool, f"{block['per_s']:>9,.0f}/s {block['cores']:.2f} cores", block)
    return {"sides": _spreads(blocks), "against": _ratios(blocks)}


def _most_of(tool: Tool, side: Side, server: int, seconds: float, scratch: Path) -> Block:
    order = Order(f"http://127.0.0.1:{side.port}/", CONNECTIONS, round(seconds) + SPARE_S, scratch)
    with at_work(tool, order) as process:
        _await_requests(tool, order, process, side)
        window = look(tool, order, process, server, seconds, lambda: nginx_requests(side))
    return {
        "per_s": window.count / window.seconds,
        "cpu_us": window.cpu_s / window.count * 1e6,
        "cores": window.cpu_s / window.seconds,
        "elsewhere": window.elsewhere,
    }


def _await_requests(tool: Tool, order: Order, process: subprocess.Popen[bytes], side: Side) -> None:
    """Until every connection has been used."""
    enough = nginx_requests(side) + 20 * CONNECTIONS
    give_up_s = time.monotonic() + _PATIENCE_S
    while nginx_requests(side) < enough:
        check_working(tool, order, process)
        if time.monotonic() > give_up_s:
            sys.exit(f"{tool.name} sends nothing")
        time.sleep(0.05)


def _ratios(blocks: dict[str, list[Block]]) -> dict[str, dict[str, dict[str, float]]]:
    """Ours over each, round by round: requests/s; and requests per core second, by CPU a request."""
    mine = blocks[OURS.name]
    return {
        name: {
            "per_s": spread([m["per_s"] / t["per_s"] for m, t in zip(mine, theirs, strict=True)]),
            "per_core": spread([t["cpu_us"] / m["cpu_us"] for m, t in zip(mine, theirs, strict=True)]),
        }
        for name, theirs in blocks.items()
        if name != OURS.name
    }


# ---- at a steady rate ----------------------------------------------------------------------------


def _steady(
    tools: Sequence[Tool], rate: int, rounds: int, seconds: float, scratch: Path, console: Console
) -> dict[str, dict[str, dict[str, float]]]:
    """By tool: the rate that came, how late it came, CPU a request."""
    blocks: dict[str, list[Block]] = {}
    for number, tool in _in_turn([tool for tool in tools if tool.paces is not None], rounds):
        block = _steadiness_of(tool, rate, seconds, scratch)
        blocks.setdefault(tool.name, []).append(block)
        late = f"p99 {block['p99_us']:9,.0f} us late" if "p99_us" in block else "the rate is not kept"
        _print(console, number, tool, f"{rate:>6,}/s: {block['per_s']:>9,.1f}/s {late}", block)
    return _spreads(blocks)


def _steadiness_of(tool: Tool, rate: int, seconds: float, scratch: Path) -> Block:
    noted = scratch / "arrivals.npz"
    with _recorder(noted) as recorder:
        url = f"http://127.0.0.1:{_line(recorder, 'the recorder does not start')}/"
        order = Order(url, CONNECTIONS, round(seconds) + SPARE_S, scratch, rate)
        with at_work(tool, order) as process:
            _line(recorder, f"{tool.name} sends nothing")
            window = look(tool, order, process, recorder.pid, seconds)
    block = _block(tool, rate, noted, window)
    if tool is OURS:
        block["told_p99_us"] = json.loads((scratch / TOLD).read_bytes())["send_lag_us"]["p99"]
    return block


def _block(tool: Tool, rate: int, noted: Path, window: Window) -> Block:
    arrivals = np.load(noted)
    order = np.argsort(arrivals["instants_ns"], kind="stable")
    instants_ns, connections = arrivals["instants_ns"][order], arrivals["connections"][order]
    inside = slice(*np.searchsorted(instants_ns, (window.begin_ns, window.end_ns)))
    instants_ns, connections = instants_ns[inside], connections[inside]
    block = {"per_s": len(instants_ns) / window.seconds, "elsewhere": window.elsewhere}
    block["cpu_us"] = window.cpu_s / len(instants_ns) * 1e6
    if abs(block["per_s"] / rate - 1) > _KEPT:
        return block
    late_us = late_ns(instants_ns, rate) / 1e3
    block |= {f"{name}_us": float(np.percentile(late_us, p)) for name, p in _PERCENTILES.items()}
    if tool.paces == "connection":
        own_us = late_by_own_clocks_ns(instants_ns, connections, rate, CONNECTIONS) / 1e3
        block["own_p99_us"] = float(np.percentile(own_us, 99))
    return block


@contextlib.contextmanager
def _recorder(noted: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(HERE / "arrival_recorder.py"), str(noted)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with ending(process):
        yield process
        process.stdin.close()
        process.wait(_PATIENCE_S)


def _line(process: subprocess.Popen[bytes], complaint: str) -> str:
    """The next line that *process* prints."""
    ready, _, _ = select.select([process.stdout], [], [], _PATIENCE_S)
    line = process.stdout.readline() if ready else b""
    if not line:
        sys.exit(complaint)
    return line.decode().strip()


# ---- both ----------------------------------------------------------------------------------------


def _print(console: Console, number: int, tool: Tool, figures: str, block: Block) -> None:
    busy = f", {block['elsewhere']:.1f} cores busy elsewhere" if block["elsewhere"] > _QUIET else ""
    line = f"round {number} {tool.name:<12} {figures}, {block['cpu_us']:.1f} us CPU a request{busy}"
    console.print(line, highlight=False, soft_wrap=True)


def _spreads(blocks: dict[str, list[Block]]) -> dict[str, dict[str, dict[str, float]]]:
    """A figure that some round does not have, the whole does not have."""
    return {
        name: {
            key: spread([block[key] for block in rounds])
            for key in rounds[0]
            if all(key in block for block in rounds)
        }
        for name, rounds in blocks.items()
    }


# ---- tables --------------------------------------------------------------------------------------


def tables(found: dict[str, Any]) -> list[Table]:
    drawn = [_most_table(found)] if found["most"] else []
    return [*drawn, _steady_table(found)] if found["steady"] else drawn


def _most_table(found: dict[str, Any]) -> Table:
    title = f"as many POSTs as go, {CONNECTIONS} connections, against a static nginx on the same two cores"
    drawn = Table(title=title)
    columns = ("version", "requests/s", "min to max", "CPU us", "cores", "ours over it", "per core")
    for column in ("", *columns):
        drawn.add_column(column, justify="left" if column in ("", "version") else "right")
    for name, side in found["most"]["sides"].items():
        against = found["most"]["against"].get(name)
        rate = side["per_s"]
        drawn.add_row(
            name,
            found["versions"][name],
            f"{rate['median']:,.0f}",
            f"{rate['min']:,.0f} to {rate['max']:,.0f}",
            f"{side['cpu_us']['median']:.1f}",
            f"{side['cores']['median']:.2f}",
            spread_text(against["per_s"]) if against else "",
            spread_text(against["per_core"]) if against else "",
        )
    for name, reason in found["left_out"].items():
        drawn.add_row(name, reason)
    drawn.caption = (
        "CPU us: of its whole process tree, a request; per core: requests per second of its CPU time"
    )
    return drawn


def _steady_table(found: dict[str, Any]) -> Table:
    drawn = Table(title="a constant rate, seen from the server: how late requests come, in us")
    columns = (
        "rate",
        "",
        "came",
        "p50",
        "p99",
        "min to max",
        "p99.9",
        "p99, own clocks",
        "told p99",
        "CPU us",
    )
    for column in columns:
        drawn.add_column(column, justify="left" if column in ("rate", "") else "right")
    for rate, sides in found["steady"].items():
        for name, side in sides.items():
            came = f"{side['per_s']['median']:,.0f}/s"
            drawn.add_row(f"{int(rate):,}/s", name, came, *_late(side), f"{side['cpu_us']['median']:.1f}")
    drawn.caption = (
        "own clocks: where each connection keeps its share of the rate by itself; told: by the tool"
    )
    return drawn


def _late(side: dict[str, dict[str, float]]) -> list[str]:
    """As far as the rate was kept."""
    medians = {key: f"{values['median']:,.0f}" for key, values in side.items() if key.endswith("_us")}
    p99 = side.get("p99_us")
    medians["spread"] = f"{p99['min']:,.0f} to {p99['max']:,.0f}" if p99 else ""
    keys = ("p50_us", "p99_us", "spread", "p99_9_us", "own_p99_us", "told_p99_us")
    return [medians.get(key, "") for key in keys]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    parser.add_argument("--rates", type=int, nargs="*", default=[*RATES_PER_S], help="to keep; may be none")
    parser.add_argument("--rates-only", action="store_true", help="not how much each can make of nginx")
    parser.add_argument("--beside", choices=[tool.name for tool in TOOLS if tool is not OURS], nargs="*")
    args = parser.parse_args()
    tools = [tool for tool in TOOLS if tool is OURS or args.beside is None or tool.name in args.beside]
    end_on_sigterm()
    console = wide_console()
    facts = ", ".join(f"{key} {fact}" for key, fact in machine().items())
    console.print(facts, highlight=False, soft_wrap=True)
    found = measure(
        args.rounds, args.seconds, console, most=not args.rates_only, rates=args.rates, tools=tools
    )
    console.print(*tables(found))


if __name__ == "__main__":
    main()
