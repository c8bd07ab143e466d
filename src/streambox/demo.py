"""``streambox demo``: the real server in a process of its own, half a minute of bursty load, a report."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streambox.errors import RunFailed
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, prepare_folder, run_load, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

MODEL: Final = "digits"
_START_S: Final = 60.0
_STOP_S: Final = 40.0
_CONFIG: Final = """\
batcher: {{host: 127.0.0.1, port: {port}}}
models:
  digits: {{builtin: digits, time_window: 5ms, max_batch_size: 32}}
log: {{level: warning}}
"""


def run_demo(
    folder: Path, console: Console, *, seconds: int, multiple: float, seed: int, quiet: bool = False
) -> Finished:
    """
    Serve ``digits`` on a free port, replay *seconds* of the bursty pattern, write *folder*.

    Raises RunFailed when the server does not start, or does not end cleanly.
    """
    prepare_folder(folder)
    workload = WorkloadOptions(type="bursty", multiple=multiple, length=seconds, seed=seed)
    with served_digits() as port:
        console.print(
            f"serving {MODEL} on http://127.0.0.1:{port}, replaying {seconds} s of a bursty workload"
        )
        options = RunOptions(target=Target("127.0.0.1", port, "/api/batcher"))
        finished = run_load(workload, options, MODEL, console, quiet=quiet)
    write_run(folder, finished)
    return finished


@contextlib.contextmanager
def served_digits() -> Iterator[int]:
    """A ``streambox serve`` of its own, ready, as its port; ended by SIGTERM, which must drain and exit 0."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="streambox-demo-") as scratch:
        config = Path(scratch) / "demo.yaml"
        config.write_text(_CONFIG.format(port=port))
        with (Path(scratch) / "server.log").open("w+") as log:
            command = [sys.executable, "-m", "streambox", "serve", "--config", str(config)]
            # A session of its own: Ctrl-C ends the load first, then we end the server.
            server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            try:
                _await_ready(server, port, log.name)
                yield port
            finally:
                code = _stop(server)
        if code != 0:
            raise RunFailed(f"the server ended with exit code {code} instead of draining cleanly")


def _await_ready(server: subprocess.Popen[bytes], port: int, log: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if _is_ready(port):
            return
        time.sleep(0.05)
    last = Path(log).read_text().strip().splitlines()[-1:] or ["it said nothing"]
    raise RunFailed(f"the demo's server did not start: {last[0]}")


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:  # refused, or answered 503
        return False


def _stop(server: subprocess.Popen[bytes]) -> int:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        return server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
