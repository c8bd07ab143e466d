"""``streambox serve`` as a process of its own: started, waited for, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from streambox.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Address = tuple[str, int]

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 40.0  # more than the server's own limit on draining
_POLL_S: Final = 0.05
_SHOWN_LOG_LINES: Final = 20
_READABLE_LOG: Final = ("--set", "log.format=json", "--set", "log.level=info")


@contextlib.contextmanager
def serving(arguments: Sequence[str], log_file: Path) -> Iterator[Address]:
    """
    ``streambox serve`` with *arguments*; ready on entry, drained and gone on exit. Gives host and port.

    What it logs goes to *log_file*, which tells the port where it takes a free one.

    Raises RunFailed, with the server's own last words, when it does not start or does not exit with 0.
    """
    command = [sys.executable, "-m", "streambox", "serve", *arguments, *_READABLE_LOG]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
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


def _wait_until_ready(process: subprocess.Popen[bytes], log_file: Path) -> Address:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RunFailed(f"the server ended with code {process.returncode}: {_last_words(log_file)}")
        url = _listening(log_file)
        if url is not None and _is_ready(url):
            return str(url.hostname), int(url.port or 0)
        time.sleep(_POLL_S)
    raise RunFailed(f"the server was not ready after {_START_TIMEOUT_S:g} s: {_last_words(log_file)}")


def _listening(log_file: Path) -> SplitResult | None:
    """The URL that the server's log gives; it takes a free port, so nobody else knows."""
    for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, TypeError):
            entry = json.loads(line)
            if entry["event"] == "listening":
                return urlsplit(str(entry["url"]))
    return None


def _is_ready(url: SplitResult) -> bool:
    connection = _connection(url)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    host, port = str(url.hostname), int(url.port or 0)
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=1)
    context = ssl.create_default_context()
    context.check_hostname = False  # our own child on loopback: who else should it be
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=1, context=context)


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
