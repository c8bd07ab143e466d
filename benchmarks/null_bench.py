"""
The serving layer alone: y = 2x, JSON in and out, batches of 32 or 5 ms, one worker process.

Ours and Mosec in turn, round by round, under ``wrk -t1 -c64``; a ratio per round. nginx's static
200 shows what wrk can ask at all. Both servers start anew for every block.
"""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

from harness import Side, WrkResult, ask, cpu_seconds, mosec, nginx_side, ours, running, spread, wrk

if TYPE_CHECKING:
    from rich.console import Console

_WARM_UP_S = 1.0


def measure(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    blocks: dict[str, list[dict[str, float]]] = {"StreamBox": [], "Mosec": []}
    for number in range(rounds):
        sides = [ours(), mosec()]
        for side in sides if number % 2 == 0 else reversed(sides):
            block = _block(side, seconds)
            blocks[side.name].append(block)
            console.print(
                f"round {number + 1} {side.name:<10} {block['per_s']:>9,.0f}/s  "
                f"p99 {block['p99_ms']:5.2f} ms  {block['cpu_us']:5.1f} us CPU a request",
                highlight=False,
            )
    pairs = list(zip(blocks["StreamBox"], blocks["Mosec"], strict=True))
    return {
        "per_s": {name: spread([block["per_s"] for block in found]) for name, found in blocks.items()},
        "p99_ms": {name: spread([block["p99_ms"] for block in found]) for name, found in blocks.items()},
        "cpu_us": {name: spread([block["cpu_us"] for block in found]) for name, found in blocks.items()},
        "mean_batch": spread([block["mean_batch"] for block in blocks["StreamBox"]]),
        "ratio": spread([mine["per_s"] / theirs["per_s"] for mine, theirs in pairs]),
        "nginx_per_s": _ceiling(seconds),
    }


def _block(side: Side, seconds: float) -> dict[str, float]:
    with running(side) as process:
        _check(side)
        wrk(side, _WARM_UP_S)
        before = cpu_seconds(process.pid)
        result = wrk(side, seconds)
        cpu = cpu_seconds(process.pid) - before
        _check(side)
        _no_faults(side, result)
        mean_batch = _mean_batch(side) if side.name == "StreamBox" else 0.0
    return {
        "per_s": result.per_s,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "cpu_us": cpu / result.requests * 1e6,
        "mean_batch": mean_batch,
    }


def _check(side: Side) -> None:
    status, reply = ask(side)
    if status != 200 or reply["output"] != [2, 4, 6, 8] or reply["request_id"] != "0":
        raise SystemExit(f"{side.name} answers wrongly: {status} {reply}")


def _no_faults(side: Side, result: WrkResult) -> None:
    if result.faults:
        raise SystemExit(f"{side.name}: {result.faults}")


def _mean_batch(side: Side) -> float:
    """Rows per batch over the whole block, so that nobody need take it on trust that we batch."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{side.port}/metrics").read().decode()
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    total = float(values['streambox_batch_size_rows_sum{model="double"}'])
    return total / float(values['streambox_batch_size_rows_count{model="double"}'])


def _ceiling(seconds: float) -> float | None:
    made = nginx_side('{"request_id":"0","model":"double","output":[2.0,4.0,6.0,8.0]}')
    if made is None:
        return None
    side, folder = made
    with folder, running(side):
        return wrk(side, seconds).per_s
