"""
What the wire between the front and a worker costs: ``python benchmarks/wire_cost.py``.

Small batches: µs of the front's own CPU per batch of [32, 4] FP32, in each direction, apart from
waking the other process (whose price is the machine's). Large ones: the time of a round trip that
carries [32, 3, 224, 224] FP32 to a real worker, against one memcpy of the same.
"""

from __future__ import annotations

import asyncio
import platform
import socket
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import uvloop

from streambox.executor import wire
from streambox.executor.base import TensorSpec
from streambox.executor.process import WorkerExecutor, WorkerOptions

ROUNDS = 9
BATCHES = 3_000
IMAGES = (32, 3, 224, 224)


def first_values(x):
    """The model that the large batches go to: touches next to nothing."""
    return x.reshape(len(x), -1)[:, :1]


def small_batches() -> dict[str, float]:
    """Median over rounds, in µs per batch, of each step, both ends being in this process."""
    x = np.random.default_rng(0).random((32, 4), np.float32)
    ours, theirs = socket.socketpair()
    reader = wire.FrameReader(theirs)
    spent: dict[str, list[float]] = {"encode": [], "send": [], "receive": [], "decode": []}
    with ours, theirs:
        for _ in range(ROUNDS):
            totals = dict.fromkeys(spent, 0)
            for number in range(BATCHES):
                stamps = [time.perf_counter_ns()]
                tensors = {"vector": x}
                pieces = wire.encode(wire.Execute(number, wire.layouts(tensors)), tensors.values())
                stamps.append(time.perf_counter_ns())
                wire.send(ours, pieces)
                stamps.append(time.perf_counter_ns())
                reader.fill()
                stamps.append(time.perf_counter_ns())
                assert reader.take() is not None
                stamps.append(time.perf_counter_ns())
                for step, begun, ended in zip(spent, stamps, stamps[1:], strict=False):
                    totals[step] += ended - begun
            for step, total_ns in totals.items():
                spent[step].append(total_ns / BATCHES / 1e3)
    return {step: statistics.median(each) for step, each in spent.items()}


async def front_cpu(in_flight: int) -> tuple[float, float]:
    """The front's CPU and the wall-clock time per batch through a real worker, in µs; all included."""
    executor = WorkerExecutor(_options("benchmarked", (4,)))
    await executor.load()
    tensors = {"x": np.ones((32, 4), np.float32)}

    async def stream() -> None:
        for number in range(BATCHES):
            await executor.execute(SimpleNamespace(id=number, size=32, tensors=tensors))

    await stream()
    cpu_ns, begun_ns = time.process_time_ns(), time.perf_counter_ns()
    await asyncio.gather(*[stream() for _ in range(in_flight)])
    batches = BATCHES * in_flight
    figures = (
        (time.process_time_ns() - cpu_ns) / batches / 1e3,
        (time.perf_counter_ns() - begun_ns) / batches / 1e3,
    )
    await executor.unload()
    return figures


async def large_batches() -> tuple[float, float]:
    """Seconds per round trip of a large batch, and per memcpy of it: medians."""
    executor = WorkerExecutor(_options("benchmarked", IMAGES[1:]))
    await executor.load()
    images = np.random.default_rng(0).random(IMAGES, np.float32)
    copy = np.empty_like(images)
    trips, copies = [], []
    for number in range(3 * ROUNDS):
        begun = time.perf_counter()
        await executor.execute(SimpleNamespace(id=number, size=32, tensors={"x": images}))
        trips.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        np.copyto(copy, images)
        copies.append(time.perf_counter() - begun)
    await executor.unload()
    return statistics.median(trips), statistics.median(copies)


def _options(name: str, dims: tuple[int, ...]) -> WorkerOptions:
    return WorkerOptions(
        name=name,
        runtime="python",
        callable="wire_cost:first_values",
        search_path=str(Path(__file__).parent),
        inputs=(TensorSpec("x", "FP32", (-1, *dims)),),
        outputs=(TensorSpec("y", "FP32", (-1, 1)),),
    )


def main() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    steps = small_batches()
    print("[32, 4] FP32, µs per batch: " + ", ".join(f"{step} {cost:.1f}" for step, cost in steps.items()))
    print(f"  front to worker {steps['encode'] + steps['send']:.1f}", end="; ")
    print(f"worker to front {steps['receive'] + steps['decode']:.1f}")
    for in_flight, label in ((1, "one at a time"), (2, "one staged")):
        cpu_us, wall_us = uvloop.run(front_cpu(in_flight))
        print(f"  through a worker, {label}: {cpu_us:.0f} µs of front CPU, {wall_us:.0f} µs per batch")
    trip_s, copy_s = uvloop.run(large_batches())
    size_mb = np.prod(IMAGES) * 4 / 1e6
    print(
        f"{list(IMAGES)} FP32 ({size_mb:.1f} MB): {trip_s * 1e3:.1f} ms, {size_mb / trip_s:.0f} MB/s", end=""
    )
    print(f"; memcpy {copy_s * 1e3:.1f} ms, ratio {trip_s / copy_s:.1f}")


if __name__ == "__main__":
    main()
