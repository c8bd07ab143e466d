"""The worker executor on real processes: batches, deaths, refusals, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
import uvloop

import models_for_tests as asked
from streambox.executor import wire
from streambox.executor.base import (
    BatchError,
    BatchErrorKind,
    BatchResult,
    LoadFailed,
    RowErrors,
    TensorSpec,
)
from streambox.executor.process import WorkerExecutor, WorkerOptions
from streambox.models import BUILTIN, digits
from streambox.models.graph import GraphBuilder
from support import children

TESTS = str(Path(__file__).parents[1])
IDS = count(1)


def options(call: str = "obey", **changes) -> WorkerOptions:
    plain = WorkerOptions(
        name="tested",
        runtime="python",
        callable=f"models_for_tests:{call}",
        search_path=TESTS,
        inputs=(TensorSpec("vector", "FP32", (-1, 4)),),
        outputs=(TensorSpec("output", "FP32", (-1, 4)),),
    )
    return msgspec.structs.replace(plain, **changes)


@dataclass
class Batch:
    tensors: dict[str, np.ndarray]
    id: int = field(default_factory=lambda: next(IDS))
    padding = 0

    @property
    def size(self) -> int:
        return len(next(iter(self.tensors.values())))


def batch(first: float = 1, rows: int = 3) -> Batch:
    return Batch({"vector": np.full((rows, 4), first, np.float32)})


def run(main, loop_factory=uvloop.new_event_loop):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(asyncio.wait_for(main, 60))


@asynccontextmanager
async def loaded(call: str = "obey", **changes):
    executor = WorkerExecutor(options(call, **changes))
    await executor.load()
    try:
        yield executor
    finally:
        await executor.unload()


def assert_doubled(result, sent: Batch) -> None:
    assert isinstance(result, BatchResult), result
    assert np.array_equal(result.outputs["output"], 2 * sent.tensors["vector"])
    assert result.service_ns > 0


class Gate:
    """The test's ends of the FIFOs by which a model says that it runs, and is told to go on."""

    def __init__(self, folder: Path) -> None:
        self._ends = {}
        for name in ("STARTED", "GO"):
            os.mkfifo(folder / name)
            self._ends[name] = os.open(folder / name, os.O_RDWR)

    async def started(self) -> int:
        """Returns when a model has started; its process id."""
        line = b""
        while not line.endswith(b"\n"):
            line += await asyncio.to_thread(os.read, self._ends["STARTED"], 1)
        return int(line)

    def go(self) -> None:
        os.write(self._ends["GO"], b"g")

    def close(self) -> None:
        for end in self._ends.values():
            os.close(end)


