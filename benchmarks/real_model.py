"""
What the Batcher costs a real model: rows per second against ONNX Runtime alone.

Both sides run in a process of their own with one inference thread and spinning off, on the same
batch size. Ours is driven over HTTP with binary tensors by enough callers that every batch is
full; ONNX Runtime alone loops over a ready batch. Pairs alternate; the ratio is given with its
95 % interval over the pairs (Student's t on the log ratios).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from harness import HERE, Side, cpu_seconds, free_port, get, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Case(NamedTuple):
    """``name`` is a model of streambox.models; ``batch`` in rows; ``dims`` of one row of its input."""

    name: str
    batch: int
    dims: tuple[int, ...]


CASES = (Case("mlp", 32, (4,)), Case("resnet50", 8, (3, 224, 224)))
# Student's t, 97.5 %, for 2 to 30 degrees of freedom.
_T = {
    1: 12.71,
    2: 4.30,
    3: 3.18,
    4: 2.78,
    5: 2.57,
    6: 2.45,
    7: 2.36,
    8: 2.31,
    9: 2.26,
    10: 2.23,
    14: 2.14,
    19: 2.09,
}


def measure(pairs: int, seconds: float, console: Console) -> dict[str, Any]:
    return {case.name: _measure_case(case, pairs, seconds, console) for case in CASES}


def _measure_case(case: Case, pairs: int, seconds: float, console: Console) -> dict[str, Any]:
    from streambox.models import model_path

    path = model_path(case.name)
    seconds = max(seconds, 3.0 if case.name == "mlp" else 6.0)
    found: list[dict[str, float]] = []
    with _served(case, path) as (side, pid):
        _load(side, case, 2.0)  # warm up
        for number in range(pairs):
            order = (_alone, _ours) if number % 2 else (_ours, _alone)
            pair: dict[str, float] = {}
            for run in order:
                pair |= run(case, path, side, pid, seconds)
            pair["ratio"] = pair["ours_rows_per_s"] / pair["alone_rows_per_s"]
            found.append(pair)
            console.print(
                f"{case.name} pair {number + 1}: ours {pair['ours_rows_per_s']:.1f}, alone "
                f"{pair['alone_rows_per_s']:.1f} rows/s, ratio {pair['ratio']:.3f}; worker CPU "
                f"{pair['ours_worker_ms']:.2f} against {pair['alone_ms']:.2f} ms a row",
                highlight=False,
            )
    return _summary(case, found)


def _summary(case: Case, found: list[dict[str, float]]) -> dict[str, Any]:
    logs = [math.log(pair["ratio"]) for pair in found]
    mean = statistics.mean(logs)
    degrees = len(logs) - 1
    t = _T.get(degrees) or _T[max(key for key in _T if key <= max(degrees, 1))]
    half = t * statistics.stdev(logs) / math.sqrt(len(logs)) if degrees else math.inf
    medians = {key: statistics.median(pair[key] for pair in found) for key in found[0]}
    interval = [math.exp(mean - half), math.exp(mean + half)]
    return {
        "batch": case.batch,
        "pairs": len(found),
        "ratio": math.exp(mean),
        "interval": interval,
        **medians,
    }


# ---- ours ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _served(case: Case, path: Path) -> Iterator[tuple[Side, int]]:
    """The Batcher with the one model, and the process id of its worker."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        config = Path(folder, "config.yaml")
        config.write_text(
            f"models: {{{case.name}: {{path: {path}, max_batch_size: {case.batch}, time_window: 1s}}}}\n"
            "log: {level: warning}\n"
        )
        port = free_port()
        command = [sys.executable, "-m", "streambox", "serve", "--config", str(config), "--port", str(port)]
        model = f"/v2/models/{case.name}"
        side = Side("StreamBox", command, port, model, ready=f"{model}/ready")
        with running(side) as process:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield side, int(children[0])


def _ours(case: Case, _: Path, side: Side, worker: int, seconds: float) -> dict[str, float]:
    before = cpu_seconds(worker)
    rows, taken, all_rows = _load(side, case, seconds)
    cpu = cpu_seconds(worker) - before
    return {"ours_rows_per_s": rows / taken, "ours_worker_ms": cpu / all_rows * 1e3}


def _load(side: Side, case: Case, seconds: float) -> tuple[int, float, int]:
    return asyncio.run(_callers(side, case, seconds))


async def _callers(side: Side, case: Case, seconds: float) -> tuple[int, float, int]:
    """
    Three batches' worth of callers, one row each.

    Returns the rows of the whole batches between two instants, the time between them, and all rows.
    """
    request = _request(side, case)
    done: list[float] = []
    stop = asyncio.Event()

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", side.port, limit=2**20)
        while not stop.is_set():
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"StreamBox: {head.splitlines()[0].decode()}")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            done.append(time.perf_counter())
        writer.close()

    tasks = [asyncio.create_task(caller()) for _ in range(3 * case.batch)]
    await asyncio.sleep(seconds)
    stop.set()
    await asyncio.gather(*tasks)
    # From the first batch's end to the last full one's: what the ends of the run do does not count.
    done.sort()
    last = (len(done) // case.batch - 2) * case.batch
    first = case.batch
    return last - first, done[last - 1] - done[first - 1], len(done)


def _request(side: Side, case: Case) -> bytes:
    row = np.random.default_rng(0).standard_normal((1, *case.dims), dtype=np.float32)
    _, specs = get(side, side.path)
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": specs["inputs"][0]["name"],
                    "shape": list(row.shape),
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": row.nbytes},
                }
            ],
            "outputs": [{"name": specs["outputs"][0]["name"], "parameters": {"binary_data": True}}],
        }
    ).encode()
    body = header + row.tobytes()
    head = (
        f"POST {side.path}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(header)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


# ---- ONNX Runtime alone --------------------------------------------------------------------------


def _alone(case: Case, path: Path, _: Side, __: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, str(HERE / "ort_alone.py"), str(path), str(case.batch), f"{seconds:g}"]
    out = subprocess.run([*command, *map(str, case.dims)], capture_output=True, text=True, check=True).stdout
    rows, taken, cpu = (float(word) for word in out.split())
    return {"alone_rows_per_s": rows / taken, "alone_ms": cpu / rows * 1e3}
