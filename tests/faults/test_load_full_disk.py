"""A disk, or an output, that can take no more, before and in the middle of ``streambox load``."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from load_process import BRIEF, complaint, kinds, load
from rude_server import WHOLE, RudeServer, bytes_of, well
from streambox.errors import RunFailed
from streambox.loadgen import record
from streambox.loadgen.columns import ColumnFolder
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import check_finished, run_load
from streambox.loadgen.spool import recover
from streambox.loadgen.target import parse_url

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = ("--concurrency", 8, "--duration", "1s", "--check", "none", "--quiet")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 MiB: enough for the files of a run, and soon filled."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left; the file that has it."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(size))
    return path


def small_files() -> None:
    """In the process that is to run: no file beyond 20 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 10, 20 << 10))


# ---- before the run ------------------------------------------------------------------------------


def test_no_room_for_the_outcomes_is_found_out_before_anything_is_sent(small_disk):
    fill(small_disk)
    with RudeServer(well) as server:
        done = load("--url", server.url, *BRIEF, "--out", small_disk)
    line = complaint(done, code=2)
    assert "cannot be written" in line
    assert "No space left on device" in line
    assert server.asked == 0


def test_no_room_in_the_temporary_folder_likewise(small_disk):
    os.truncate(filler := fill(small_disk), filler.stat().st_size - (64 << 10))  # else it is not taken at all
    with RudeServer(well) as server:
        options = ("--rate", 10_000, "--duration", "1s", "--model", "any")
        done = load("--url", server.url, *options, env={**os.environ, "TMPDIR": str(small_disk)})
    line = complaint(done, code=2)
    assert "the temporary folder has no room" in line
    assert "TMPDIR names another one" in line
    assert server.asked == 0


def test_a_folder_that_can_only_be_read_is_found_out_before_anything_is_sent(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with RudeServer(well) as server:
        done = load("--url", server.url, *BRIEF, "--out", small_disk / "run")
    assert "cannot be written: Read-only file system" in complaint(done, code=2)
    assert server.asked == 0


# ---- in the middle -------------------------------------------------------------------------------


def test_an_open_loop_goes_on_since_it_took_its_room_beforehand(small_disk):
    """Also where a new kind of error comes, whose name there is no room for."""

    def answer(connection, number: int) -> None:
        if number == 5:
            fill(small_disk)
        (well if number < 10 else failing)(connection, number)

    failing = bytes_of(WHOLE.replace(b"200", b"599"))
    with RudeServer(answer) as server:
        done = load("--url", server.url, *BRIEF, "--out", small_disk / "run")
    assert "make room and call `streambox load recover" in complaint(done)
    assert "http_599" in done.stdout
    (small_disk / "filler").unlink()
    assert load("recover", small_disk / "run").returncode == 0
    assert kinds(small_disk / "run") == {"ok": 10, "http_599": 10}


def test_a_closed_loop_that_finds_no_room_for_more_ends_with_what_it_has(tmp_path, monkeypatch):
    """In this process, so that it need not be a quarter of a million requests until then."""
    monkeypatch.setattr(record, "_GROWN_AT_ONCE", 1024)
    grow = ColumnFolder.grow

    def full(folder: ColumnFolder, name: str, column, count: int):
        if count > 1024:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return grow(folder, name, column, count)

    monkeypatch.setattr(ColumnFolder, "grow", full)
    closed = {"concurrency": 8, "duration_ns": 60_000_000_000, "check": "none"}
    with RudeServer(well) as server:
        options = RunOptions(target=parse_url(server.url), **closed)
        finished = run_load(WorkloadOptions(), options, "any", Console(quiet=True), quiet=True, out=tmp_path)
    assert finished.outcomes.ok.sum() == len(finished.outcomes) == 1024
    with pytest.raises(RunFailed, match="no room for the records of further requests: No space left"):
        check_finished(finished.summary, allow_invalid=True)
    assert len(recover(tmp_path)[1]) == 1024


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_loop_without_room_for_its_first_records_ends_in_one_line(small_disk, workers):
    os.truncate(filler := fill(small_disk), filler.stat().st_size - (12 << 20))
    with RudeServer(well) as server:
        options = (
            "--concurrency",
            2,
            "--workers",
            workers,
            "--duration",
            "60s",
            "--check",
            "none",
            "--quiet",
        )
        done = load("--url", server.url, *options, "--out", small_disk)
    assert (
        complaint(done) == "streambox: no room for the records of further requests: No space left on device"
    )
    assert server.asked == 0


def test_a_limit_on_the_size_of_a_file_is_met_like_a_full_disk(tmp_path):
    with RudeServer(well) as server:
        done = load("--url", server.url, *CLOSED, "--out", tmp_path, preexec_fn=small_files)
    assert "no room for the records of further requests: File too large" in complaint(done)
    assert kinds(tmp_path) == {}


# ---- after the run -------------------------------------------------------------------------------


@pytest.mark.parametrize("printed", [(), ("--json",)], ids=["table", "json"])
def test_an_output_that_takes_nothing_costs_none_of_the_files(printed, tmp_path):
    with RudeServer(well) as server, open("/dev/full", "w") as full:
        done = load("--url", server.url, *BRIEF, *printed, "--out", tmp_path, stdout=full)
    assert complaint(done) == "streambox: standard output: No space left on device"
    assert kinds(tmp_path) == {"ok": 20}


def test_files_that_cannot_be_written_cost_none_of_the_output(small_disk):
    with RudeServer(lambda *asked: fill(small_disk) and well(*asked)) as server:
        done = load("--url", server.url, *BRIEF, "--out", small_disk / "run")
    assert "cannot be written" in complaint(done)
    assert "completed" in done.stdout