@pytest.fixture
def gate(tmp_path, monkeypatch):
    made = Gate(tmp_path)
    monkeypatch.setenv("STARTED", str(tmp_path / "STARTED"))
    monkeypatch.setenv("GO", str(tmp_path / "GO"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def _loops_own_files():
    """What uvloop opens at its first use and keeps for good."""
    run(asyncio.sleep(0))


@pytest.fixture(autouse=True)
def _nothing_left_behind(_loops_own_files):
    open_before = len(os.listdir("/proc/self/fd"))
    children_before = set(children(os.getpid()))
    yield
    assert set(children(os.getpid())) <= children_before  # none more, alive or zombie
    assert len(os.listdir("/proc/self/fd")) <= open_before


def ended(pid: int, within_s: float = 10) -> bool:
    """Wait for a process that need not be ours to end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], within_s)[0])
    finally:
        os.close(pidfd)


class ShiftedTime:
    """``time`` as the executor sees it, put forward by ``pass_s``."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + self._ahead_ns

    def pass_s(self, seconds: int) -> None:
        self._ahead_ns += seconds * 10**9


@pytest.fixture
def shifted(monkeypatch):
    made = ShiftedTime()
    for module in ("slot", "process"):
        monkeypatch.setattr(f"streambox.executor.{module}.time", made)
    return made


# ---- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_batches_small_and_large_come_back_computed(loop_factory):
    async def main():
        async with loaded() as executor:
            for rows in (1, 32, 100_000, 32, 200_000):
                sent = batch(5, rows)
                assert_doubled(await executor.execute(sent), sent)
            assert repr(executor) == "<WorkerExecutor tested: 1 of 1 up, 0 running, 0 waiting>"

    run(main(), loop_factory)


def test_a_batch_staged_behind_a_busy_worker_runs_right_after(gate):
    async def main():
        async with loaded() as executor:
            first, staged, beyond = batch(asked.WAIT), batch(7, 100_000), batch(8)
            running = [asyncio.ensure_future(executor.execute(one)) for one in (first, staged, beyond)]
            await gate.started()
            assert repr(executor) == "<WorkerExecutor tested: 1 of 1 up, 2 running, 1 waiting>"
            gate.go()
            for future, sent in zip(running, (first, staged, beyond), strict=True):
                assert_doubled(await future, sent)

    run(main())


def test_two_instances_run_two_batches_at_once(gate):
    async def main():
        async with loaded(instances=2) as executor:
            sent = [batch(asked.WAIT), batch(asked.WAIT)]
            running = [asyncio.ensure_future(executor.execute(one)) for one in sent]
            pids = {await gate.started(), await gate.started()}
            assert pids == set(executor.worker_pids)
            gate.go()
            gate.go()
            for future, one in zip(running, sent, strict=True):
                assert_doubled(await future, one)

    run(main())


def test_a_caller_who_is_cancelled_leaves_the_others_in_order(gate):
    async def main():
        async with loaded() as executor:
            sent = [batch(asked.WAIT), batch(2), batch(3), batch(4)]
            running = [asyncio.ensure_future(executor.execute(one)) for one in sent]
            await gate.started()
            for index in (0, 1, 2):  # running, staged, waiting
                running[index].cancel()
            gate.go()
            assert_doubled(await running[3], sent[3])
            assert_doubled(await executor.execute(batch(9)), batch(9))

    run(main())


def test_digits_through_the_worker_is_digits_offline():
    images, labels = digits.heldout()
    session = onnxruntime.InferenceSession(str(digits.model_path()), providers=["CPUExecutionProvider"])
    (offline,) = session.run(["probabilities"], {"image": images})

    async def main():
        executor = WorkerExecutor(BUILTIN["digits"].options)
        spec = await executor.load()
        assert spec.outputs == (TensorSpec("probabilities", "FP32", (-1, 10)),)
        result = await executor.execute(Batch({"image": images}))
        await executor.unload()
        assert np.allclose(result.outputs["probabilities"], offline, atol=1e-6)
        assert (result.outputs["probabilities"].argmax(axis=1) == labels).mean() >= 0.97

    run(main())


def test_tile_fills_the_input_in_the_worker():
    async def main():
        square = {
            "inputs": (TensorSpec("vector", "FP32", (-1, 2, 3)),),
            "outputs": (TensorSpec("output", "FP32", (-1, 2, 3)),),
        }
        async with loaded("double", preprocess="tile", **square) as executor:
            result = await executor.execute(Batch({"vector": np.array([[1, 2, 3, 4]], np.float32)}))
            assert result.outputs["output"].tolist() == [[[2, 4, 6], [8, 2, 4]]]
            assert (await executor.load()).tile

    run(main())


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "first", "answer"),
    [
        ("refuse_negative", -1, RowErrors({0: "negative value"})),
        (
            "broken",
            1,
            BatchError(
                BatchErrorKind.MODEL, ("ValueError: several lines " + "x" * 500)[:499] + "…", retryable=True
            ),
        ),
    ],
)
def test_what_a_model_refuses_is_typed_and_the_worker_lives_on(call, first, answer, capfd):
    async def main():
        async with loaded(call) as executor:
            (pid,) = executor.worker_pids
            for _ in range(2):
                assert await executor.execute(batch(first, 1)) == answer
            assert executor.worker_pids == [pid]

    run(main())
    # The model's author gets the trace, once; the caller gets one line.
    assert capfd.readouterr().err.count("Traceback") == (1 if call == "broken" else 0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (1, "ValueError: odd \ufffd bytes, \ufffd[31mred"),
        (2, "Mute"),
        (3, "KeyError"),
    ],
)
def test_no_error_is_so_odd_that_the_worker_dies_of_it(kind, message):
    async def main():
        async with loaded("odd_errors") as executor:
            (pid,) = executor.worker_pids
            error = await executor.execute(batch(kind, 1))
            assert error.message == message
            assert executor.worker_pids == [pid]
            assert_doubled(await executor.execute(batch(7)), batch(7))

    run(main())


