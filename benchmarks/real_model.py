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
import http.client
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from harness import HERE, Side, batches, cpu_seconds, free_port, get, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Case(NamedTuple):
    """``name`` is a model of streambox.models; ``batch`` in rows; ``dims`` of one row of its input."""

    name: str
    batch: int
    dims: tuple[int, ...]


CASES = (Case("mlp", 32, (4,)), Case("resnet50", 8, (3, 224, 224)))
# Student's t, 97.5 %, for 1 to 20 degrees of freedom; beyond, the last one (a little too wide).
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
_T += (2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09)
# What a worker gives its numerical libraries, so that both sides have the same.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_TOLERANCE = 1e-3
_SPLIT = "Inference-Header-Content-Length"


class Served(NamedTuple):
    """The Batcher under measurement: where it listens, its front's process and its worker's."""

    side: Side
    front: int
    worker: int


def measure(pairs: int, seconds: float, console: Console) -> dict[str, Any]:
    return {case.name: _measure_case(case, pairs, seconds, console) for case in CASES}


def _measure_case(case: Case, pairs: int, seconds: float, console: Console) -> dict[str, Any]:
    from streambox.models import model_path

    path = model_path(case.name)
    seconds = max(seconds, 3.0 if case.name == "mlp" else 6.0)
    found: list[dict[str, float]] = []
    with _served(case, path) as served:
        _check_reply(case, path, served.side)
        _load(served.side, case, 2.0)  # warm up
        for number in range(pairs):
            order = (_alone, _ours) if number % 2 else (_ours, _alone)
            pair: dict[str, float] = {}
            for run in order:
                pair |= run(case, path, served, seconds)
            pair["ratio"] = pair["ours_rows_per_s"] / pair["alone_rows_per_s"]
            found.append(pair)
            console.print(
                f"{case.name} pair {number + 1}: ours {pair['ours_rows_per_s']:.1f}, alone "
                f"{pair['alone_rows_per_s']:.1f} rows/s, ratio {pair['ratio']:.3f}; worker CPU "
                f"{pair['ours_worker_ms']:.3f} against {pair['alone_ms']:.3f} ms a row; "
                f"{pair['mean_batch']:.1f} rows a batch",
                highlight=False,
                soft_wrap=True,
            )
    return _summary(case, found)


def _summary(case: Case, found: list[dict[str, float]]) -> dict[str, Any]:
    logs = [math.log(pair["ratio"]) for pair in found]
    mean = statistics.mean(logs)
    degrees = len(logs) - 1
    half = _T[min(degrees, len(_T)) - 1] * statistics.stdev(logs) / math.sqrt(len(logs))
    medians = {key: statistics.median(pair[key] for pair in found) for key in found[0]}
    interval = [math.exp(mean - half), math.exp(mean + half)]
    return {
        "batch": case.batch,
        "pairs": len(found),
        **medians,
        "ratio": math.exp(mean),  # what the interval is about; not the median of the ratios
        "interval": interval,
    }


# ---- ours ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _served(case: Case, path: Path) -> Iterator[Served]:
    """The Batcher with the one model, loaded."""
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
            worker, *others = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if others:
                raise SystemExit(f"StreamBox has {1 + len(others)} children; one worker was expected")
            yield Served(side, process.pid, int(worker))


def _ours(case: Case, _: Path, served: Served, seconds: float) -> dict[str, float]:
    """CPU by process: the worker's, the rest of the Batcher's, and the callers' (this process)."""
    before = (cpu_seconds(served.worker), cpu_seconds(served.front), time.process_time())
    rows_0, batches_0 = batches(served.side)
    began = time.perf_counter()
    rows, taken, all_rows = _load(served.side, case, seconds)
    wall = time.perf_counter() - began
    rows_1, batches_1 = batches(served.side)
    after = (cpu_seconds(served.worker), cpu_seconds(served.front), time.process_time())
    worker, tree, callers = (end - start for start, end in zip(before, after, strict=True))
    return {
        "ours_rows_per_s": rows / taken,
        "ours_worker_ms": worker / all_rows * 1e3,
        "ours_front_ms": (tree - worker) / all_rows * 1e3,
        "callers_ms": callers / all_rows * 1e3,
        "ours_worker_busy": worker / wall,
        "mean_batch": (rows_1 - rows_0) / max(batches_1 - batches_0, 1),
    }


def _check_reply(case: Case, path: Path, side: Side) -> None:
    """One answer over HTTP has to be ONNX Runtime's own for the same row."""
    import onnxruntime

    row, header = _row(case), _header(case, side)
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=60)
    headers = {"Content-Type": "application/octet-stream", _SPLIT: str(len(header))}
    connection.request("POST", f"{side.path}/infer", header + row.tobytes(), headers)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    if reply.status != 200:
        raise SystemExit(f"StreamBox: {reply.status} {content[:200].decode(errors='replace')}")
    given = np.frombuffer(content[int(reply.getheader(_SPLIT)) :], np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = session.run(None, {session.get_inputs()[0].name: row})[0][0]
    if not np.allclose(given, right, rtol=_TOLERANCE, atol=_TOLERANCE * np.abs(right).max()):
        raise SystemExit(f"{case.name}: StreamBox's answer is not the one of ONNX Runtime alone")


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
    if last <= first:
        raise SystemExit(f"{case.name}: only {len(done)} rows in {seconds:g} s; give it more --seconds")
    return last - first, done[last - 1] - done[first - 1], len(done)


def _request(side: Side, case: Case) -> bytes:
    header = _header(case, side)
    body = header + _row(case).tobytes()
    head = (
        f"POST {side.path}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        f"{_SPLIT}: {len(header)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _row(case: Case) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((1, *case.dims), dtype=np.float32)


def _header(case: Case, side: Side) -> bytes:
    """The JSON part of a request whose input and output are binary tensors."""
    _, specs = get(side, side.path)
    tensor = {
        "name": specs["inputs"][0]["name"],
        "shape": [1, *case.dims],
        "datatype": "FP32",
        "parameters": {"binary_data_size": 4 * math.prod(case.dims)},
    }
    wanted = {"name": specs["outputs"][0]["name"], "parameters": {"binary_data": True}}
    return json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()


# ---- ONNX Runtime alone --------------------------------------------------------------------------


def _alone(case: Case, path: Path, _: Served, seconds: float) -> dict[str, float]:
    command = [sys.executable, str(HERE / "ort_alone.py"), str(path), str(case.batch), f"{seconds:g}"]
    done = subprocess.run(
        [*command, *map(str, case.dims)], capture_output=True, text=True, env={**_ONE_THREAD, **os.environ}
    )
    if done.returncode:
        raise SystemExit(f"ONNX Runtime alone: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    rows, taken, cpu = (float(word) for word in done.stdout.split())
    return {"alone_rows_per_s": rows / taken, "alone_ms": cpu / rows * 1e3, "alone_busy": cpu / taken}
