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

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
PEERS = HERE / ".peers"
NULL_BODY = '{"request_id":"0","model":"double","data":{"vector":[1,2,3,4]}}'
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Side:
    """
    A server under measurement.

    ``ready``: where to GET readiness, else a post must succeed. ``scratch``: its folder, removed after it.
    """

    name: str
    command: list[str]
    port: int
    path: str
    ready: str = ""
    scratch: str = ""


@contextlib.contextmanager
def running(side: Side) -> Iterator[subprocess.Popen[bytes]]:
    """*side* up and answering; afterwards it and all that it started have ended."""
    with tempfile.TemporaryFile() as log:
        try:
            with ending(
                subprocess.Popen(side.command, stdout=log, stderr=log, start_new_session=True)
            ) as process:
                _await_answer(side, process, log)
                yield process
        finally:
            if side.scratch:
                shutil.rmtree(side.scratch, ignore_errors=True)


@contextlib.contextmanager
def ending(process: subprocess.Popen[Any], by: int = signal.SIGTERM) -> Iterator[subprocess.Popen[Any]]:
    """*process*, ended *by* that signal; after 10 s, or if interrupted meanwhile, killed with its tree."""
    try:
        yield process
    finally:
        tree = _births(process.pid) if process.poll() is None else {}
        try:
            process.send_signal(by)
            process.wait(10)
        except subprocess.TimeoutExpired:
            tree |= _births(process.pid)
        finally:
            _kill(tree)
            process.wait()


def _kill(tree: dict[int, int]) -> None:
    """SIGKILL to those of *tree* that live; a number that is another process's by now is left alone."""
    for pid, born in tree.items():
        with contextlib.suppress(OSError):
            if _birth(pid) == born:
                os.kill(pid, signal.SIGKILL)


def _births(pid: int) -> dict[int, int]:
    found = {}
    for member in tree_of(pid):
        with contextlib.suppress(OSError):
            found[member] = _birth(member)
    return found


def _birth(pid: int) -> int:
    """When *pid* started, in ticks since boot. Raises OSError."""
    return int(_stat(pid)[19])


def _stat(pid: int) -> list[str]:
    """``/proc/PID/stat`` from its third field on. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


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


def nginx_requests(side: Side) -> int:
    """How many requests nginx has taken since its start, this question among them."""
    _, page = _fetch(side, "/status")
    return int(re.search(rb"(\d+)\s*Reading", page)[1])


def get(side: Side, path: str) -> tuple[int, Any]:
    """Status and decoded reply of a GET."""
    status, content = _fetch(side, path)
    return status, json.loads(content)


def _fetch(side: Side, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def check_null(side: Side) -> dict[str, Any]:
    """The reply to one request of the null model, which has to be the right one."""
    status, reply = ask(side)
    if status != 200 or reply["output"] != [2, 4, 6, 8] or reply["request_id"] != "0":
        sys.exit(f"{side.name} answers wrongly: {status} {reply}")
    return reply


def batches(side: Side) -> tuple[float, float] | None:
    """Rows and batches since its start, by its own /metrics; None where it tells none."""
    status, page = _fetch(side, "/metrics")
    pattern = r"^\w*batch_size\w*_{}\{{.*\}} (\S+)$"
    found = [re.search(pattern.format(kind), page.decode(), re.MULTILINE) for kind in ("sum", "count")]
    return (float(found[0][1]), float(found[1][1])) if status == 200 and all(found) else None


def cpu_seconds(pid: int) -> float:
    """User and system time of *pid* and all its living descendants."""
    total = 0.0
    for member in tree_of(pid):
        with contextlib.suppress(OSError):
            fields = _stat(member)
            total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def busy_seconds() -> float:
    """The time that all cores together have worked since boot, whoever for; stolen time, too."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS  # less idle, less waiting for a disk


def tree_of(pid: int) -> list[int]:
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


def wrk(side: Side, seconds: float, connections: int = 64, body: str = NULL_BODY) -> WrkResult:
    """``wrk -t1`` with the null model's request; ends the run unless every answer was 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method='POST'\nwrk.body='{body}'\nwrk.headers['Content-Type']='application/json'\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--latency", "-s", script.name]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{side.port}{side.path}"], capture_output=True, text=True
        )
    out = done.stdout
    faults = [line.strip() for line in out.splitlines() if "Non-2xx" in line or "Socket errors" in line]
    if done.returncode or faults or " 0 requests in" in out:
        sys.exit(f"{side.name} under wrk: {' '.join(faults) or done.stderr.strip() or 'no answers'}")
    return WrkResult(
        float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        _wrk_ms(out, "50%"),
        _wrk_ms(out, "99%"),
        int(re.search(r"(\d+) requests in", out)[1]),
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
    return Side("Mosec", command, port, "/inference", scratch=scratch)


def bare() -> Side:
    port = free_port()
    command = [sys.executable, str(HERE / "bare_batcher.py"), str(port)]
    return Side("bare batcher", command, port, "/api/batcher")


def litserve() -> Side:
    port = free_port()
    command = [peer_python("litserve"), str(HERE / "peers" / "litserve_null.py"), "--port", str(port)]
    return Side("LitServe", command, port, "/predict")


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


def nginx(reply: str) -> Side | None:
    """A static 200 of *reply*, the ceiling for any server here; None where nginx is not installed."""
    binary = nginx_binary()
    if binary is None:
        return None
    folder = tempfile.mkdtemp(prefix="nginx-")
    port = free_port()
    paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _NGINX_PATHS)
    config = Path(folder, "nginx.conf")
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; keepalive_requests 1000000000; {paths}"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json;"
        f" location / {{ return 200 '{reply}'; }} location = /status {{ stub_status; }} }} }}"
    )
    command = [binary, "-c", str(config), "-e", f"{folder}/error.log"]
    return Side("nginx, static", command, port, "/", scratch=folder)


def nginx_binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


_NGINX_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def end_on_sigterm() -> None:
    """SIGTERM unwinds like Ctrl-C, so that every server started here is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))


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


def wide_console() -> Console:
    """A file or a pipe has no width: the tables are not to be cut to that of an old terminal there."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def spread_text(of: dict[str, float]) -> str:
    return f"{of['median']:.2f} ({of['min']:.2f} to {of['max']:.2f})"