def test_a_refusal_in_words_that_no_wire_takes_is_still_its_rows_own():
    async def main():
        async with loaded("odd_errors") as executor:
            assert await executor.execute(batch(4, 1)) == RowErrors({0: "a lone \ufffd"})

    run(main())


def test_a_tensor_that_cannot_be_sent_is_the_batchs_error():
    async def main():
        async with loaded() as executor:
            for array in (np.zeros((2, 4), np.complex64), np.zeros((4, 2), np.float32).T):
                error = await executor.execute(Batch({"vector": array}))
                assert (error.kind, error.retryable) == (BatchErrorKind.MODEL, False)
                assert error.message.startswith("cannot be sent: ")
            assert_doubled(await executor.execute(batch(2)), batch(2))

    run(main())


def test_without_load_and_after_unload_nothing_is_run():
    async def main():
        executor = WorkerExecutor(options())
        error = await executor.execute(batch())
        assert error == BatchError(
            BatchErrorKind.UNAVAILABLE, "model 'tested' is not loaded", retryable=False
        )
        await executor.unload()
        await executor.load()
        assert executor.health().ready
        await executor.unload()
        await executor.unload()
        assert not executor.health().ready
        assert (await executor.execute(batch())).kind is BatchErrorKind.UNAVAILABLE
        await executor.load()
        assert_doubled(await executor.execute(batch(3)), batch(3))
        await executor.unload()

    run(main())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"callable": "no_such_module:f"}, "cannot import module 'no_such_module': ModuleNotFoundError"),
        ({"callable": "models_for_tests:nothing"}, "has no callable 'nothing'"),
        ({"callable": "models_for_tests:Unmade"}, "no such file: weights.bin"),
        ({"inputs": ()}, "needs inputs and outputs"),
        ({"runtime": "onnx", "path": "/nowhere/model.onnx"}, "no file /nowhere/model.onnx"),
        ({"runtime": "onnx", "path": __file__}, "is not a model that ONNX Runtime can run"),
        ({"preprocess": "tile", "inputs": (TensorSpec("vector", "FP32", (-1, -1)),)}, "fixed dimensions"),
        ({"callable": "module_of_test:EXITS"}, "the worker ended while loading: exit code 3"),
        ({"callable": "module_of_test:HANGS", "load_limit_ns": 10**6}, "loading took longer than 0.001 s"),
    ],
)
def test_a_load_that_fails_says_why_in_one_line(changes, reason, tmp_path):
    if changes.get("callable", "").startswith("module_of_test"):
        end = {"EXITS": "os._exit(3)", "HANGS": "time.sleep(3600)"}[changes["callable"].split(":")[1]]
        (tmp_path / "module_of_test.py").write_text(f"import os, time\n{end}\n")
        changes = {**changes, "search_path": str(tmp_path)}

    async def main():
        executor = WorkerExecutor(options(**changes))
        with pytest.raises(LoadFailed) as failure:
            await executor.load()
        assert str(failure.value).startswith("model 'tested' cannot be loaded: ")
        assert reason in str(failure.value)
        assert "\n" not in str(failure.value)

    run(main())


# ---- deaths -------------------------------------------------------------------------------------


