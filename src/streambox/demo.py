"""The demo: a Batcher in a process of its own, half a minute of bursty load against it, a report."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from streambox.errors import RunFailed
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import check_finished, prepare_folder, run_load, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

SERVER_CONFIG: Final = """
batcher: {host: 127.0.0.1, port: 0}
models:
  digits: {executor: onnx, builtin: digits, time_window: 5ms}
log: {format: json}
"""
MODEL: Final = "digits"
_NS_PER_S: Final = 1_000_000_000
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 40.0  # more than the server's own limit on draining
_POLL_S: Final = 0.05
_SHOWN_LOG_LINES: Final = 20


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How long, how hard; ``multiple`` 1 means about 1500 requests/s on average, 3000 in a burst."""

    duration_ns: int = 30 * _NS_PER_S
    multiple: float = 0.3
    seed: int = 17
    out: Path = Path("runs/demo")
    quiet: bool = False


def run_demo(options: DemoOptions, console: Console) -> dict[str, Any]:
    """
    Serve, load, stop, write ``options.out``. Returns the contents of summary.json.

    Raises:
        RunFailed: The server did not start or did not drain, or nothing was answered.
            Wrong answers and a schedule that was not kept are for the caller to judge.
    """
    prepare_folder(options.out)
    units = max(1, round(options.duration_ns / _NS_PER_S))
    workload = WorkloadOptions(type="bursty", multiple=options.multiple, length=units, seed=options.seed)
    with running_server() as target:
        run = RunOptions(target=target)
        finished = run_load(workload, run, MODEL, console, quiet=options.quiet, out=options.out)
    write_run(options.out, finished)
    return finished.summary


def judge(summary: dict[str, Any]) -> str | None:
    """
    A warning where the machine was too busy to keep the schedule, else None.

    Raises RunFailed when an answer was wrong, or none came.
    """
    check_finished(summary, allow_invalid=True)
    verdict = summary["verdict"]
    return None if verdict["valid"] else f"{verdict['status']}: {'; '.join(verdict['reasons'])}"


# ---- the server ----------------------------------------------------------------------------------


@contextlib.contextmanager
def running_server(config: str = SERVER_CONFIG) -> Iterator[Target]:
    """
    ``streambox serve`` with *config* in a process of its own; ready on entry, drained and gone on exit.

    Raises RunFailed, with the server's own last words, when it does not start or does not exit with 0.
    """
    with tempfile.TemporaryDirectory(prefix="streambox-demo-") as folder:
        config_file, log_file = Path(folder, "demo.yaml"), Path(folder, "server.log")
        config_file.write_text(config, encoding="utf-8")
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "streambox", "serve", "--config", str(config_file)],
                stderr=log,
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is ours: the server is stopped after its last answer
            )
        try:
            yield _wait_until_ready(process, log_file)
        except BaseException:
            process.kill()
            process.wait()
            raise
        _stop(process, log_file)


def _wait_until_ready(process: subprocess.Popen[bytes], log_file: Path) -> Target:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RunFailed(f"the server ended with code {process.returncode}: {_last_words(log_file)}")
        target = _listening(log_file)
        if target is not None and _is_ready(target):
            return target
        time.sleep(_POLL_S)
    raise RunFailed(f"the server was not ready after {_START_TIMEOUT_S:g} s: {_last_words(log_file)}")


def _listening(log_file: Path) -> Target | None:
    """The address that the server's log gives; it takes a free port, so nobody else knows."""
    for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, TypeError):
            entry = json.loads(line)
            if entry["event"] == "listening":
                url = urlsplit(entry["url"])
                return Target(str(url.hostname), int(url.port or 0), "/api/batcher")
    return None


def _is_ready(target: Target) -> bool:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=1)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes], log_file: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RunFailed(
            f"the server did not stop within {_STOP_TIMEOUT_S:g} s: {_last_words(log_file)}"
        ) from None
    if code:
        raise RunFailed(f"the server ended with code {code}: {_last_words(log_file)}")


def _last_words(log_file: Path) -> str:
    lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(["it logged:", *lines[-_SHOWN_LOG_LINES:]]) if lines else "it logged nothing"
