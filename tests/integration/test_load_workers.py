"""One run by several worker processes: what they do together is what one would have done."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from streambox.cli import main
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import PayloadOptions, make_payloads
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, check_finished, run_load, write_run
from support import children, gone
from tiny_server import Asked, TinyServer, http, reply, right

SECOND = 1_000_000_000
SHORT = WorkloadOptions(rate_per_s=400, duration_ns=SECOND // 2, arrivals="constant")  # 200 requests
CONSOLE = Console(quiet=True)
COLUMNS = ("dispatched_ns", "sent_ns", "first_byte_ns", "done_ns", "batch_id", "wait_ns", "service_ns")


def run(server: TinyServer, workers: int = 3, workload: WorkloadOptions = SHORT, **options) -> Finished:
    chosen = RunOptions(target=server.target, workers=workers, **options)
    return run_load(workload, chosen, "digits", CONSOLE, quiet=True)


def ends(finished: Finished) -> dict[str, int]:
    """How many requests ended how; every offered one is in it."""
    summary = finished.summary
    found = {"ok": summary["ok"], **summary["errors"]}
    assert sum(found.values()) == summary["offered"] == summary["sent"] + summary["unsent"]
    return {kind: count for kind, count in found.items() if count}


@contextlib.contextmanager
def going_on(server: TinyServer, *arguments: object, asked: int = 30):
    """The command, and its workers, once so many requests have come; nothing of it is left afterwards."""
    command = [sys.executable, "-m", "streambox", "load", "--url", server.target.url, "--workers", "3"]
    command += ["--rate", "200", "--duration", "10m", "--allow-invalid", "--quiet", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    workers: list[int] = []
    try:
        server.wait_until_asked(asked)
        workers += children(process.pid)
        assert len(workers) == 3
        yield process, workers
    finally:
        process.kill()
        process.communicate()
        assert all(gone(worker) for worker in workers)


# ---- together ------------------------------------------------------------------------------------


def test_three_workers_send_what_one_would_have_each_request_once_with_its_own_payload():
    with TinyServer() as server:
        one, three = run(server, 1), run(server, 3)
    assert ends(one) == ends(three) == {"ok": 200}
    assert one.summary["schedule_sha256"] == three.summary["schedule_sha256"]
    assert sorted(asked.index for asked in server.asked) == [i for i in range(200) for _ in range(2)]
    payloads = make_payloads(server.target, "digits", 0)
    for asked in server.asked:
        sent = payloads.request(int(three.schedule.payload[asked.index]), asked.index)
        assert tuple(json.loads(sent.partition(b"\r\n\r\n")[2])["data"]["vector"]) == asked.vector


def test_their_records_are_as_complete_as_those_of_one():
    with TinyServer() as server:
        one, three = run(server, 1).outcomes, run(server, 3).outcomes
    assert three.intended_ns.tolist() == one.intended_ns.tolist()
    assert three.lane.tolist() == one.lane.tolist()
    for name in COLUMNS:
        assert (getattr(three, name) >= 0).all(), name
    assert set(three.status.tolist()) == {200}
    assert set(three.batch_size.tolist()) == {1}
    stamps = [getattr(three, name) for name in ("intended_ns", *COLUMNS[:4])]
    for earlier, later in itertools.pairwise(stamps):
        assert (earlier <= later).all()  # by one clock, from one instant on


def test_kinds_of_error_that_each_of_them_meets_are_counted_as_one():
    refusal = b'{"error": {"code": "queue_full", "message": "full", "request_id": null}}'

    async def busy(asked: Asked) -> bytes:
        if asked.index % 10 < 3:  # each of the three workers meets it
            return http(refusal, "503 Service Unavailable")
        return http(b"<h1>oops</h1>", "500 Internal") if asked.index % 10 < 6 else await right(asked)

    with TinyServer(busy) as server:
        finished = run(server)
    assert ends(finished) == {"ok": 80, "http_503:queue_full": 60, "http_500": 60}


def test_the_connections_allowed_are_shared_out():
    with TinyServer() as server:
        assert ends(run(server, connections=3)) == {"ok": 200}
    assert server.most_at_once <= 3


def test_the_callers_of_a_closed_loop_are_shared_out():
    together = asyncio.Event()

    async def all_at_once(asked: Asked) -> bytes:
        if server.in_hand == 5:
            together.set()
        await together.wait()
        return await right(asked)

    with TinyServer(all_at_once) as server:
        duration_ns = SECOND // 2
        workload = WorkloadOptions(duration_ns=duration_ns)
        finished = run(server, 3, workload, concurrency=5, duration_ns=duration_ns)
    assert ends(finished) == {"ok": len(server.asked)}
    assert server.most_at_once == 5
    assert len({asked.index for asked in server.asked}) == len(server.asked)
    assert (np.diff(finished.outcomes.intended_ns) >= 0).all()
    check_finished(finished.summary, allow_invalid=False)


def test_where_all_of_them_stand_is_shown_as_one():
    with TinyServer() as server:
        command = [sys.executable, "-m", "streambox", "load", "--url", server.target.url, "--workers", "3"]
        command += ["--rate", "200", "--duration", "300ms", "--arrivals", "constant", "--allow-invalid"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "sending 60 requests" in done.stderr
    assert "60 ok" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"concurrency": 2, "duration_ns": SECOND}, "2 callers cannot be shared by 3 workers"),
        ({"connections": 2}, "2 connections cannot be shared by 3 workers"),
    ],
)
def test_more_workers_than_there_is_something_to_share_are_refused(options, reason):
    with TinyServer() as server, pytest.raises(UsageError, match=reason):
        run(server, 3, **options)
    assert server.connections == 0


# ---- when something goes wrong -------------------------------------------------------------------


def test_a_target_that_cannot_be_reached_is_told_once():
    with TinyServer() as server:
        target = server.target
    with pytest.raises(RunFailed, match=r"cannot connect to .*refused"):
        run_load(SHORT, RunOptions(target=target, workers=3), "digits", CONSOLE, quiet=True)


def test_ctrl_c_stops_all_of_them_and_what_they_did_is_reported(tmp_path):
    with TinyServer() as server:
        with going_on(server, "--out", tmp_path) as (process, _):
            process.send_signal(signal.SIGINT)
            process.wait(60)
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["offered"] == summary["sent"] == summary["ok"] == len(server.asked)
    assert summary["unsent"] == 0
    assert not (tmp_path / ".outcomes").exists()


def test_a_second_ctrl_c_ends_all_of_them_at_once_and_still_reports(tmp_path):
    async def deaf(asked: Asked) -> bytes:
        if asked.number >= 30:
            await asyncio.Event().wait()
        return await right(asked)

    long = ("--timeout", "10m", "--out", tmp_path)
    with TinyServer(deaf) as server, going_on(server, *long, asked=36) as (process, _):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # means the same; two of a kind may arrive as one
        process.wait(60)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ok"] == 30
    assert summary["errors"] == {"interrupted": summary["sent"] - 30}


def test_signals_that_reach_a_worker_itself_do_not_stop_its_share():
    with TinyServer() as server, going_on(server) as (process, workers):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(workers[0], number)
        so_far = len(server.asked)
        server.wait_until_asked(so_far + 60)
        assert sorted(children(process.pid)) == sorted(workers)
        assert {asked.index % 3 for asked in server.asked[so_far + 30 :]} == {0, 1, 2}


def test_a_worker_that_dies_fails_the_run_which_names_it_and_counts_its_requests_honestly(tmp_path):
    async def slow(asked: Asked) -> bytes:
        if asked.number >= 30 and asked.index % 3 == 1:
            await asyncio.Event().wait()  # in flight when its worker dies
        return http(reply(asked))

    with TinyServer(slow) as server:
        with going_on(server, "--out", tmp_path, asked=60) as (process, workers):
            victim = workers[1]
            os.kill(victim, signal.SIGKILL)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        line = f"load generator worker 2 of 3 (process {victim}) was killed by SIGKILL"
        assert errors.strip().splitlines() == [f"streambox: {line}"]
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["verdict"]["status"] == "failed"
        assert summary["verdict"]["reasons"][0] == line
        assert summary["ok"] + sum(summary["errors"].values()) == summary["offered"]
        assert set(summary["errors"]) <= {"interrupted", "unsent"}
        # One more may have been sent, and not been recorded when the worker died.
        in_flight = sum(asked.index % 3 == 1 for asked in server.asked[30:])
        assert in_flight - 1 <= summary["errors"]["interrupted"] <= in_flight
        assert len(server.asked) - 1 <= summary["sent"] <= len(server.asked)
    assert "worker 2 of 3" in (tmp_path / "report.html").read_text()


def test_workers_do_not_outlive_a_run_that_is_killed_and_it_can_be_recovered(tmp_path, monkeypatch):
    with TinyServer() as server:
        with going_on(server, "--out", tmp_path) as (process, workers):
            process.kill()
            process.wait()
            assert all(gone(worker) for worker in workers)
            asked = len(server.asked)
        monkeypatch.setattr(sys, "argv", ["streambox", "load", "recover", str(tmp_path)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert asked - 3 <= summary["sent"] <= asked + 3  # each may have been between sending and recording
    assert summary["ok"] >= 25
    assert set(summary["errors"]) <= {"interrupted", "unsent"}


def test_keys_are_in_no_argument_list_and_in_no_file(tmp_path):
    secret = "Bearer of-a-secret"
    with TinyServer() as server:
        with going_on(server, "--header", f"Authorization: {secret}", "--out", tmp_path) as (_, workers):
            assert any(secret in head for head in server.heads)
            for worker in workers:
                assert secret.encode() not in Path(f"/proc/{worker}/cmdline").read_bytes()
                assert secret.encode() not in Path(f"/proc/{worker}/environ").read_bytes()
            for path in tmp_path.rglob("*"):
                assert path.is_dir() or secret.encode() not in path.read_bytes(), path
        (tmp_path / "over").mkdir()
        finished = run_load(
            SHORT,
            RunOptions(target=server.target, workers=2),
            "digits",
            CONSOLE,
            quiet=True,
            out=tmp_path / "over",
            sending=PayloadOptions(headers=(f"Authorization: {secret}",)),
        )
    write_run(tmp_path / "over", finished)
    for path in (tmp_path / "over").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