def test_a_killed_worker_fails_its_batch_alone_and_is_replaced_within_two_seconds(gate):
    async def main():
        changes = []
        async with loaded() as executor:
            executor._on_change = lambda: changes.append(executor.health().ready)
            staged = batch(5, 100_000)
            running = asyncio.ensure_future(executor.execute(batch(asked.WAIT)))
            behind = asyncio.ensure_future(executor.execute(staged))
            pid = await gate.started()
            begun = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            assert await running == BatchError(
                BatchErrorKind.WORKER_DIED,
                "the worker ended while it ran the batch: killed by SIGKILL",
                retryable=True,
                worker_died=True,
            )
            assert_doubled(await behind, staged)
            assert time.monotonic() - begun < 2
            assert executor.health().restarts == 1
            assert executor.worker_pids != [pid]
            assert changes == [False, True]

    run(main())


def test_the_batch_behind_one_that_died_keeps_its_place():
    async def main():
        ended_in_turn = []
        async with loaded() as executor:
            sent = [batch(asked.KILL), batch(1), batch(2), batch(3)]  # runs, staged, waiting, waiting
            all_ended = asyncio.Event()

            def on_end(one, _):
                ended_in_turn.append(one.id)
                if len(ended_in_turn) == len(sent):
                    all_ended.set()

            for one in sent:
                executor.begin(one, on_end)
            await all_ended.wait()
        assert ended_in_turn == [one.id for one in sent]

    run(main())


def test_the_answer_that_a_worker_gave_before_it_died_counts():
    async def main():
        async with loaded() as executor:
            sent = [batch(1), batch(asked.KILL), batch(2)]
            results = await asyncio.gather(*[executor.execute(one) for one in sent])
            assert_doubled(results[0], sent[0])
            assert results[1].worker_died
            assert_doubled(results[2], sent[2])

    run(main())


def test_a_long_answer_still_in_the_socket_when_the_worker_has_died_counts():
    async def main():
        async with loaded("widen", outputs=(TensorSpec("output", "FP32", (-1, -1)),)) as executor:
            (pid,) = executor.worker_pids
            wide = asyncio.ensure_future(executor.execute(batch(5)))
            killing = asyncio.ensure_future(executor.execute(batch(asked.KILL)))
            await asyncio.sleep(0)  # both are sent
            assert ended(pid)  # and the loop, held here, has read no answer
            assert (await wide).outputs["output"].shape == (3, 12_000)
            assert (await killing).worker_died

    run(main())


def test_a_worker_that_gives_a_bad_answer_is_replaced_and_begins_nothing_more(tmp_path, monkeypatch):
    """The batch behind it is begun once only: by the replacement."""
    monkeypatch.setenv("BEGUN", str(tmp_path / "begun"))

    async def main():
        async with loaded("short_of_a_row") as executor:
            pids = executor.worker_pids
            sent = [batch(3), batch(asked.SHORT), batch(2)]
            results = await asyncio.gather(*[executor.execute(one) for one in sent])
            assert_doubled(results[0], sent[0])
            assert (results[1].kind, results[1].retryable) == (BatchErrorKind.BAD_OUTPUT, False)
            assert "for a batch of 3 rows" in results[1].message
            assert_doubled(results[2], sent[2])
            assert ended(pids[0])
            assert executor.worker_pids != pids
            assert executor.restarts == 1
        assert (tmp_path / "begun").read_text().split() == ["3", str(asked.SHORT), "2"]

    run(main())


def test_a_refusal_of_a_row_that_is_not_there_is_a_bad_answer():
    async def main():
        async with loaded("refuse_absent") as executor:
            failure = await executor.execute(batch(1, 1))
            why = "the model refused row 1 of a batch of 1 rows"
            assert failure == BatchError(BatchErrorKind.BAD_OUTPUT, why, retryable=False)

    run(main())


def test_where_outputs_have_to_be_finite_a_nan_is_a_bad_answer():
    async def main():
        async with loaded("nan_for_three", finite_outputs=True) as executor:
            failure = await executor.execute(batch(3))
            assert failure.kind is BatchErrorKind.BAD_OUTPUT
            assert failure.message == "output 'output' holds a NaN or an infinity in row 1"
            assert_doubled(await executor.execute(batch(2)), batch(2))
            assert executor.restarts == 1

    run(main())


