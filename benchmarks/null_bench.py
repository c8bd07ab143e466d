"""
The serving layer alone: y = 2x, JSON in and out, batches of 32 or 5 ms, one worker process.

Ours and the peers in turn, round by round, under ``wrk -t1 -c64``; a ratio per round. nginx's
static 200 shows what wrk can ask at all. Every server starts anew for every block.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import (
    Side,
    batches,
    check_null,
    cpu_seconds,
    litserve,
    mosec,
    nginx,
    ours,
    peer_python,
    running,
    spread,
    wrk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

OURS = "StreamBox"
PEERS = {"mosec": mosec, "litserve": litserve}
_WARM_UP_S = 1.0
Block = dict[str, float]


def measure(rounds: int, seconds: float, peers: Sequence[str], console: Console) -> dict[str, Any]:
    """Per side its figures' spread over the rounds, and per peer the ratios of the pairs."""
    for name in peers:
        peer_python(name)  # before the clock starts, not in the middle of a round
    made = [ours, *(PEERS[name] for name in peers)]
    found: dict[str, list[Block]] = {}
    for number in range(rounds):
        for make in made if number % 2 == 0 else reversed(made):
            _record(_measure_side(make(), seconds), found, console)
        ceiling = nginx(_reply_of_ours())
        if ceiling is not None:
            _record(_measure_side(ceiling, seconds, null=False), found, console)
    sides = {
        name: {key: spread([block[key] for block in blocks]) for key in blocks[0]}
        for name, blocks in found.items()
    }
    return {"sides": sides, "against": _ratios(found)}


def _ratios(found: dict[str, list[Block]]) -> dict[str, dict[str, dict[str, float]]]:
    """Per peer: ours over theirs in requests/s (more is better), theirs over ours in CPU a request."""
    return {
        name: {
            "per_s": spread([m["per_s"] / t["per_s"] for m, t in zip(found[OURS], blocks, strict=True)]),
            "cpu": spread([t["cpu_us"] / m["cpu_us"] for m, t in zip(found[OURS], blocks, strict=True)]),
        }
        for name, blocks in found.items()
        if name != OURS
    }


def _record(result: tuple[str, Block], found: dict[str, list[Block]], console: Console) -> None:
    name, block = result
    found.setdefault(name, []).append(block)
    batch = f"  {block['mean_batch']:4.1f} rows a batch" if "mean_batch" in block else ""
    console.print(
        f"round {len(found[name])} {name:<13} {block['per_s']:>9,.0f}/s  p99 {block['p99_ms']:5.2f} ms  "
        f"{block['cpu_us']:5.1f} us CPU a request{batch}",
        highlight=False,
        soft_wrap=True,
    )


def _measure_side(side: Side, seconds: float, *, null: bool = True) -> tuple[str, Block]:
    """Fresh start, one right answer, warm-up, measurement, one right answer."""
    with running(side) as process:
        if null:
            check_null(side)
        wrk(side, _WARM_UP_S)
        counted = batches(side) if null else None
        before = cpu_seconds(process.pid)
        result = wrk(side, seconds)
        cpu_s = cpu_seconds(process.pid) - before
        block = {
            "per_s": result.per_s,
            "p50_ms": result.p50_ms,
            "p99_ms": result.p99_ms,
            "cpu_us": cpu_s / result.requests * 1e6,
        }
        if counted:
            block["mean_batch"] = _mean_batch(counted, batches(side))
        if null:
            check_null(side)
    return side.name, block


def _mean_batch(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Rows per batch while measured, so that nobody need take it on trust that we batch."""
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def _reply_of_ours() -> str:
    """One real reply of ours, for nginx to repeat: its size is the one that wrk reads from us."""
    side = ours()
    with running(side):
        return json.dumps(check_null(side), separators=(",", ":"))
