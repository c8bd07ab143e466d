"""Real servers for tests, in a thread or as a process, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from streambox.config import parse_config
from streambox.server.run import Server
from streambox.serving import Serving

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parent
PATIENCE_S = 30  # how long anything that must happen may take, on a busy machine

VECTOR = "inputs: [{name: vector, datatype: FP32, shape: [-1, 4]}]"
OUTPUT = "outputs: [{name: output, datatype: FP32, shape: [-1, 4]}]"


def config_of(*, models: str = "", **batcher: object) -> str:
    """A configuration with the model ``double`` (see ``edge_models.obey``), or *models*."""
    settings = {"time_window": "1ms", "port": 0, **batcher}
    section = ", ".join(f"{key}: {value}" for key, value in settings.items())
    # Many a test sends the same bad row again and again, and means each of them.
    served = models or f"  double: {python_model('edge_models:obey', quarantine='0s')}"
    return f"batcher: {{{section}}}\nmodels:\n{served}\nlog: {{level: info, format: json}}\n"


def python_model(callable_: str, **settings: object) -> str:
    """The section of a model that takes and gives 4 numbers a row."""
    more = "".join(f", {key}: {value}" for key, value in settings.items())
    return f'{{executor: python, callable: "{callable_}", {VECTOR}, {OUTPUT}{more}}}'


def children(pid: int) -> list[int]:
    """The processes that *pid* has started and not yet reaped, alive or not."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends meanwhile
            found += map(int, task.read_text().split())
    return found


# ---- servers -------------------------------------------------------------------------------------


class Running:
    """A server on an event loop in a thread of this process."""

    def __init__(self, serving: Serving, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.serving = serving
        self.server = server
        self.edge = server.edge
        self.port = server.port
        self.url = f"127.0.0.1:{server.port}"
        self._loop = loop

    def call(self, function: Callable[[], Any]) -> Any:
        """What *function* returns, called on the server's loop."""

        async def called() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(PATIENCE_S)

    def until(self, condition: Callable[[], bool]) -> None:
        """Return once *condition* holds on the server's loop; each try is a turn of that loop."""
        until(lambda: self.call(condition), lambda: f"{self.edge.connections} {self.serving.models}")

    def counters(self, model: str = "double"):
        return self.serving.models[model].counters

    def connect(self) -> Wire:
        return Wire(self.port)

    def ask(self, request: bytes) -> Reply:
        """The answer to one request on a connection of its own."""
        with self.connect() as wire:
            wire.send(request)
            return wire.reply(head=request.startswith(b"HEAD"))


@contextlib.contextmanager
def running(config: str) -> Iterator[Running]:
    started: Future[Running] = Future()
    ended: Future[Callable[[], None]] = Future()

    async def serve() -> None:
        async with Serving(parse_config(config, str(TESTS))) as serving, Server(serving) as server:
            loop = asyncio.get_running_loop()
            stop = asyncio.Event()
            ended.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            started.set_result(Running(serving, server, loop))
            await stop.wait()

    def main() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=main)
    thread.start()
    try:
        yield started.result(PATIENCE_S)
    finally:
        if ended.done():
            ended.result()()
        thread.join(PATIENCE_S)


def assert_clean(server: Running) -> None:
    """Nothing that went through *server* has left anything in it."""
    edge = server.edge
    server.until(lambda: not edge.connections)
    server.until(lambda: not any(served.counters.in_flight for served in server.serving.models.values()))
    assert edge.buffered_bytes == 0
    for served in server.serving.models.values():
        assert not served.counters.violations()


@dataclass
class Process:
    """``streambox serve`` as a process; ``log`` is what it has written to standard error so far."""

    child: subprocess.Popen[str]
    port: int = 0
    log: list[str] = field(default_factory=list)

    def connect(self) -> Wire:
        return Wire(self.port)

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def read_log(self, port: Future[int]) -> None:
        """Until it ends; *port* is told when it listens."""
        for line in self.child.stderr:
            self.log.append(line)
            if found := re.search(r'"url": ?"https?://[^"]*:(\d+)"', line):
                port.set_result(int(found[1]))
        if not port.done():
            port.set_exception(AssertionError("".join(self.log)))

    def exit_code(self) -> int:
        return self.child.wait(PATIENCE_S)

    def workers(self) -> list[int]:
        """The process ids of its children."""
        return children(self.child.pid)


@contextlib.contextmanager
def serving_process(
    config: str, folder: Path, *options: object, port: int = 0, listening: bool = True
) -> Iterator[Process]:
    """A server, once it listens; *listening* False: as soon as it has been started."""
    file = folder / "serve.yaml"
    file.write_text(config)
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "streambox", "serve", "--config", str(file), "--port", str(port)),
            *map(str, options),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
    )
    process = Process(child)
    url = Future[int]()
    reader = threading.Thread(target=process.read_log, args=(url,))
    reader.start()
    try:
        if listening:
            process.port = url.result(PATIENCE_S)
        yield process
    finally:
        if child.poll() is None:
            child.kill()
        child.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        child.stderr.close()