def test_an_idle_workers_death_costs_no_batch():
    async def main():
        async with loaded() as executor:
            for _ in range(3):
                (pid,) = executor.worker_pids
                os.kill(pid, signal.SIGKILL)
                assert ended(pid)
                sent = batch(3)
                result = await executor.execute(sent)
                # It may have been sent to the dead worker, before its death was seen.
                if isinstance(result, BatchError):
                    assert result.worker_died
                    result = await executor.execute(sent)
                assert_doubled(result, sent)
            assert executor.restarts == 3

    run(main())


@pytest.mark.parametrize(
    ("order", "kind", "reason"),
    [
        (asked.KILL, "worker_died", "killed by SIGKILL"),
        (asked.EXIT, "worker_died", "exit code 7"),
        (asked.GARBAGE, "bad_output", "bad frame: starts with"),
        (asked.ANSWER_ANOTHER, "bad_output", "an answer to batch 1000000000, which is not the one running"),
    ],
)
def test_every_way_to_die_is_told_and_recovered_from(order, kind, reason):
    async def main():
        async with loaded() as executor:
            results = await asyncio.gather(executor.execute(batch(order)), executor.execute(batch(2)))
            assert results[0].kind is BatchErrorKind(kind)
            assert reason in results[0].message
            assert_doubled(results[1], batch(2))

    run(main())


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_worker_is_replaced_where_the_kernel_has_no_pidfd(loop_factory, monkeypatch):
    async def main():
        async with loaded() as executor:
            error, result = await asyncio.gather(
                executor.execute(batch(asked.KILL)), executor.execute(batch(2))
            )
            assert error.message.endswith("killed by SIGKILL")
            assert_doubled(result, batch(2))

    monkeypatch.delattr(os, "pidfd_open")
    run(main(), loop_factory)


def test_a_hung_batch_times_out_and_the_one_behind_it_runs(gate, shifted):
    async def main():
        async with loaded(execution_limit_ns=60 * 10**9) as executor:
            (slot,) = executor._slots
            hung = asyncio.ensure_future(executor.execute(batch(asked.HANG)))
            behind = asyncio.ensure_future(executor.execute(batch(2)))
            pid = await gate.started()
            shifted.pass_s(61)
            slot._check_limit()
            error = await hung
            assert error == BatchError(
                BatchErrorKind.TIMEOUT, "the batch ran longer than 60 s", retryable=False
            )
            assert_doubled(await behind, batch(2))
            assert ended(pid)
            assert executor.restarts == 1

    run(main())


def test_the_limit_is_each_batchs_own(gate, shifted):
    async def main():
        async with loaded(execution_limit_ns=60 * 10**9) as executor:
            (slot,) = executor._slots
            first = asyncio.ensure_future(executor.execute(batch(asked.WAIT)))
            await gate.started()
            second = asyncio.ensure_future(executor.execute(batch(asked.WAIT)))
            await asyncio.sleep(0)  # it is sent now
            shifted.pass_s(40)
            slot._check_limit()
            gate.go()
            assert_doubled(await first, batch(asked.WAIT))
            await gate.started()
            shifted.pass_s(40)  # 80 s after it was sent, 40 s after it began
            slot._check_limit()
            assert slot.up
            shifted.pass_s(40)
            slot._check_limit()
            assert (await second).kind is BatchErrorKind.TIMEOUT

    run(main())


def test_a_worker_whose_own_child_keeps_the_socket_is_still_seen_to_die():
    async def main():
        async with loaded() as executor:
            (pid,) = executor.worker_pids
            result = await executor.execute(batch(asked.LEAVE_CHILD))
            grandchild = int(result.outputs["output"][0, 0])
            os.kill(pid, signal.SIGKILL)
            assert await asyncio.to_thread(ended, grandchild)
            while executor.worker_pids in ([], [pid]):
                await executor.execute(batch(1))
            assert_doubled(await executor.execute(batch(2)), batch(2))

    run(main())


def test_stop_signals_do_not_end_a_worker():
    async def main():
        async with loaded() as executor:
            (pid,) = executor.worker_pids
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
                assert_doubled(await executor.execute(batch(2)), batch(2))
            assert executor.worker_pids == [pid]
            assert os.getsid(pid) == pid

    run(main())


