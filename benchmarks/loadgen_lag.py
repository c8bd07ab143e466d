"""
How late the Load Generator sends: ``python benchmarks/loadgen_lag.py``.

Replays Poisson arrivals at each rate against a static server on this machine (nginx where it is
installed, else a small one of our own) and prints send lag, the rate reached, and the generator's
CPU time per request. The generator runs on one core (one thread). What ``wrk``, where it is installed, gets
out of the same server closed-loop stands beside it: the most that could be asked of it here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console

from streambox.errors import UsageError
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.process import at_priority
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, run_load

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
BODY = '{"request_id":"0000000000","model":"double","output":[2,4,6,8]}'
CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{body}'; }}
  }}
}}
"""


@contextlib.contextmanager
def static_server(builtin: bool) -> Iterator[tuple[int, str]]:
    """The port and the name of a server that answers every request alike."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        if NGINX and not builtin:
            config = Path(folder, "nginx.conf")
            config.write_text(CONFIG.format(folder=folder, port=port, body=BODY))
            command, name = [NGINX, "-c", str(config), "-e", f"{folder}/error.log"], nginx_version()
        else:
            command = [sys.executable, "-m", "streambox.loadgen.static_server", str(port)]
            name = "our own static server"
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            wait_until_open(port, process)
            yield port, name
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"the static server ended with code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    sys.exit("the static server does not listen after 10 s")


def nginx_version() -> str:
    found = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True).stderr
    return found.strip().rpartition(": ")[2]


def measure(
    port: int, rate_per_s: float, seconds: float, seed: int, *, realtime: bool = False
) -> tuple[Finished, float]:
    """One run, and the generator's CPU seconds."""
    target = Target("127.0.0.1", port, "/api/batcher")
    workload = WorkloadOptions(rate_per_s=rate_per_s, duration_ns=round(seconds * 1e9), seed=seed)
    before = time.process_time()
    options = RunOptions(target=target, check="none", realtime=realtime)
    finished = run_load(workload, options, "double", Console(stderr=True), quiet=True)
    return finished, time.process_time() - before


def wrk_per_s(port: int, seconds: float) -> float | None:
    """What one thread of wrk with 64 connections reaches; None where there is no wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    command = [wrk, "-t1", "-c64", f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{port}/api/batcher"]
    found = re.search(
        r"Requests/sec:\s*([\d.]+)", subprocess.run(command, capture_output=True, text=True).stdout
    )
    return float(found[1]) if found else None


def row(rate_per_s: float, finished: Finished, cpu_s: float) -> str:
    summary = finished.summary
    lag = summary["send_lag_us"]
    return (
        f"{rate_per_s:>8,.0f}/s {summary['throughput_per_s']:>10,.0f}/s"
        f" {lag['p50']:>8.0f} {lag['p99']:>8.0f} {lag['p99_9']:>8.0f} {lag['max']:>9.0f}"
        f" {cpu_s / summary['offered'] * 1e6:>9.1f} {summary['unsent'] + sum(summary['errors'].values()):>7}"
        f"  {summary['verdict']['status']}{'  realtime' if summary['environment']['realtime'] else ''}"
    )


def may_be_realtime() -> bool:
    try:
        with at_priority(realtime=True):
            return True
    except UsageError as error:
        print(f"without real-time priority: {error}")
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[1_000, 10_000, 30_000])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--builtin", action="store_true", help="do not use nginx")
    args = parser.parse_args()
    priorities = (False, True) if may_be_realtime() else (False,)
    with static_server(args.builtin) as (port, name):
        print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, ", end="")
        print(f"uvloop {uvloop.__version__}, {name}; {args.seconds:g} s a run")
        print(f"{'offered':>10} {'answered':>12} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>9}", end="")
        print(f" {'CPU/req':>9} {'failed':>7}  verdict   (send lag and CPU in µs)")
        for seed in range(args.rounds):
            for rate_per_s in args.rates:
                for realtime in priorities:
                    found = measure(port, rate_per_s, args.seconds, seed, realtime=realtime)
                    print(row(rate_per_s, *found), flush=True)
        most_per_s = wrk_per_s(port, args.seconds)
        if most_per_s is not None:
            print(f"{'wrk -t1 -c64, closed loop':>25} {most_per_s:,.0f}/s")


if __name__ == "__main__":
    main()
