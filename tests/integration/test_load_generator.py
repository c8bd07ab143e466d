"""The load generator against tiny real servers that answer right, wrong, late, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import resource
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
import uvloop
from rich.console import Console

from streambox.cli import main
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.calibrate import calibrate
from streambox.loadgen.certificate import keep, kept
from streambox.loadgen.connection import ClientConnection
from streambox.loadgen.live import make_live_view
from streambox.loadgen.payload import Target, make_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.run import Run, RunOptions
from streambox.loadgen.session import Finished, check_finished, run_load
from streambox.workload.schedule import Lane, Schedule
from tiny_server import Asked, TinyServer, http, reply, right

SECOND = 1_000_000_000
MS = 1_000_000
SHORT = WorkloadOptions(rate_per_s=400, duration_ns=SECOND // 2, arrivals="constant")  # 200 requests
CONSOLE = Console(quiet=True)


def run(server: TinyServer, workload: WorkloadOptions = SHORT, **options) -> Finished:
    return run_load(workload, RunOptions(target=server.target, **options), "digits", CONSOLE, quiet=True)


def ends(finished: Finished) -> dict[str, int]:
    """How many requests ended how; every offered one is in it."""
    summary = finished.summary
    found = {"ok": summary["ok"], **summary["errors"]}
    assert sum(found.values()) == summary["offered"] == summary["sent"] + summary["unsent"]
    return {kind: count for kind, count in found.items() if count}


# ---- a server that does its work -----------------------------------------------------------------


def test_every_request_of_the_schedule_is_sent_once_with_its_own_payload_and_judged_right():
    with TinyServer() as server:
        finished = run(server)
    assert ends(finished) == {"ok": 200}
    payloads = make_payloads(server.target, "digits", 0)
    assert sorted(asked.index for asked in server.asked) == list(range(200))
    for asked in server.asked:
        sent = payloads.request(int(finished.schedule.payload[asked.index]), asked.index)
        assert tuple(json.loads(sent.partition(b"\r\n\r\n")[2])["data"]["vector"]) == asked.vector


def test_nothing_is_sent_before_its_instant_and_every_stamp_is_in_order():
    with TinyServer() as server:
        outcomes = run(server).outcomes
    assert (outcomes.sent_ns >= outcomes.intended_ns).all()
    assert (outcomes.done_ns >= outcomes.sent_ns).all()


def test_the_replys_batch_facts_are_kept():
    with TinyServer() as server:
        outcomes = run(server).outcomes
    assert set(outcomes.batch_size.tolist()) == {1}
    assert set(outcomes.wait_ns.tolist()) == {MS // 2}
    assert set(outcomes.service_ns.tolist()) == {MS // 4}


def test_connections_are_kept_and_used_again():
    with TinyServer() as server:
        finished = run(server, connections=64)
    assert ends(finished) == {"ok": 200}
    assert server.connections <= 64


def test_a_workload_that_starts_with_idle_units_is_replayed(tmp_path):
    """The reference's load generator crashes on it."""
    path = tmp_path / "x.txt"
    path.write_text("0 0 30 0 10")
    workload = WorkloadOptions(workload_file=str(path), time_unit_ns=SECOND // 10)
    with TinyServer() as server:
        finished = run(server, workload)
    assert ends(finished) == {"ok": 40}
    assert finished.outcomes.sent_ns.min() >= 2 * SECOND // 10
    assert finished.summary["duration_s"] >= 0.5


def test_the_idle_time_of_lap_time_is_kept(tmp_path):
    """The reference's load generator loses it."""
    path = tmp_path / "x.txt"
    path.write_text("20 20")
    workload = WorkloadOptions(workload_file=str(path), time_unit_ns=SECOND // 10, gap_time=1, lap_time=4)
    with TinyServer() as server:
        finished = run(server, workload)
    sent_ns = finished.outcomes.sent_ns
    assert (sent_ns[20:] >= SECOND // 2).all()
    assert finished.summary["duration_s"] >= 1.0


# ---- open loop -----------------------------------------------------------------------------------


class Stall:
    """Answers at once, but holds all from number *first* on until number *last* has come."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self._last = last
        self._over = asyncio.Event()

    async def __call__(self, asked: Asked) -> bytes:
        if asked.number >= self._last:
            self._over.set()
        if asked.number >= self._first:
            await self._over.wait()
        return http(reply(asked))


def test_a_stalled_server_does_not_slow_the_schedule_and_its_stall_is_in_the_latencies():
    """
    The coordinated-omission test. The reference's load generator waits for each answer, so a
    stall costs it one slow request; here the server goes on only when those due meanwhile have come.
    """
    workload = WorkloadOptions(rate_per_s=200, duration_ns=2 * SECOND, arrivals="constant")
    with TinyServer(Stall(first=100, last=299)) as server:
        finished = run(server, workload)
    assert ends(finished) == {"ok": 400}
    outcomes = finished.outcomes
    assert outcomes.intended_ns.tolist() == [k * 5 * MS for k in range(400)]  # nothing slipped
    held = [asked.index for asked in server.asked[100:299]]
    # The stall ended after 300 requests had been sent, so not before the instant of the 300th.
    assert (outcomes.done_ns[held] >= 299 * 5 * MS).all()
    # More than a tenth of all requests had to wait for 0.7 s, however quick the rest was.
    assert finished.summary["response_ms"]["p90"] >= 700


def test_beyond_the_most_connections_requests_wait_their_turn_and_none_is_lost():
    with TinyServer() as server:
        finished = run(server, connections=2)
    assert ends(finished) == {"ok": 200}
    assert server.most_at_once <= 2


def test_waiting_for_a_connection_is_send_lag():
    workload = WorkloadOptions(rate_per_s=200, duration_ns=SECOND // 4, arrivals="constant")

    async def slow(asked: Asked) -> bytes:
        await asyncio.sleep(0.02)
        return http(reply(asked))

    with TinyServer(slow) as server:
        finished = run(server, workload, connections=1)
    assert ends(finished) == {"ok": 50}
    # 50 answers of 20 ms, one after the other: the last request goes out after 49 of them.
    assert finished.summary["send_lag_us"]["max"] >= 49 * 20_000 - 49 * 5_000
    # And the wait is in what its user felt: latency counts from the intended instant.
    assert finished.summary["response_ms"]["max"] >= finished.summary["send_lag_us"]["max"] / 1000
    assert finished.summary["verdict"]["status"] == "generator-limited"


def test_more_connections_are_opened_when_all_are_busy():
    together = 60

    workload = WorkloadOptions(rate_per_s=400, duration_ns=together * SECOND // 400, arrivals="constant")
    with TinyServer(Stall(first=0, last=together - 1)) as server:
        assert ends(run(server, workload)) == {"ok": together}
    assert server.connections >= together


# ---- wrong answers -------------------------------------------------------------------------------


class Crossing:
    """Answers requests number *first* and *first* + 1 with each other's rows, all others right."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._held: Asked | None = None
        self._both = asyncio.Event()

    async def __call__(self, asked: Asked) -> bytes:
        if asked.number == self._first:
            mine, self._held = asked, asked
            await self._both.wait()
            return http(reply(mine, answer_to=self._held))
        if asked.number == self._first + 1:
            other, self._held = self._held, asked
            self._both.set()
            return http(reply(asked, answer_to=other))
        return http(reply(asked))


def test_one_crossed_pair_of_rows_among_many_fails_the_run():
    with TinyServer(Crossing(first=50)) as server:
        finished = run(server)
    assert ends(finished) == {"ok": 198, "wrong": 2}
    assert finished.summary["wrong"] == 2
    with pytest.raises(RunFailed, match="2 of 200 answers were wrong"):
        check_finished(finished.summary, allow_invalid=True)


def test_an_answer_under_another_requests_id_is_wrong():
    async def misnamed(asked: Asked) -> bytes:
        wrong_id = f"{asked.index + 1:010d}"
        return http(reply(asked, request_id=wrong_id) if asked.index == 7 else reply(asked))

    with TinyServer(misnamed) as server:
        assert ends(run(server, check="id")) == {"ok": 199, "wrong": 1}


# ---- answers that fail ---------------------------------------------------------------------------


def test_http_errors_are_told_apart_by_status_and_the_servers_code():
    refusal = b'{"error": {"code": "queue_full", "message": "full", "request_id": null}}'

    async def busy(asked: Asked) -> bytes:
        if asked.index % 10 == 0:
            return http(refusal, "503 Service Unavailable", "Retry-After: 1\r\n")
        return http(b"<h1>oops</h1>", "500 Internal") if asked.index % 10 == 1 else await right(asked)

    with TinyServer(busy) as server:
        finished = run(server)
    assert ends(finished) == {"ok": 160, "http_503:queue_full": 20, "http_500": 20}
    assert finished.summary["completed"] == 200


def test_requests_without_an_answer_time_out_and_their_neighbours_do_not():
    async def deaf(asked: Asked) -> bytes:
        if asked.index in (3, 4, 120):
            await asyncio.Event().wait()
        return await right(asked)

    with TinyServer(deaf) as server:
        finished = run(server, timeout_ns=2 * SECOND)
    assert ends(finished) == {"ok": 197, "timeout": 3}
    assert finished.summary["completed"] == 197


def test_a_connection_that_is_closed_without_an_answer_is_an_outcome_and_is_replaced():
    async def rude(asked: Asked) -> bytes | None:
        return None if asked.index % 4 == 0 else await right(asked)

    with TinyServer(rude) as server:
        assert ends(run(server)) == {"ok": 150, "reset": 50}


def test_half_an_answer_is_none():
    async def torn(asked: Asked) -> bytes:
        whole = http(reply(asked), head="Connection: close\r\n")
        return whole[:-5] if asked.index == 9 else whole

    with TinyServer(torn) as server:
        assert ends(run(server)) == {"ok": 199, "reset": 1}


def test_what_is_not_http_is_a_bad_response():
    async def garbled(asked: Asked) -> bytes:
        return b"SSH-2.0-OpenSSH_9.6\r\n" if asked.index == 11 else await right(asked)

    with TinyServer(garbled) as server:
        assert ends(run(server)) == {"ok": 199, "bad_response": 1}


def test_answers_that_no_record_can_hold_are_counted_and_end_nothing():
    """A reply out of bounds once stopped all checking for good, and the run with it."""
    nested = b"[" * 100_000 + b"]" * 100_000
    odd = {
        3: {"batch": {"id": 10**30, "size": 1, "wait_ms": 1, "service_ms": 1}},
        4: {"batch": {"id": 1, "size": 10**12, "wait_ms": 1, "service_ms": 1}},
        5: {"batch": {"id": 1, "size": 1, "wait_ms": 1e300, "service_ms": 1}},
    }

    async def hostile(asked: Asked) -> bytes:
        if asked.index == 6:
            return http(b'{"request_id": "x", "output": ' + nested + b"}")
        return http(reply(asked, **odd.get(asked.index, {})))

    with TinyServer(hostile) as server:
        assert ends(run(server)) == {"ok": 196, "bad_response": 4}


def test_requests_that_wait_for_the_one_connection_go_on_when_it_is_lost():
    async def closing(asked: Asked) -> bytes | None:
        return None if asked.number % 2 else await right(asked)

    with TinyServer(closing) as server:
        assert ends(run(server, connections=1)) == {"ok": 100, "reset": 100}


def test_a_failed_attempt_to_connect_strands_none_of_those_that_wait():
    """There may be one connection, many wait for it, and none can be had any more."""

    async def leaving(asked: Asked) -> bytes | None:
        if asked.number < 10:
            return await right(asked)
        await server.stop_listening()
        return None

    with TinyServer(leaving) as server:
        found = ends(run(server, connections=1, timeout_ns=60 * SECOND))  # nobody waits for that long
    assert found["ok"] == 10
    assert "unsent" not in found
    assert sum(found.values()) == 200


def test_what_still_waits_when_the_time_out_has_passed_is_unsent_and_said_so():
    async def deaf(asked: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    workload = WorkloadOptions(rate_per_s=200, duration_ns=SECOND // 10, arrivals="constant")
    with TinyServer(deaf) as server:
        finished = run(server, workload, connections=1, timeout_ns=SECOND // 2)
    found = ends(finished)
    assert set(found) == {"timeout", "unsent"}
    assert found["timeout"] == finished.summary["sent"] < 20
    assert "not sent" in finished.summary["verdict"]["reasons"][0]


def test_a_server_that_goes_away_midway_leaves_every_request_accounted_for():
    async def leaving(asked: Asked) -> bytes | None:
        if asked.number >= 60:
            await server.stop_listening()
            return None
        return await right(asked)

    with TinyServer(leaving) as server:
        found = ends(run(server, timeout_ns=SECOND))
    assert found["ok"] == 60
    others = set(found) - {"ok", "reset", "unsent"}
    assert others
    assert all(kind.startswith("connect_failed: ") for kind in others)


def test_a_connection_that_is_not_made_in_time_is_an_outcome_of_the_request_that_waits_for_it():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)  # nobody accepts: one connection waits there, all others for that
        target = Target(*listening.getsockname(), "/")
        options = RunOptions(target=target, timeout_ns=SECOND // 4, check="none")
        workload = WorkloadOptions(rate_per_s=100, duration_ns=SECOND // 10, arrivals="constant")
        finished = run_load(workload, options, "digits", CONSOLE, quiet=True)
    found = ends(finished)
    assert found["connect_failed: timed out"] >= 1
    assert set(found) <= {"connect_failed: timed out", "timeout", "unsent"}


# ---- answers in other shapes ---------------------------------------------------------------------


def test_answers_that_come_byte_by_byte_are_put_together():
    workload = WorkloadOptions(rate_per_s=100, duration_ns=SECOND // 5, arrivals="constant")
    with TinyServer(pieces=True) as server:
        assert ends(run(server, workload)) == {"ok": 20}


def test_chunked_answers_are_read():
    async def chunked(asked: Asked) -> bytes:
        body = reply(asked)
        parts = [body[:10], body[10:]]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    with TinyServer(chunked) as server:
        assert ends(run(server)) == {"ok": 200}


def test_an_interim_answer_is_not_the_answer():
    async def interim_first(asked: Asked) -> bytes:
        return b"HTTP/1.1 100 Continue\r\n\r\n" + http(reply(asked))

    with TinyServer(interim_first) as server:
        assert ends(run(server)) == {"ok": 200}
    with TinyServer(interim_first, pieces=True) as server:
        few = WorkloadOptions(rate_per_s=100, duration_ns=SECOND // 5, arrivals="constant")
        assert ends(run(server, few)) == {"ok": 20}


def test_a_server_that_closes_after_every_answer_is_served_all_the_same():
    async def closing(asked: Asked) -> bytes:
        return http(reply(asked), head="Connection: close\r\n")

    with TinyServer(closing) as server:
        assert ends(run(server)) == {"ok": 200}
    assert server.connections >= 200


def test_any_2xx_will_do_where_nothing_is_to_be_checked():
    async def bare(asked: Asked) -> bytes:
        return http(b"", "204 No Content") if asked.index % 2 else http(b"fine", "201 Created")

    with TinyServer(bare) as server:
        assert ends(run(server, check="none")) == {"ok": 200}


# ---- closed loop ---------------------------------------------------------------------------------


def test_a_closed_loop_keeps_its_concurrency_and_says_what_it_is():
    workload = WorkloadOptions(duration_ns=SECOND // 3)
    with TinyServer() as server:
        finished = run(server, workload, concurrency=3, duration_ns=workload.duration_ns)
    assert server.most_at_once <= 3
    assert ends(finished) == {"ok": len(server.asked)}
    assert len(server.asked) > 3
    assert finished.summary["mode"] == "closed-loop"
    assert finished.summary["schedule_sha256"] is None
    check_finished(finished.summary, allow_invalid=False)


def test_a_closed_loops_callers_go_on_after_time_outs_and_each_request_is_counted_once():
    async def deaf(asked: Asked) -> bytes:
        if asked.number % 3 == 2:
            await asyncio.Event().wait()
        return await right(asked)

    with TinyServer(deaf) as server:
        finished = run(
            server,
            WorkloadOptions(duration_ns=SECOND // 2),
            concurrency=8,
            duration_ns=SECOND // 2,
            timeout_ns=SECOND // 10,
        )
    found = ends(finished)
    assert set(found) == {"ok", "timeout"}
    assert found["timeout"] > 8  # every caller has met more than one
    assert finished.summary["ok"] == finished.summary["completed"]
    assert len({asked.index for asked in server.asked}) == len(server.asked) == finished.summary["sent"]


def test_a_closed_loop_whose_server_goes_away_goes_on_trying_without_a_rush():
    async def leaving(asked: Asked) -> bytes | None:
        if asked.number < 20:
            return await right(asked)
        await server.stop_listening()
        return None

    with TinyServer(leaving) as server:
        found = ends(
            run(server, WorkloadOptions(duration_ns=SECOND // 2), concurrency=2, duration_ns=SECOND // 2)
        )
    refused = sum(count for kind, count in found.items() if kind.startswith("connect_failed: "))
    assert found["ok"] == 20
    assert 1 <= refused <= 2 * 10 + 2  # two callers, each at most every 50 ms


def test_a_closed_loop_says_what_it_is_in_every_output(tmp_path):
    arguments = ("--concurrency", 2, "--duration", "100ms", "--out", tmp_path)
    with TinyServer() as server:
        done = load("--url", server.target.url, *arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["mode"] == summary["verdict"]["status"] == "closed-loop"
    for printed in (done.stdout, (tmp_path / "report.html").read_text()):
        assert "closed-loop" in printed or "closed loop" in printed
    assert Schedule.from_parquet(tmp_path / "schedule.parquet").recipe["mode"] == "closed-loop"
    assert pq.read_table(tmp_path / "outcomes.parquet").num_rows == summary["offered"] > 0


# ---- stopping ------------------------------------------------------------------------------------


def start_and_stop(
    server: TinyServer, behave_stopped, *, after: int = 20, rate_per_s: int = 200, options: dict | None = None
):
    """Run a long schedule on a loop of its own; call *behave_stopped(run)* once *after* requests came."""
    payloads = make_payloads(server.target, "digits", 0)
    duration_ns = 120_000 * SECOND // rate_per_s  # far longer than any test takes
    workload = WorkloadOptions(rate_per_s=rate_per_s, duration_ns=duration_ns)
    schedule = draw_schedule(workload, "digits", len(payloads))
    chosen = RunOptions(target=server.target, **{"timeout_ns": 60 * SECOND, **(options or {})})
    replay = Run(schedule, [payloads], chosen, make_live_view(CONSOLE, quiet=True))

    async def play():
        loop = asyncio.get_running_loop()

        def watch() -> None:
            try:
                server.wait_until_asked(after)
                loop.call_soon_threadsafe(behave_stopped, replay)
            except AssertionError:  # end it all the same, so that the test can tell
                loop.call_soon_threadsafe(replay.stop)
                loop.call_soon_threadsafe(replay.stop)
                raise

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            return await replay()
        finally:
            watcher.join()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return schedule, runner.run(play())


def test_a_fault_of_ours_ends_the_run_and_is_told(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("streambox.loadgen.run.Sender.send", broken)
    with TinyServer() as server, pytest.raises(RunFailed, match=r"the load generator failed: .*a fault"):
        run(server)


def test_a_run_gives_the_signals_back():
    def mine(*_: object) -> None: ...

    before = {number: signal.signal(number, mine) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with TinyServer() as server:
            run(server, WorkloadOptions(rate_per_s=100, duration_ns=SECOND // 10))
        assert [signal.getsignal(number) for number in before] == [mine, mine]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_stopped_once_it_sends_nothing_more_and_collects_what_is_in_flight():
    async def slow(asked: Asked) -> bytes:
        await asyncio.sleep(0.1)
        return http(reply(asked))

    with TinyServer(slow) as server:
        schedule, outcomes = start_and_stop(server, lambda replay: replay.stop())
    assert 20 <= len(server.asked) < len(schedule)
    assert outcomes.sent.sum() == outcomes.ok.sum() == len(server.asked)


def test_a_closed_loop_keeps_its_callers_when_each_answer_costs_a_connection():
    """Every answer closes its connection: whoever waits for a new one is not forgotten."""
    together, so_far = 8, 40
    all_there = asyncio.Event()

    async def closing(asked: Asked) -> bytes:
        if asked.number >= so_far:  # a while later there are as many callers as in the beginning
            if server.in_hand == together:
                all_there.set()
            await all_there.wait()
        return http(reply(asked), head="Connection: close\r\n")

    closed = {"concurrency": together, "duration_ns": 600 * SECOND}
    with TinyServer(closing) as server:
        _, outcomes = start_and_stop(
            server, lambda replay: replay.stop(), after=so_far + together, options=closed
        )
    assert outcomes.ok.sum() == len(outcomes) == len(server.asked)
    assert server.most_at_once == together


def test_stopped_once_it_does_not_send_what_still_waits_for_a_connection():
    stopped = threading.Event()

    async def held(asked: Asked) -> bytes:
        if asked.number >= 19:
            await asyncio.to_thread(stopped.wait, 30)
        return await right(asked)

    def stop(replay: Run) -> None:
        replay.stop()
        stopped.set()

    with TinyServer(held) as server:
        _, outcomes = start_and_stop(server, stop, rate_per_s=20_000, options={"connections": 1})
    assert outcomes.ok.sum() == len(server.asked) == 20
    assert set(outcomes.errors()) == {"unsent"}  # at this rate several fall due during one answer


def test_stopped_twice_it_ends_at_once_and_reports_what_there_is():
    async def deaf(asked: Asked) -> bytes:
        if asked.number >= 10:
            await asyncio.Event().wait()
        return await right(asked)

    def stop_twice(replay: Run) -> None:
        replay.stop()
        replay.stop()

    with TinyServer(deaf) as server:  # a time-out of an hour would outlast the test's own
        _, outcomes = start_and_stop(server, stop_twice, options={"timeout_ns": 3600 * SECOND})
    assert outcomes.ok.sum() == 10
    assert outcomes.sent.sum() > 10
    assert outcomes.errors()["interrupted"] == outcomes.sent.sum() - 10


# ---- the command ---------------------------------------------------------------------------------


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "streambox", "load", *map(str, arguments)]


def load(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)


BRIEF = ("--rate", 200, "--duration", "200ms", "--arrivals", "constant", "--allow-invalid")


def test_the_command_leaves_four_files_and_prints_the_summary(tmp_path):
    with TinyServer() as server:
        done = load("--url", server.target.url, *BRIEF, "--seed", 4, "--json", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["ok"], summary["seed"], summary["mode"]) == (40, 4, "open-loop")
    schedule = Schedule.from_parquet(tmp_path / "run" / "schedule.parquet")
    assert schedule.sha256 == summary["schedule_sha256"]
    outcomes = pq.read_table(tmp_path / "run" / "outcomes.parquet")
    assert outcomes["intended_ns"].to_pylist() == schedule.intended_ns.tolist()
    page = (tmp_path / "run" / "report.html").read_text()
    assert summary["schedule_sha256"][:12] in page


def test_where_and_what_come_from_the_configuration(tmp_path):
    with TinyServer() as server:
        section = f"{{host: {server.target.host}, port: {server.target.port}, path: /api/batcher, seed: 7}}"
        (tmp_path / "c.yaml").write_text(f"load_generator: {section}\n")
        done = load("--config", tmp_path / "c.yaml", *BRIEF, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seed"] == 7


def test_the_command_fails_on_a_crossed_answer_even_if_invalid_runs_are_allowed():
    with TinyServer(Crossing(first=5)) as server:
        done = load("--url", server.target.url, *BRIEF, "--quiet")
    assert done.returncode == 1
    assert "2 of 40 answers were wrong" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table_goes_out_and_the_four_files_agree_with_it(tmp_path):
    with TinyServer() as server:
        done = load("--url", server.target.url, *BRIEF, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    names = {"schedule.parquet", "outcomes.parquet", "summary.json", "report.html"}
    assert {path.name for path in tmp_path.iterdir()} == names
    summary = json.loads((tmp_path / "summary.json").read_text())
    table = pq.read_table(tmp_path / "outcomes.parquet").to_pydict()
    assert table["kind"].count("ok") == summary["ok"] == summary["offered"] == len(table["kind"])
    lags_us = [(sent - due) / 1e3 for sent, due in zip(table["sent_ns"], table["intended_ns"], strict=True)]
    assert summary["send_lag_us"]["max"] == pytest.approx(max(lags_us), abs=0.001)
    took_ms = [(end - due) / 1e6 for end, due in zip(table["done_ns"], table["intended_ns"], strict=True)]
    assert summary["response_ms"]["max"] == pytest.approx(max(took_ms), abs=0.001)


def test_the_command_fails_when_every_answer_is_an_error():
    async def refusing(asked: Asked) -> bytes:
        return http(b'{"error": {"code": "unknown_model"}}', "404 Not Found")

    with TinyServer(refusing) as server:
        done = load("--url", server.target.url, *BRIEF, "--quiet")
    assert done.returncode == 1
    assert "http_404:unknown_model" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_results_that_could_not_be_written_are_found_out_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with TinyServer() as server:
        done = load("--url", server.target.url, *BRIEF, "--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert (server.asked, server.connections) == ([], 0)


def test_a_closed_port_is_one_line_and_exit_code_1():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        done = load("--url", f"http://127.0.0.1:{unused.getsockname()[1]}/", *BRIEF, "--quiet")
    assert done.returncode == 1
    assert "cannot connect" in done.stderr
    assert "refused" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--rate", 5, "--concurrency", 2), "exclude each other"),
        (("--url", "ftp://x/"), "only http://"),
        (("--workload-file", "/no/such/file"), "no such workload file"),
        (("--timeout", "10"), "has no unit"),
        (("--gap-time", 0, "--len", 5), "gap_time is 0"),
        (("--rate", 0), "rate"),
        (("--out", "/dev/null/x", "--rate", 1), "cannot be written"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_why(arguments, named, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert named in capsys.readouterr().err


def test_ctrl_c_ends_a_run_early_with_a_report(tmp_path):
    with TinyServer() as server:
        long = ("--rate", 200, "--duration", "10m", "--allow-invalid", "--quiet")
        process = subprocess.Popen(command("--url", server.target.url, *long, "--out", tmp_path / "run"))
        try:
            server.wait_until_asked(20)
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            process.kill()
            process.wait()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["sent"] == summary["ok"] == len(server.asked)
    assert summary["wrong"] == 0


def test_a_second_ctrl_c_ends_it_at_once_and_still_reports(tmp_path):
    async def deaf(asked: Asked) -> bytes:
        if asked.number >= 20:
            await asyncio.Event().wait()
        return await right(asked)

    with TinyServer(deaf) as server:
        long = ("--rate", 200, "--duration", "10m", "--timeout", "10m", "--allow-invalid", "--quiet")
        process = subprocess.Popen(command("--url", server.target.url, *long, "--out", tmp_path))
        try:
            server.wait_until_asked(25)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)  # means the same; two of a kind may arrive as one
            process.wait(60)
        finally:
            process.kill()
            process.wait()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ok"] == 20
    assert summary["sent"] > 20


def test_a_run_that_was_killed_can_be_recovered(tmp_path, capsys, monkeypatch):
    with TinyServer() as server:
        arguments = ["load", "--url", server.target.url, "--rate", "200", "--duration", "60s", "--quiet"]
        command = [sys.executable, "-m", "streambox.cli", *arguments, "--out", str(tmp_path / "run")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        server.wait_until_asked(150)
        process.kill()
        process.wait()
        asked = len(server.asked)
    assert not (tmp_path / "run" / "summary.json").exists()
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "recover", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    # Held up, it sends up to 64 at once before it reads an answer; what the server had not read is lost.
    assert asked - 1 <= summary["sent"] <= asked + 64
    assert summary["ok"] >= 40
    assert set(summary["errors"]) <= {"interrupted"}
    assert (tmp_path / "run" / "report.html").exists()


def test_the_clients_stamps_of_every_request_are_in_order():
    with TinyServer() as server:
        outcomes = run(server).outcomes
    stamps = (outcomes.intended_ns, outcomes.dispatched_ns, outcomes.sent_ns, outcomes.first_byte_ns)
    for earlier, later in zip(stamps, (*stamps[1:], outcomes.done_ns), strict=True):
        assert (earlier <= later).all()


def test_an_option_before_a_subcommand_is_refused_not_ignored(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "--rate", "5", "recover", "nowhere"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "--rate stands before 'recover'" in capsys.readouterr().err


def test_a_request_that_waited_too_long_for_a_connection_is_given_up_as_unsent():
    """One connection, answers that take 50 ms: what is due meanwhile is given up after 20 ms."""

    async def slow(asked: Asked) -> bytes:
        await asyncio.sleep(0.05)
        return http(reply(asked))

    with TinyServer(slow) as server:
        finished = run(server, connections=1, give_up_after_ns=20 * MS)
    assert set(ends(finished)) == {"ok", "unsent"}
    assert ends(finished)["ok"] == len(server.asked) < 60
    assert "were not sent" in finished.summary["verdict"]["reasons"][0]


def test_find_max_finds_what_a_server_takes(tmp_path, monkeypatch, capsys):
    """A server that answers at most about 100/s, one after the other, by a timetable."""
    free = [0.0]

    async def timetable(asked: Asked) -> bytes:
        loop = asyncio.get_running_loop()
        free[0] = max(loop.time(), free[0]) + 0.01
        await asyncio.sleep(free[0] - loop.time())
        return http(reply(asked))

    with TinyServer(timetable) as server:
        arguments = [
            "--url",
            server.target.url,
            "--slo",
            "p90<60ms",
            "--arrivals",
            "constant",
            "--from",
            "40",
        ]
        more = ["--segment", "500ms", "--precision", "0.5", "--timeout", "2s", "--json"]
        more += ["--out", str(tmp_path / "new" / "found.json"), "--page", str(tmp_path / "found.html")]
        monkeypatch.setattr(sys, "argv", ["streambox", "load", "find-max", *arguments, *more])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)
    assert 40 <= found["rate_per_s"] <= 130
    assert found["rate_per_s"] <= found["limit_per_s"]["high"]
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == found
    assert (tmp_path / "found.html").stat().st_size > 100_000
    assert [trial["verdict"] for trial in found["curve"]] == sorted(
        (trial["verdict"] for trial in found["curve"]), reverse=True
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--slo", "mean<5ms"], "says nothing of single requests"),
        (["--slo", "p99<5ms", "--from", "0"], "must be above 0"),
        (["--slo", "p99<5ms", "--from", "50", "--to", "10"], "not above the highest"),
        (["--slo", "p99"], "is no objective"),
        (["--slo", "p99<5ms", "--page", "/proc/x/found.html"], "cannot be written"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(options, reason, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "find-max", *options])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_search_whose_first_rate_cannot_be_kept_ends_with_a_reason(monkeypatch, capsys):
    """One connection, and answers that take longer than requests are apart: all lag, and no verdict."""

    async def slow(asked: Asked) -> bytes:
        await asyncio.sleep(0.05)
        return http(reply(asked))

    with TinyServer(slow) as server:
        arguments = ["--url", server.target.url, "--slo", "p99<5s", "--from", "100", "--connections", "1"]
        monkeypatch.setattr(sys, "argv", ["streambox", "load", "find-max", *arguments, "--segment", "500ms"])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 1
    complaint = capsys.readouterr().err
    assert "the load generator cannot keep it" in complaint
    assert "the search ended before" in complaint


def test_calibrate_certifies_a_rate_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("streambox.loadgen.calibrate._HIGHEST_PER_S", 1000.0)
    # So generous a budget that a busy machine keeps it: what is tested is the way, not the machine.
    calibration, found = calibrate(10 * SECOND, SECOND // 5, CONSOLE)
    assert calibration is not None
    assert calibration.rate_per_s == found.rate_per_s == 1000
    keep(calibration)
    assert kept() == calibration


def test_a_schedule_of_an_earlier_run_is_replayed_request_by_request(tmp_path):
    with TinyServer() as server:
        first = run_load(SHORT, RunOptions(target=server.target), "digits", CONSOLE, quiet=True, out=tmp_path)
        schedule = Schedule.from_parquet(tmp_path / "schedule.parquet")
        again = run_load(
            WorkloadOptions(),
            RunOptions(target=server.target),
            "digits",
            CONSOLE,
            quiet=True,
            schedule=schedule,
        )
    assert again.summary["schedule_sha256"] == first.summary["schedule_sha256"]
    assert again.outcomes.intended_ns.tolist() == first.outcomes.intended_ns.tolist()
    vectors = [asked.vector for asked in sorted(server.asked, key=lambda asked: asked.index)]
    assert vectors[::2] == vectors[1::2]


def test_a_schedule_of_several_models_and_tenants_is_replayed_each_with_its_own_payloads(tmp_path):
    lanes = (Lane("digits", "acme"), Lane("double", "acme"), Lane("digits", "beta"))
    lane, payload = np.arange(60) % 3, np.arange(60) // 3
    instants_ns = np.arange(60, dtype=np.int64) * 2 * MS
    made = Schedule(instants_ns, payload.astype(np.int32), lane.astype(np.uint8), lanes, {"seed": 5})

    async def both(asked: Asked) -> bytes:
        if asked.model == "digits":
            return http(reply(asked))
        return http(json.dumps({"request_id": asked.request_id, "output": [1.0]}).encode())

    made.to_parquet(tmp_path / "made.parquet")
    with TinyServer(both) as server:
        done = load("--url", server.target.url, "--schedule", tmp_path / "made.parquet", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    sets = [make_payloads(server.target, model, 5) for model, _ in lanes]
    for asked in server.asked:
        sent = sets[lane[asked.index]].request(int(payload[asked.index]), asked.index)
        body = json.loads(sent.partition(b"\r\n\r\n")[2])
        assert (body["model"], tuple(body["data"]["vector"])) == (asked.model, asked.vector)
    assert pq.read_table(tmp_path / "outcomes.parquet")["lane"].to_pylist() == lane.tolist()
    assert json.loads((tmp_path / "summary.json").read_text())["ok"] == 60


def test_a_drawn_schedule_is_replayed_as_it_was_drawn(tmp_path, monkeypatch, capsys):
    """`workload draw`, then `load --schedule`: the hash in the file is the hash in the summary."""
    path, out = tmp_path / "drawn.parquet", tmp_path / "run"

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["streambox", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0

    transforms = ("--transform", "scale:3", "--transform", "warp:4")
    call("workload", "draw", "--rate", 100, "--duration", "1s", *transforms, "--out", path)
    with TinyServer() as server:
        call(
            "load", "--url", server.target.url, "--schedule", path, "--quiet", "--allow-invalid", "--out", out
        )
    drawn, replayed = (Schedule.from_parquet(file) for file in (path, out / "schedule.parquet"))
    assert (
        drawn.sha256 == replayed.sha256 == json.loads((out / "summary.json").read_text())["schedule_sha256"]
    )
    assert drawn.recipe == replayed.recipe
    assert len(server.asked) == len(drawn) > 200
    assert drawn.sha256 in capsys.readouterr().out


@pytest.mark.parametrize("quiet", [False, True])
def test_what_transforms_kept_is_told_before_the_run_unless_it_is_to_be_quiet(quiet):
    console = Console(record=True, width=60, file=io.StringIO())
    workload = WorkloadOptions(rate_per_s=100, duration_ns=SECOND // 5, transforms=("scale:2", "warp:2"))
    with TinyServer() as server:
        finished = run_load(workload, RunOptions(target=server.target), "digits", console, quiet=quiet)
    told = [line for line in console.export_text().splitlines() if line.startswith(("scale:2: ", "warp:2: "))]
    assert told == ([] if quiet else finished.schedule.recipe["fidelity"])
    assert finished.schedule.duration_ns == SECOND // 10


def test_an_arrival_process_is_replayed():
    workload = WorkloadOptions(
        process="onoff:on=400/s,on_time=100ms,off_time=100ms", duration_ns=SECOND, seed=3
    )
    with TinyServer() as server:
        finished = run(server, workload)
    assert ends(finished) == {"ok": len(server.asked)}
    assert finished.schedule.recipe["process"].startswith("onoff")


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (([0, 5], [0, 9999], [0, 0], (Lane("digits"),)), "sends payload 9999 to digits, and there are"),
        (([0, 5], [0, 9999], [0, 1], (Lane("digits", "a"), Lane("m", "b"))), "sends payload 9999 to m/b"),
        (([], [], [], (Lane("digits"),)), "has no request"),
    ],
)
def test_a_schedule_that_cannot_be_replayed_is_refused(schedule, reason):
    intended_ns, payload, lane, lanes = schedule
    made = Schedule(
        np.array(intended_ns, np.int64), np.array(payload, np.int32), np.array(lane, np.uint8), lanes, {}
    )
    options = RunOptions(target=Target("127.0.0.1", 1, "/"))
    with pytest.raises(UsageError, match=reason):
        run_load(WorkloadOptions(), options, "digits", CONSOLE, quiet=True, schedule=made)


def test_connections_that_are_gone_take_no_memory_while_a_run_goes_on(monkeypatch):
    """No collection runs meanwhile: what refers to itself in a circle would stay to the end."""
    left: list[int] = []

    @contextlib.contextmanager
    def uncollected():
        gc.collect()
        gc.disable()
        try:
            yield
        finally:
            left.append(sum(isinstance(found, ClientConnection) for found in gc.get_objects()))
            gc.enable()

    async def closing(asked: Asked) -> bytes:
        return http(reply(asked), head="Connection: close\r\n")

    monkeypatch.setattr("streambox.loadgen.run.collector_paused", uncollected)
    with TinyServer(closing) as server:
        assert ends(run(server, connections=16)) == {"ok": 200}
    assert server.connections >= 200
    assert left[0] <= 16


def test_a_stall_is_felt_on_thousands_of_connections_however_few_files_may_be_open_at_first():
    """The soft limit on open files is raised to the hard one."""
    together = 4200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * together:
        pytest.skip(f"no more than {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server is in this process
    try:
        with TinyServer(Stall(first=0, last=together - 1)) as server:
            arguments = command("--url", server.target.url, "--rate", together // 2, "--duration", "2s")
            arguments += ["--arrivals", "constant", "--connections", "5000", "--timeout", "90s"]
            arguments += ["--check", "id", "--allow-invalid", "--quiet", "--json"]
            limited = ["sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *arguments]
            done = subprocess.run(limited, capture_output=True, text=True, timeout=100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["ok"] == summary["offered"] == together == server.most_at_once
    assert summary["response_ms"]["max"] >= 1999  # the first was answered when the last had come


def test_where_fewer_files_may_be_open_than_connections_are_asked_for_what_is_due_waits():
    async def deaf(asked: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    with TinyServer(deaf) as server:
        arguments = command("--url", server.target.url, "--rate", 400, "--duration", "500ms", "--quiet")
        arguments += ["--connections", "50000", "--timeout", "500ms", "--json"]
        limited = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *arguments]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert set(json.loads(done.stdout)["errors"]) == {"timeout", "unsent"}  # and none that failed to connect
