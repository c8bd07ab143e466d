"""``streambox serve`` and the signals that end it: nothing accepted is lost, nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from signal import SIGINT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from edge_models import HOLD
from streambox.config import parse_config
from streambox.server.run import Server
from streambox.serving import Serving
from support import (
    GET_LIVE,
    OUTPUT,
    TESTS,
    VECTOR,
    Process,
    Wire,
    config_of,
    gone,
    infer,
    post,
    predict,
    request,
    running,
    serving_process,
    until,
    vector,
)

READY = request("GET", "/v2/health/ready")
METRICS = request("GET", "/metrics")


@pytest.fixture
def start(tmp_path, gate):
    """Starts a server; at the end of the test it has gone, and its workers with it."""
    with contextlib.ExitStack() as stack:

        def started(**batcher: object) -> Process:
            process = stack.enter_context(serving_process(config_of(**batcher), tmp_path))
            workers.extend(process.workers())
            assert workers
            return process

        workers: list[int] = []
        yield started
    assert all(gone(pid) for pid in workers)


def ready(wire: Wire) -> int:
    wire.send(READY)
    return wire.reply().status


def in_flight(wire: Wire) -> int:
    wire.send(METRICS)
    page = wire.reply().body.decode()
    line = next(line for line in page.splitlines() if line.startswith("streambox_requests_in_flight{"))
    return int(float(line.split()[1]))


def refuses_connections(process: Process) -> bool:
    try:
        process.connect().close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_signal_drains_queued_and_running_requests_are_answered_and_the_exit_code_is_0(start, gate, number):
    process = start()
    with process.connect() as probe, process.connect() as held, process.connect() as queued:
        assert ready(probe) == 200
        held.send(predict(HOLD))
        gate.started()
        queued.send(predict(1) + infer(2))
        until(lambda: in_flight(probe) == 3)
        process.signal(number)
        until(lambda: ready(probe) == 503)
        probe.send(predict(3) + GET_LIVE)
        refused, live = probe.replies(2)
        assert (refused.status, refused.json()["error"]["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert live.status == 200
        gate.go()
        assert held.reply().status == 200
        assert [reply.status for reply in queued.replies(2)] == [200, 200]
        assert held.ended()
        assert queued.ended()
    assert process.exit_code() == 0


def test_a_draining_server_takes_no_new_connections(start, gate):
    process = start()
    with process.connect() as probe, process.connect() as held:
        held.send(predict(HOLD))
        gate.started()
        process.signal(SIGTERM)
        until(lambda: ready(probe) == 503)
        until(lambda: refuses_connections(process))
        gate.go()
        assert held.reply().status == 200
    assert process.exit_code() == 0


def test_with_a_drain_delay_the_server_goes_on_serving_while_it_is_not_ready(start):
    """A load balancer looks at readiness from time to time; until it has, requests still come."""
    process = start(drain_delay="1h")
    with process.connect() as probe:
        process.signal(SIGTERM)
        until(lambda: ready(probe) == 503)
    with process.connect() as late:
        late.send(predict(3))
        assert late.reply().output[0] == 6
        process.signal(SIGTERM)
        assert late.ended()
    assert process.exit_code() == 0


def test_nothing_of_1000_pipelined_requests_is_lost(start, gate):
    process = start()
    with contextlib.ExitStack() as stack:
        probe = stack.enter_context(process.connect())
        wires = [stack.enter_context(process.connect()) for _ in range(100)]
        wires[0].send(predict(HOLD))
        gate.started()
        for number, wire in enumerate(wires):
            wire.send(b"".join(predict(n) for n in range(10 * number + (not number), 10 * number + 10)))
        until(lambda: in_flight(probe) == 1000)
        process.signal(SIGTERM)
        until(lambda: ready(probe) == 503)
        gate.go()
        outputs = [reply.output[0] for wire in wires for reply in wire.replies(10)]
        assert outputs == [2 * HOLD] + [2 * n for n in range(1, 1000)]
    assert process.exit_code() == 0


def test_idle_connections_do_not_keep_a_server_alive(start):
    process = start()
    with process.connect(), process.connect() as used, process.connect() as half:
        used.send(predict(3))
        assert used.reply().status == 200
        half.send(predict(3)[:-1])
        process.signal(SIGTERM)
        assert process.exit_code() == 0
        assert used.ended()


def test_a_second_signal_ends_the_server_at_once(start, gate):
    process = start(drain_timeout="1h")
    with process.connect() as probe, process.connect() as held:
        held.send(predict(HOLD))
        gate.started()
        process.signal(SIGTERM)
        until(lambda: ready(probe) == 503)
        process.signal(SIGTERM)
        assert process.exit_code() == 1


@pytest.mark.parametrize("late", [False, True], ids=["at once", "while it closes"])
def test_a_second_stop_gives_workers_no_time(gate, monkeypatch, late):
    """Frozen, a worker cannot end by itself, and an hour is what it would otherwise be given."""
    monkeypatch.setattr("streambox.executor.process._STOP_GRACE_S", 3600.0)

    async def stopped_twice() -> int:
        async with Serving(parse_config(config_of(), str(TESTS))) as serving, Server(serving) as server:
            executor = serving.models["double"].executor
            unload = executor.unload

            async def unload_and_stop() -> None:
                asyncio.get_running_loop().call_soon(server.stop)
                await unload()

            if late:
                executor.unload = unload_and_stop
            (worker,) = executor.worker_pids
            os.kill(worker, SIGSTOP)
            server.stop()
            if not late:
                server.stop()
            assert await server.stopped() == 0
        return worker

    assert gone(asyncio.run(asyncio.wait_for(stopped_twice(), 30)))


def test_a_second_stop_gives_callers_who_do_not_read_no_time(gate, monkeypatch):
    monkeypatch.setattr("streambox.server.run._FLUSH_S", 3600.0)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(config_of()))
        shutdown = server.server._uvicorn.shutdown

        async def shutdown_and_stop(sockets=None) -> None:
            asyncio.get_running_loop().call_soon(server.server.stop)
            await shutdown(sockets)

        with Wire(server.port, SO_RCVBUF=4096) as deaf:
            deaf.send(post("/api/batcher", vector(1, "x" * 10_000_000)))
            server.until(lambda: any(c.transport.get_write_buffer_size() for c in server.edge.connections))
            server.call(server.server.stop)
            server.server._uvicorn.shutdown = shutdown_and_stop
            stack.close()
            assert not server.edge.connections


def test_what_the_drain_limit_cuts_off_is_told_so_and_the_exit_code_is_1(start, gate):
    process = start(drain_timeout="50ms")
    with process.connect() as probe, process.connect() as held, process.connect() as queued:
        held.send(predict(HOLD))
        gate.started()
        queued.send(infer(1))
        until(lambda: in_flight(probe) == 2)
        process.signal(SIGTERM)
        reply = held.reply()
        assert (reply.status, reply.json()["error"]["code"]) == (503, "draining")
        reply = queued.reply()
        assert (reply.status, reply.headers["x-error-code"]) == (503, "draining")
    assert process.exit_code() == 1


def test_a_killed_server_leaves_no_worker(start, gate):
    process = start()
    with process.connect() as held:
        held.send(predict(HOLD))
        worker = gate.started()
        assert process.workers() == [worker]
        process.signal(SIGKILL)
        assert process.exit_code() == -SIGKILL
        assert gone(worker)


def test_a_signal_while_models_load_ends_the_server(tmp_path, gate):
    model = f'  slow: {{executor: python, callable: "edge_models:SlowToLoad", {VECTOR}, {OUTPUT}}}'
    with serving_process(config_of(models=model), tmp_path, listening=False) as process:
        worker = gate.started()
        process.signal(SIGTERM)
        assert process.exit_code() == 0
        assert gone(worker)


def test_a_port_that_is_taken_ends_the_server_with_one_line(tmp_path, gate):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving_process(config_of(), tmp_path, port=port, listening=False) as process:
            assert process.exit_code() == 1
    errors = [line for line in process.log if line.startswith("streambox: ")]
    assert len(errors) == 1
    assert "choose another --port" in errors[0]
    assert "Traceback" not in "".join(process.log)
