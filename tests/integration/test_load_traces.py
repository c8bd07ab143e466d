"""Traces replayed against a real server, from the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from streambox.cli import main
from streambox.loadgen.payload import make_payloads
from streambox.workload.schedule import Lane, Schedule
from tiny_server import TinyServer

MS = 1_000_000


def streambox(monkeypatch, *arguments: object) -> int:
    """The exit code of ``streambox`` with *arguments*."""
    monkeypatch.setattr(sys, "argv", ["streambox", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


@pytest.fixture
def trace(tmp_path):
    """60 requests, 10 ms apart, the last of them first; two functions."""
    path = tmp_path / "calls.csv"
    rows = [f"app,{'fg'[number % 2]},{number / 100 + 7:.2f},1.5" for number in range(60)]
    path.write_text("\n".join(["app,func,end_timestamp,duration", *reversed(rows)]))
    return path


def test_a_trace_is_replayed_call_by_call(trace, tmp_path, monkeypatch, capsys):
    with TinyServer() as server:
        arguments = ("--url", server.target.url, "--out", tmp_path / "run", "--allow-invalid")
        assert streambox(monkeypatch, "load", "--trace", trace, *arguments) == 0
    told = capsys.readouterr().err
    assert f"{trace}: azure-functions-2021, 60 rows, 0 of them skipped, 2 functions" in told
    assert sorted(asked.index for asked in server.asked) == list(range(60))
    outcomes = pq.read_table(tmp_path / "run" / "outcomes.parquet")
    assert outcomes["intended_ns"].to_pylist() == [number * 10 * MS for number in range(60)]
    assert (outcomes["sent_ns"].to_numpy() >= outcomes["intended_ns"].to_numpy()).all()
    recipe = Schedule.from_parquet(tmp_path / "run" / "schedule.parquet").recipe
    assert recipe["trace"]["path"] == str(trace)
    assert recipe["trace"]["sha256"][:16] in (tmp_path / "run" / "report.html").read_text()


def test_an_imported_trace_is_replayed_as_if_it_were_read_then(trace, tmp_path, monkeypatch, capsys):
    out = tmp_path / "schedule.parquet"
    assert streambox(monkeypatch, "workload", "import", trace, "--out", out, "--seed", 3) == 0
    with TinyServer() as server:
        sending = ("--url", server.target.url, "--allow-invalid", "--quiet")
        runs = {
            "imported": ("--schedule", out),
            "read": ("--trace", trace, "--seed", 3),
        }
        for name, workload in runs.items():
            folder = tmp_path / name
            assert streambox(monkeypatch, "load", *workload, *sending, "--out", folder) == 0
    replayed = [Schedule.from_parquet(tmp_path / name / "schedule.parquet").sha256 for name in runs]
    assert replayed == [Schedule.from_parquet(out).sha256] * 2
    assert len(server.asked) == 120


def test_the_busiest_function_of_a_trace_can_be_replayed_alone_for_a_tenant(trace, tmp_path, monkeypatch):
    with TinyServer() as server:
        rule = ("--map", "top-k:1", "--models", "digits", "--tenants", "acme")
        sending = ("--url", server.target.url, "--out", tmp_path / "run", "--allow-invalid", "--quiet")
        assert streambox(monkeypatch, "load", "--trace", trace, *rule, *sending) == 0
    schedule = Schedule.from_parquet(tmp_path / "run" / "schedule.parquet")
    assert schedule.lanes == (Lane("digits", "acme"),)
    assert len(server.asked) == len(schedule) == 30


def test_skipped_rows_are_reported_where_a_trace_is_replayed(trace, tmp_path, monkeypatch, capsys):
    trace.write_text(trace.read_text() + "\napp,f,soon,1\n")
    with TinyServer() as server:
        sending = ("--url", server.target.url, "--allow-invalid", "--quiet")
        assert streambox(monkeypatch, "load", "--trace", trace, *sending) == 2
        assert "calls.csv:62: end_timestamp is 'soon': expected a number" in capsys.readouterr().err
        assert streambox(monkeypatch, "load", "--trace", trace, "--on-bad-row", "skip", *sending) == 0
    told = capsys.readouterr().err
    assert "61 rows, 1 of them skipped" in told
    assert "note: line 62: end_timestamp is 'soon'" in told


def test_how_long_a_traces_functions_ran_is_told_where_it_is_replayed(tmp_path, monkeypatch, capsys):
    trace, durations = tmp_path / "counts.csv", tmp_path / "durations.csv"
    trace.write_text("HashOwner,HashApp,HashFunction,Trigger,1\no,a,f,http,1200\n")
    columns = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum"
    durations.write_text(f"{columns}\no,a,f,62,9,8,2210\n")
    with TinyServer() as server:
        sending = ("--url", server.target.url, "--out", tmp_path / "run", "--allow-invalid", "--quiet")
        part = ("--to", "1s", "--durations", durations)
        assert streambox(monkeypatch, "load", "--trace", trace, *part, *sending) == 0
    schedule = Schedule.from_parquet(tmp_path / "run" / "schedule.parquet")
    (lane,) = schedule.recipe["durations"]["lanes"]
    assert (lane["timed"], lane["mean_ms"]) == (len(schedule), 62)
    count = f"{len(schedule)} of {len(schedule)} requests timed"
    assert f"  digits: {count}, in ms: mean 62, min 8, max 2,210" in capsys.readouterr().err


def test_an_interrupted_import_leaves_nothing_behind(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "streambox", "workload", "import", pipe, "--out", tmp_path / "s.parquet"]
    child = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    rows = b"".join(b"%d.5\n" % number for number in np.arange(200_000))
    with open(pipe, "wb", buffering=0) as end:
        end.write(rows)  # more than a pipe holds: once it is written the child is reading
        child.send_signal(signal.SIGINT)
        # Of a signal that comes just before a read blocks Python takes notice once the read returns: so it
        # must, until nobody reads any more.
        with contextlib.suppress(BrokenPipeError):
            while True:
                end.write(rows)
    _, told = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "Traceback" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_the_payloads_of_a_trace_are_made_once(trace, monkeypatch):
    made = []

    def make(target, model, *more):
        made.append(model)
        return make_payloads(target, model, *more)

    monkeypatch.setattr("streambox.loadgen.payload.make_payloads", make)
    with TinyServer() as server:
        arguments = ("--url", server.target.url, "--trace", trace, "--allow-invalid", "--quiet")
        assert streambox(monkeypatch, "load", *arguments) == 0
    assert made == ["digits"]
