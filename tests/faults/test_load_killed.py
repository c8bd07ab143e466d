"""``streambox load`` killed, or short of what a process needs, in the middle of a run."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess

import pyarrow.parquet as pq
import pytest

from load_process import BRIEF, FILES, complaint, kinds, load, load_command
from rude_server import RudeServer, nothing, well

LONG = ("--check", "none", "--quiet", "--timeout", "60s", "--connections", 60)


def run_and_kill(server: RudeServer, after: int, *arguments: object) -> None:
    """SIGKILL once *server* has been asked so often."""
    process = subprocess.Popen(load_command("--url", server.url, *LONG, *arguments))
    try:
        server.wait_until_asked(after)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(("--rate", 500), id="open"),
        pytest.param(("--rate", 500, "--workers", 2), id="open, two workers"),
        pytest.param(("--concurrency", 60), id="closed"),
    ],
)
def test_what_a_killed_run_had_is_recovered_and_what_was_in_flight_is_told_apart(workload, tmp_path):
    with RudeServer(lambda *asked: (well if asked[1] < 50 else nothing)(*asked)) as server:
        run_and_kill(server, 100, *workload, "--duration", "60s", "--out", tmp_path)
    assert not FILES & {path.name for path in tmp_path.iterdir()} - {"schedule.parquet"}
    recovered = load("recover", tmp_path)
    assert recovered.returncode == 0, recovered.stderr
    assert "completed" in recovered.stdout
    assert set(kinds(tmp_path)) <= {"ok", "interrupted", "unsent"}
    outcomes = pq.read_table(tmp_path / "outcomes.parquet")
    # To be asked 100 times over 60 connections, the server must have been read 40 times.
    assert 40 <= sum(done_ns >= 0 for done_ns in outcomes["done_ns"].to_pylist()) <= 50
    assert sum(sent_ns >= 0 for sent_ns in outcomes["sent_ns"].to_pylist()) >= 99


def test_what_has_been_recovered_once_is_done(tmp_path):
    with RudeServer(well) as server:
        run_and_kill(server, 20, "--rate", 500, "--duration", "60s", "--out", tmp_path)
    assert load("recover", tmp_path).returncode == 0
    assert "no run to recover" in complaint(load("recover", tmp_path), code=2)


def few_files() -> None:
    """In the process that is to run: no more than 64 open files, unless it asks for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))


def test_as_many_connections_are_opened_as_the_system_allows(tmp_path):
    with RudeServer(well) as server:
        options = ("--concurrency", 150, "--duration", "300ms", "--check", "none", "--quiet")
        done = load("--url", server.url, *options, "--out", tmp_path, preexec_fn=few_files)
    assert done.returncode == 0, done.stderr
    assert set(kinds(tmp_path)) == {"ok"}


def test_what_is_due_beyond_a_hard_limit_on_open_files_waits_and_is_said_to_be_unsent(tmp_path):
    def hardly_any_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    with RudeServer(nothing) as server:
        options = ("--rate", 200, "--duration", "500ms", "--check", "none", "--quiet", "--timeout", "1s")
        done = load("--url", server.url, *options, "--out", tmp_path, preexec_fn=hardly_any_files)
    assert "were not sent" in complaint(done) or "answered right" in done.stderr
    assert set(kinds(tmp_path)) == {"timeout", "unsent"}


@pytest.mark.parametrize("progress", ["a full device", "a closed pipe"])
def test_a_progress_display_that_nobody_can_read_costs_no_run(progress, tmp_path):
    with RudeServer(well) as server, contextlib.ExitStack() as stack:
        if progress == "a full device":
            stderr = stack.enter_context(open("/dev/full", "w"))
        else:
            reader, writer = os.pipe()
            os.close(reader)
            stderr = stack.enter_context(os.fdopen(writer, "w"))
        options = [option for option in BRIEF if option != "--quiet"]
        done = load("--url", server.url, *options, "--allow-invalid", "--out", tmp_path, stderr=stderr)
    assert done.returncode == 0
    assert kinds(tmp_path) == {"ok": 20}


def test_wrong_usage_has_its_exit_code_also_where_it_cannot_be_told():
    with open("/dev/full", "w") as full:
        assert load("--rate", "nan", stderr=full).returncode == 2