class Gate:
    """The test's ends of the FIFOs by which ``edge_models`` says that it runs and is told to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ends = {}
        for name in ("started", "go"):
            os.mkfifo(folder / name)
            self._ends[name] = os.open(folder / name, os.O_RDWR)
        (folder / "executed").touch()

    def started(self) -> int:
        """Returns when a batch is being held; its worker's process id."""
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self._ends["started"]], [], [], PATIENCE_S)[0], "no batch was started"
            line += os.read(self._ends["started"], 1)
        return int(line)

    def go(self, times: int = 1) -> None:
        """Let *times* held batches go on, now or when they come."""
        os.write(self._ends["go"], b"g" * times)

    def executed(self) -> list[int]:
        """The first number of every row that the model was given, in order."""
        return [int(line) for line in (self.folder / "executed").read_text().split()]

    def close(self) -> None:
        for end in self._ends.values():
            os.close(end)


def gone(pid: int) -> bool:
    """Wait for a process, which need not be ours, to end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], PATIENCE_S)[0])
    finally:
        os.close(pidfd)


def until(condition: Callable[[], bool], describe: Callable[[], str] = str) -> None:
    """Ask *condition*, which does a round trip of its own, until it holds."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, describe()


# ---- client --------------------------------------------------------------------------------------


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def output(self) -> list[float]:
        assert self.status == 200, self
        return self.json()["output"]


class Wire:
    """One connection, byte by byte."""

    def __init__(self, port: int, **options: int) -> None:
        self.socket = socket.socket()
        for name, value in options.items():
            self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def push(self, data: memoryview) -> memoryview:
        """Send as much of *data* as the system takes at once; returns the rest."""
        try:
            return data[self.socket.send(data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return data

    def reply(self, *, head: bool = False) -> Reply:
        """The next reply; *head*: to a HEAD request, so without a body."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status_line, *headers = lines
        assert status_line.startswith("HTTP/1.1 "), status_line
        fields = dict(re.split(r": ?", line, maxsplit=1) for line in headers)
        status = int(status_line.split()[1])
        if status < 200 or head:
            return Reply(status, fields, b"")
        return Reply(status, fields, self._exactly(int(fields["content-length"])))

    def replies(self, count: int) -> list[Reply]:
        return [self.reply() for _ in range(count)]

    def ended(self) -> bool:
        """Whether the server closes the connection, with nothing more to read; waits for it."""
        try:
            return not self._unread and self.socket.recv(1) == b""
        except ConnectionResetError:
            return not self._unread

    def silent(self) -> bool:
        """Whether nothing has come so far."""
        return not self._unread and not select.select([self.socket], [], [], 0)[0]

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End with RST in place of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, f"the server closed the connection after {self._unread!r}"
        self._unread += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._receive()
        found, _, self._unread = self._unread.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._receive()
        found, self._unread = self._unread[:size], self._unread[size:]
        return found


def request(method: str, target: str, *headers: str, body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "host: test", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def post(target: str, body: bytes | object, *headers: str, version: str = "1.1") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request("POST", target, *headers, f"content-length: {len(content)}", body=content, version=version)


def chunked(target: str, *chunks: bytes, headers: tuple[str, ...] = ()) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return request("POST", target, "transfer-encoding: chunked", *headers, body=body)


def vector(first: float, request_id: str | None = None, model: str = "double") -> dict[str, Any]:
    """A reference body: [first, 1, 2, 3]."""
    return {
        "request_id": str(first) if request_id is None else request_id,
        "model": model,
        "data": {"vector": [first, 1, 2, 3]},
    }


def predict(first: float, *headers: str, request_id: str | None = None, version: str = "1.1") -> bytes:
    """A whole request to the reference API."""
    return post("/api/batcher", vector(first, request_id), *headers, version=version)


def infer_body(rows: list[list[float]], **changes: object) -> dict[str, Any]:
    tensor = {"name": "vector", "shape": [len(rows), 4], "datatype": "FP32", "data": rows, **changes}
    return {"id": "7", "inputs": [tensor]}


def infer(first: float, *headers: str) -> bytes:
    """A whole Open Inference Protocol request of one row."""
    return post("/v2/models/double/infer", infer_body([[first, 1, 2, 3]]), *headers)


GET_LIVE = request("GET", "/v2/health/live")


def marked(marker: str) -> set[str]:
    """The living processes whose environment holds *marker*: a process and all its descendants."""
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has just ended
            if marker.encode() in environment.read_bytes():
                found.add(environment.parent.name)
    return found
