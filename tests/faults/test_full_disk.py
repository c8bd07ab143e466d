"""A disk that is full, or fills up while a run goes on: one line, and nothing that has come is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from streambox.errors import RunFailed
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import check_finished, run_load
from streambox.loadgen.spool import recover
from tiny_server import Asked, TinyServer

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
MIB = 1 << 20
STREAMBOX = (sys.executable, "-m", "streambox")


@pytest.fixture
def disk(tmp_path):
    """``disk(size)``: a folder on a file system of its own that holds so many bytes."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def load(server: TinyServer, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*STREAMBOX, "load", "--url", server.target.url, "--quiet", "--allow-invalid"]
    command += map(str, arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = done.stderr.strip().splitlines()
    return line


def test_too_little_room_for_the_records_is_found_out_before_anything_is_sent(disk):
    with TinyServer() as server:
        done = load(server, "--rate", 10_000, "--duration", "10s", "--out", disk(4 * MIB))
    assert done.returncode == 2
    assert only_line(done).endswith("cannot be written: No space left on device")
    assert server.asked == []


def test_a_disk_that_fills_up_under_way_does_not_hurt_the_records(disk):
    """Their room was taken before. What has none is the files at the end."""
    folder = disk(16 * MIB)
    out = folder / "run"

    async def greedy(asked: Asked) -> bytes:
        if asked.number == 0:
            fill(folder)
        return b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"  # a new kind, which is written down, too

    with TinyServer(greedy) as server:
        done = load(server, "--rate", 500, "--duration", "400ms", "--out", out)
        asked = len(server.asked)
    assert done.returncode == 1
    assert f"{out}: cannot be written: " in only_line(done)
    assert "No space left on device" in only_line(done)
    assert f"streambox load recover {out}" in only_line(done)
    (folder / "filler").unlink()
    recovered = subprocess.run([*STREAMBOX, "load", "recover", str(out)], capture_output=True, text=True)
    assert recovered.returncode == 0, recovered.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["errors"] == {"http_500": asked}
    assert summary["offered"] == asked > 100


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_loop_without_room_for_its_records_ends_in_one_line(disk, workers):
    arguments = ("--concurrency", 2, "--workers", workers, "--duration", "60s")
    with TinyServer() as server:
        done = load(server, *arguments, "--out", disk(12 * MIB))
    assert done.returncode == 1
    assert (
        only_line(done) == "streambox: no room for the records of further requests: No space left on device"
    )
    assert server.asked == []


def test_a_closed_loop_whose_disk_fills_up_keeps_what_it_has(disk, monkeypatch):
    monkeypatch.setattr("streambox.loadgen.record._GROWN_AT_ONCE", 1024)  # some 80 kB
    options = {"concurrency": 2, "duration_ns": 60 * SECOND}
    with TinyServer() as server:
        chosen = RunOptions(target=server.target, check="none", **options)
        workload = WorkloadOptions(duration_ns=60 * SECOND)
        folder = disk(MIB)
        finished = run_load(workload, chosen, "digits", Console(quiet=True), quiet=True, out=folder)
        asked = len(server.asked)
    assert finished.summary["verdict"]["status"] == "failed"
    with pytest.raises(RunFailed, match="no room for the records of further requests"):
        check_finished(finished.summary, allow_invalid=True)
    assert finished.summary["ok"] == len(finished.outcomes) == asked > 1024
    assert len(recover(folder)[1]) == asked


def fill(folder: Path) -> None:
    """Take all the room that is left in *folder*."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
