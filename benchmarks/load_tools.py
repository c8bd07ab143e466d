"""Load generators beside ours: whether they are here, and how each is told to do the same."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import HERE, NULL_BODY, PEERS, peer_python

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_JSON = "Content-Type: application/json"


@dataclass(frozen=True)
class Order:
    """
    What every tool is told: POST one small JSON body to *url* over so many *connections*, one request
    at a time on each, for *seconds*; *rate_per_s* in all, evenly, or None: as many as go.

    *folder*: for files that a tool wants; it is there, and empty but for them.
    """

    url: str
    connections: int
    seconds: int
    folder: Path
    rate_per_s: float | None = None

    @property
    def rate_per_connection(self) -> float:
        return (self.rate_per_s or 0.0) / self.connections

    def file(self, name: str, content: str) -> str:
        path = self.folder / name
        path.write_text(content)
        return str(path)


@dataclass(frozen=True)
class Tool:
    """
    *paces*: what keeps a rate, ``one`` clock or one for each ``connection``; ``batch``: it sends
    several at a time on purpose; None: nothing does, it is a closed loop and no more.

    *absent*: why it cannot be run here, None: it can. May install it, which takes its time.
    """

    name: str
    command: Callable[[Order], list[str]]
    paces: str | None
    absent: Callable[[], str | None]
    version: Callable[[], str]
    closed: bool = True


# ---- ours ----------------------------------------------------------------------------------------


def _ours(order: Order) -> list[str]:
    command = [sys.executable, "-m", "streambox", "load", "--url", order.url, "--model", "any"]
    command += ["--check", "none", "--quiet", "--json", "--duration", f"{order.seconds}s"]
    if order.rate_per_s is None:
        return [*command, "--concurrency", str(order.connections)]
    command += ["--connections", str(order.connections)]
    return [*command, "--rate", f"{order.rate_per_s:g}", "--arrivals", "constant"]


# ---- wrk and wrk2 --------------------------------------------------------------------------------


def _wrk(order: Order) -> list[str]:
    script = f"wrk.method='POST'\nwrk.body='{NULL_BODY}'\nwrk.headers['Content-Type']='application/json'\n"
    run = ["-t1", f"-c{order.connections}", f"-d{order.seconds}s", "--latency"]
    return ["wrk", *run, "-s", order.file("post.lua", script), order.url]


def _wrk2(order: Order) -> list[str]:
    return ["wrk2", f"-R{order.rate_per_s:g}", *_wrk(order)[1:]]


# ---- Go ------------------------------------------------------------------------------------------


def _hey(order: Order) -> list[str]:
    command = ["hey", "-z", f"{order.seconds}s", "-c", str(order.connections), "-m", "POST"]
    command += ["-T", "application/json", "-d", NULL_BODY]
    return [*command, *(["-q", f"{order.rate_per_connection:g}"] if order.rate_per_s else []), order.url]


def _vegeta(order: Order) -> list[str]:
    targets = order.file("targets", f"POST {order.url}\n{_JSON}\n")
    command = ["vegeta", "attack", f"-targets={targets}", f"-body={order.file('body', NULL_BODY)}"]
    command += [f"-duration={order.seconds}s", f"-connections={order.connections}", "-output=/dev/null"]
    if order.rate_per_s is None:
        return [*command, "-rate=0", f"-max-workers={order.connections}"]
    return [*command, f"-rate={order.rate_per_s:g}/1s"]


# ---- C++, Python, JavaScript ---------------------------------------------------------------------


def _h2load(order: Order) -> list[str]:
    command = ["h2load", "--h1", "-t1", f"-c{order.connections}", f"-D{order.seconds}", "-H", _JSON]
    command += ["-d", order.file("body", NULL_BODY)]
    return [*command, *([f"--rps={order.rate_per_connection:g}"] if order.rate_per_s else []), order.url]


def _locust(order: Order) -> list[str]:
    users = str(order.connections)
    command = [peer_python("locust"), "-m", "locust", "-f", str(HERE / "peers" / "locust_post.py")]
    command += ["--headless", "--only-summary", "-u", users, "-r", users, "-t", f"{order.seconds}s"]
    return [
        *command,
        "--host",
        order.url.rstrip("/"),
        "--body",
        NULL_BODY,
        "--pace",
        f"{order.rate_per_connection:g}",
    ]


_AUTOCANNON = PEERS / "autocannon"


def _autocannon(order: Order) -> list[str]:
    command = ["node", str(_AUTOCANNON / "node_modules" / "autocannon" / "autocannon.js"), "--json", "-n"]
    command += ["-c", str(order.connections), "-d", str(order.seconds), "-m", "POST", "-b", NULL_BODY]
    command += ["-H", "content-type=application/json"]
    return [*command, *(["-R", f"{order.rate_per_s:g}"] if order.rate_per_s else []), order.url]


def _install_autocannon() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "needs node and npm"
    wanted = (HERE / "peers" / "autocannon" / "package.json").read_text()
    package = _AUTOCANNON / "package.json"
    if (_AUTOCANNON / "node_modules").exists() and package.exists() and package.read_text() == wanted:
        return None
    shutil.rmtree(_AUTOCANNON, ignore_errors=True)
    _AUTOCANNON.mkdir(parents=True)
    package.write_text(wanted)
    install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(install, cwd=_AUTOCANNON, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(_AUTOCANNON)
        return f"npm cannot install it: exit code {done.returncode}"
    return None


def _install_locust() -> str | None:
    try:
        peer_python("locust")
    except subprocess.CalledProcessError as error:
        return f"pip cannot install it: exit code {error.returncode}"
    return None


# ---- all of them ---------------------------------------------------------------------------------


def _on_path(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def _told(pattern: str, *command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown version"


def _debian(package: str) -> str:
    """The version of an installed Debian package: some tools do not tell their own."""
    if shutil.which("dpkg-query") is None:
        return "unknown version"
    return _told(r"(\S+)", "dpkg-query", "-W", "-f", "${Version}", package)


def _pinned_autocannon() -> str:
    wanted = json.loads((HERE / "peers" / "autocannon" / "package.json").read_text())
    return str(wanted["dependencies"]["autocannon"])


def _pinned_locust() -> str:
    return (HERE / "peers" / "requirements-locust.txt").read_text().split()[0].partition("==")[2]


OURS = Tool("StreamBox", _ours, "one", lambda: None, lambda: importlib.metadata.version("streambox-serving"))
TOOLS = (
    OURS,
    Tool("wrk", _wrk, None, _on_path("wrk"), lambda: _told(r"wrk (\S+)", "wrk", "-v")),
    Tool(
        "wrk2", _wrk2, "connection", _on_path("wrk2"), lambda: _told(r"wrk (\S+)", "wrk2", "-v"), closed=False
    ),
    Tool(
        "h2load", _h2load, "connection", _on_path("h2load"), lambda: _told(r"/(\S+)", "h2load", "--version")
    ),
    Tool("hey", _hey, "batch", _on_path("hey"), lambda: _debian("hey")),
    Tool(
        "vegeta", _vegeta, "one", _on_path("vegeta"), lambda: _told(r"Version: (\S+)", "vegeta", "-version")
    ),
    Tool("autocannon", _autocannon, "batch", _install_autocannon, _pinned_autocannon),
    Tool("Locust", _locust, "connection", _install_locust, _pinned_locust),
)
