"""What the benchmarks share: servers in processes of their own, their CPU time, wrk, ratios."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
PEERS = HERE / ".peers"
NULL_BODY = '{"request_id":"0","model":"double","data":{"vector":[1,2,3,4]}}'
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Side:
    """A server under measurement; ``ready``: where to GET readiness, else a post must succeed."""

    name: str
    command: list[str]
    port: int
    path: str
    ready: str = ""


@contextlib.contextmanager
def running(side: Side) -> Iterator[subprocess.Popen[bytes]]:
    """*side* up and answering; ended by SIGTERM to its own process group, then SIGKILL."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(side.command, stdout=log, stderr=log, start_new_session=True)
        try:
            _await_answer(side, process, log)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await_answer(side: Side, process: subprocess.Popen[bytes], log: Any) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            if (get(side, side.ready) if side.ready else ask(side))[0] == 200:
                return
        time.sleep(0.1)
    log.seek(0)
    sys.exit(f"{side.name} does not answer: {log.read().decode(errors='replace')[-800:]}")


def ask(side: Side, body: str = NULL_BODY) -> tuple[int, Any]:
    """Status and decoded reply of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=10)
    try:
        connection.request("POST", side.path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = reply.read()
        return reply.status, json.loads(content) if content else None
    finally:
        connection.close()


def get(side: Side, path: str) -> tuple[int, Any]:
    """Status and decoded reply of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of *pid* and all its living descendants."""
    total = 0.0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _tree(pid: int) -> list[int]:
    members = [pid]
    for member in members:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                members += map(int, (task / "children").read_text().split())
    return members


@dataclass(frozen=True)
class WrkResult:
    per_s: float
    p50_ms: float
    p99_ms: float
    requests: int
    faults: str


def wrk(side: Side, seconds: float, connections: int = 64, body: str = NULL_BODY) -> WrkResult:
    """``wrk -t1`` with the issue's request; ``faults`` is empty when every answer was 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method='POST'\nwrk.body='{body}'\nwrk.headers['Content-Type']='application/json'\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--latency", "-s", script.name]
        out = subprocess.run(
            [*command, f"http://127.0.0.1:{side.port}{side.path}"], capture_output=True, text=True, check=True
        ).stdout
    faults = " ".join(
        line.strip() for line in out.splitlines() if "Non-2xx" in line or "Socket errors" in line
    )
    return WrkResult(
        float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        _wrk_ms(out, "50%"),
        _wrk_ms(out, "99%"),
        int(re.search(r"(\d+) requests in", out)[1]),
        faults,
    )


def _wrk_ms(out: str, percentile: str) -> float:
    number, unit = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", out).groups()
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(config: str = "null.yaml", path: str = "/api/batcher") -> Side:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "streambox",
        "serve",
        "--config",
        str(HERE / config),
        "--port",
        str(port),
    ]
    return Side("StreamBox", command, port, path)


def mosec() -> Side:
    port = free_port()
    python = peer_python("mosec")
    scratch = tempfile.mkdtemp(prefix="mosec-")
    script = str(HERE / "peers" / "mosec_null.py")
    command = [python, script, "--address", "127.0.0.1", "--port", str(port), "--path", f"{scratch}/ipc"]
    return Side("Mosec", command, port, "/inference")


def peer_python(name: str) -> str:
    """The interpreter of peer *name*'s own environment, made on first use."""
    folder = PEERS / name
    python = folder / "bin" / "python"
    requirements = HERE / "peers" / f"requirements-{name}.txt"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"setting up {name} in {folder.relative_to(HERE.parent)} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
        subprocess.run([*install, str(requirements)], check=True)
        stamp.write_text(requirements.read_text())
    return str(python)


def nginx_side(reply: str) -> tuple[Side, tempfile.TemporaryDirectory[str]] | None:
    """A static 200 of *reply*, the ceiling for any server here; None where nginx is not installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="nginx-")
    port = free_port()
    paths = " ".join(f"{kind}_temp_path {folder.name}/{kind};" for kind in _NGINX_PATHS)
    config = Path(folder.name, "nginx.conf")
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder.name}/pid; error_log {folder.name}/error.log;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; keepalive_requests 1000000000; {paths}"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '{reply}'; }} }} }}"
    )
    return Side(
        "nginx static", [binary, "-c", str(config), "-e", f"{folder.name}/error.log"], port, "/"
    ), folder


_NGINX_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = found[1] if found else model
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}