def test_a_model_that_no_longer_loads_is_unavailable_until_it_does(tmp_path):
    source = tmp_path / "edited_model.py"
    good = "def f(x):\n    return 2 * x\n"
    source.write_text(good)

    async def main():
        again = asyncio.Event()
        executor = WorkerExecutor(
            options(callable="edited_model:f", search_path=str(tmp_path)), on_change=again.set
        )
        await executor.load()
        source.write_text("raise RuntimeError('out of order')\n")
        os.kill(executor.worker_pids[0], signal.SIGKILL)
        while (error := await executor.execute(batch())).kind is not BatchErrorKind.UNAVAILABLE:
            assert error.worker_died
        assert "cannot be loaded: cannot import module 'edited_model': RuntimeError" in error.message
        assert (await executor.execute(batch())) == error  # at once, from now on
        assert not executor.health().ready
        source.write_text(good)
        while not executor.health().ready:
            again.clear()
            await again.wait()
        assert_doubled(await executor.execute(batch(2)), batch(2))
        assert executor.health().message == ""
        await executor.unload()

    run(main())


def test_starts_that_fail_in_a_row_are_spaced_out_and_are_no_restarts(tmp_path, monkeypatch, shifted):
    source = tmp_path / "gone_model.py"
    source.write_text("def f(x):\n    return 2 * x\n")
    pauses = []

    async def paused(seconds):
        pauses.append(seconds)
        if len(pauses) == 8:
            source.write_text("def f(x):\n    return 2 * x\n")

    async def main():
        async with loaded("f", callable="gone_model:f", search_path=str(tmp_path)) as executor:
            up_again = asyncio.Event()
            executor._on_change = lambda: executor.health().ready and up_again.set()
            monkeypatch.setattr("streambox.executor.slot.asyncio.sleep", paused)
            source.write_text("raise RuntimeError('out of order')\n")
            shifted.pass_s(60)  # it has been up for long enough
            os.kill(executor.worker_pids[0], signal.SIGKILL)
            await up_again.wait()
            assert executor.restarts == 1
        assert pauses == [0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 10.0, 10.0]

    run(main())


def test_a_model_whose_file_has_another_spec_now_is_unavailable(tmp_path):
    file = tmp_path / "model.onnx"
    shutil.copy(digits.model_path(), file)

    async def main():
        other = GraphBuilder()
        other.add("Identity", "image", output="probabilities")
        async with loaded(runtime="onnx", path=str(file), callable="", inputs=(), outputs=()) as executor:
            file.write_bytes(other.build("g", ("image", ("N", 3)), ("probabilities", ("N", 3))))
            os.kill(executor.worker_pids[0], signal.SIGKILL)
            images = Batch({"image": digits.heldout()[0][:1]})
            while (error := await executor.execute(images)).kind is not BatchErrorKind.UNAVAILABLE:
                assert error.worker_died
            assert error.message.endswith("its inputs or outputs have changed since it was first loaded")

    run(main())


def test_waiting_for_a_worker_is_bounded_by_the_execution_limit(tmp_path, shifted):
    source = tmp_path / "slow_model.py"
    source.write_text("def f(x):\n    return 2 * x\n")

    async def main():
        down = asyncio.Event()
        executor = WorkerExecutor(
            options(callable="slow_model:f", search_path=str(tmp_path), execution_limit_ns=60 * 10**9),
            on_change=down.set,
        )
        await executor.load()
        down.clear()
        (pid,) = executor.worker_pids
        source.write_text("import time\ntime.sleep(3600)\n")
        os.kill(pid, signal.SIGKILL)
        await down.wait()
        waiting = asyncio.ensure_future(executor.execute(batch()))
        await asyncio.sleep(0)  # it waits now
        shifted.pass_s(59)
        executor._expire()
        assert repr(executor) == "<WorkerExecutor tested: 0 of 1 up, 0 running, 1 waiting>"
        shifted.pass_s(2)
        executor._expire()
        error = await waiting
        assert error.kind is BatchErrorKind.UNAVAILABLE
        assert "killed by SIGKILL" in error.message
        await executor.unload()

    run(main())


