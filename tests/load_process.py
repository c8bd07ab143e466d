"""``streambox load`` as a process of its own, and what it must leave: one line, an exit code, a record."""

from __future__ import annotations

import collections
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"schedule.parquet", "outcomes.parquet", "summary.json", "report.html"}
# 20 requests in 0.4 s.
BRIEF = ("--rate", 50, "--duration", "400ms", "--arrivals", "constant", "--check", "none", "--quiet")


def load_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "streambox", "load", *map(str, arguments)]


def load(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """*options*: as for ``subprocess.run``."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(load_command(*arguments), text=True, timeout=60, **streams)


def complaint(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one line that the command has to say on its way out."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("streambox: ")
    return line


def kinds(folder: Path) -> dict[str, int]:
    """How many requests ended how, by the record that the run left beside its other files."""
    assert {path.name for path in folder.iterdir()} == FILES
    return dict(collections.Counter(pq.read_table(folder / "outcomes.parquet")["kind"].to_pylist()))
