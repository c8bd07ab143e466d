"""The demo: a Batcher in a process of its own, half a minute of bursty load against it, a report."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import check_finished, prepare_folder, run_load, write_run
from streambox.server_process import serving

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
    """``streambox serve`` with *config*, ready on entry and gone on exit. Raises RunFailed."""
    with tempfile.TemporaryDirectory(prefix="streambox-demo-") as folder:
        config_file = Path(folder, "demo.yaml")
        config_file.write_text(config, encoding="utf-8")
        with serving(["--config", str(config_file)], Path(folder, "server.log")) as (host, port):
            yield Target(host, port, "/api/batcher")