# ---- the end ------------------------------------------------------------------------------------


def test_unload_fails_what_runs_and_ends_a_busy_worker(gate):
    async def main():
        executor = WorkerExecutor(options())
        await executor.load()
        running = [asyncio.ensure_future(executor.execute(batch(asked.HANG))) for _ in range(3)]
        pid = await gate.started()
        await executor.unload()
        assert ended(pid, within_s=0)
        for error in await asyncio.gather(*running):
            assert error.kind is BatchErrorKind.UNAVAILABLE

    run(main())


WAITING_MODULE = """
import os, time
with open(os.environ["STARTED"], "wb", buffering=0) as fifo:
    fifo.write(b"%d\\n" % os.getpid())
time.sleep(3600)
"""


def test_unload_while_loading_makes_the_load_fail(tmp_path, gate):
    (tmp_path / "module_of_test.py").write_text(WAITING_MODULE)

    async def main():
        executor = WorkerExecutor(options(callable="module_of_test:f", search_path=str(tmp_path)))
        load = asyncio.ensure_future(executor.load())
        pid = await gate.started()
        await executor.unload()
        assert ended(pid, within_s=0)
        with pytest.raises(LoadFailed):
            await load
        await executor.unload()

    run(main())


def test_unload_before_a_process_has_been_started_leaves_none():
    async def main():
        executor = WorkerExecutor(options(instances=2))
        load = asyncio.ensure_future(executor.load())
        await asyncio.sleep(0)  # load() has begun, and started nothing yet
        await executor.unload()
        with pytest.raises(LoadFailed, match="it was unloaded meanwhile"):
            await load
        assert (await executor.execute(batch())).kind is BatchErrorKind.UNAVAILABLE

    run(main())


def test_a_cancelled_load_leaves_no_process(tmp_path, gate):
    (tmp_path / "module_of_test.py").write_text(WAITING_MODULE)

    async def main():
        executor = WorkerExecutor(options(callable="module_of_test:f", search_path=str(tmp_path)))
        load = asyncio.ensure_future(executor.load())
        pid = await gate.started()
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        assert ended(pid, within_s=0)

    run(main())


def test_a_busy_worker_ends_when_its_front_hangs_up_and_an_idle_one_in_order(gate):
    for busy in (True, False):
        ours, theirs = socket.socketpair()
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "streambox.executor.worker", "--fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        with ours:
            ours.sendall(b"".join(wire.encode(wire.Load(options()))))
            if busy:
                hang = batch(asked.HANG).tensors
                execute = wire.Execute(1, wire.layouts(hang))
                ours.sendall(b"".join(wire.encode(execute, hang.values())))
                assert asyncio.run(gate.started()) == worker.pid
            else:
                assert ours.recv(4)  # it has loaded
                ours.recv(4096)
        assert worker.wait(timeout=20) == (-signal.SIGKILL if busy else 0)


FRONT = """
    import asyncio, sys
    sys.path.insert(0, {tests!r})
    sys.path.insert(0, {here!r})
    from test_worker_executor import WorkerExecutor, batch, options

    async def main():
        executor = WorkerExecutor(options({call!r}))
        await executor.load()
        print(executor.worker_pids[0], flush=True)
        await executor.execute(batch({first}))
        await executor.unload()

    asyncio.run(main())
"""


def front(call: str, first: float, **pipes) -> subprocess.Popen:
    """A front of its own, in a process of its own, that runs one batch."""
    source = FRONT.format(tests=TESTS, here=str(Path(__file__).parent), call=call, first=first)
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, **pipes)


@pytest.mark.parametrize(("call", "first"), [("obey", asked.HANG), ("hold_the_interpreter", 1)])
def test_a_front_killed_outright_leaves_no_worker(call, first, gate):
    with front(call, first) as process:
        worker = int(process.stdout.readline())
        assert asyncio.run(gate.started()) == worker
        process.kill()
        assert ended(worker)


def test_what_a_model_prints_goes_to_the_fronts_stderr():
    with front("talkative", 1, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"said by the model\n" in err
    assert b"said by the model" not in out
