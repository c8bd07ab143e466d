"""What servers do wrong, and names that lead nowhere: outcomes, or one line, and never a hang."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from streambox.errors import RunFailed
from streambox.loadgen.payload import PayloadOptions
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.sender import Sender
from streambox.loadgen.session import Finished, run_load
from streambox.loadgen.target import Target
from support import config_of, running
from tiny_server import Asked, TinyServer, http, reply, right

SECOND = 1_000_000_000
FEW = WorkloadOptions(rate_per_s=200, duration_ns=SECOND // 4, arrivals="constant")  # 50 requests
CONSOLE = Console(quiet=True)
MIB = 1 << 20


def play(target: Target, model: str = "digits", sending: PayloadOptions | None = None, **options) -> Finished:
    return run_load(FEW, RunOptions(target=target, **options), model, CONSOLE, quiet=True, sending=sending)


def ends(finished: Finished) -> dict[str, int]:
    found = {"ok": finished.summary["ok"], **finished.summary["errors"]}
    assert sum(found.values()) == finished.summary["offered"]
    return {kind: count for kind, count in found.items() if count}


# ---- names and connections -----------------------------------------------------------------------


def test_a_name_that_cannot_be_one_is_one_line():
    with pytest.raises(
        RunFailed, match=r"cannot connect to .*: no such host: its name cannot be one"
    ) as error:
        play(Target("a" * 70 + ".test", 80, "/"))
    assert "\n" not in str(error.value)


def test_a_name_that_nobody_knows_is_one_line(monkeypatch):
    async def unknown(self: Sender) -> socket.socket:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(Sender, "_connected", unknown)
    with pytest.raises(RunFailed, match=r"cannot connect to http://nowhere:80/: Name or service not known"):
        play(Target("nowhere", 80, "/"))


@pytest.mark.parametrize("api", ["oip", "oip-binary"])
def test_a_server_that_cannot_be_asked_for_a_models_inputs_is_one_line(api):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = Target("127.0.0.1", unused.getsockname()[1], "/")
        with pytest.raises(
            RunFailed, match=r"for the inputs of 'm', which --input could tell: Connection ref"
        ):
            play(target, "m", PayloadOptions(api=api))


def test_tls_where_plain_http_is_spoken_is_one_line():
    with (
        running(config_of()) as server,
        pytest.raises(RunFailed, match=r"TLS failed, [A-Z_]+: does it speak TLS") as error,
    ):
        play(Target("127.0.0.1", server.port, "/", tls=True))
    assert "\n" not in str(error.value)


METADATA = [
    (b"SSH-2.0-OpenSSH_9.6\r\n", "for the inputs of 'm'"),
    (http(b"not json"), "is no model metadata"),
    (http(b'{"inputs": []}'), "names no inputs"),
    (http(b'{"inputs": [{"name": 5}]}'), "is no model metadata"),
    (http(b'{"inputs": ' + b"[" * 100_000), "is no model metadata"),
    (http(b"x" * (2 * MIB)), "is no model metadata"),
    (http(b"", "500 Oops"), "answers 500"),
    (None, "for the inputs of 'm'"),
    (
        http(b'{"inputs": [{"name": "x", "datatype": "BYTES", "shape": [-1, 1]}]}'),
        "takes BYTES, which cannot",
    ),
    (http(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}'), "has open dimensions"),
]


@pytest.mark.parametrize(
    ("answer", "reason"), METADATA, ids=[row[1] + str(i) for i, row in enumerate(METADATA)]
)
def test_metadata_that_is_none_is_one_line(answer, reason):
    async def odd(asked: Asked) -> bytes | None:
        return answer

    with TinyServer(odd) as server, pytest.raises(Exception, match=reason) as error:
        play(server.target._replace(path="/"), "m", PayloadOptions(api="oip"))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


# ---- answers -------------------------------------------------------------------------------------


def endless(first: bytes, piece: bytes):
    """The head, and then pieces until the other side has had enough."""

    async def pieces():
        yield first
        while True:
            yield piece

    return pieces()


ENDLESS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"x" * MIB, "a length of 1 GiB"),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"100000\r\n" + b"x" * MIB + b"\r\n",
        "chunks",
    ),
    (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * MIB, "no length at all"),
]


@pytest.mark.parametrize(("head", "piece", "why"), ENDLESS, ids=[row[-1] for row in ENDLESS])
def test_an_answer_without_end_is_a_bad_response_and_is_not_waited_for(head, piece, why):
    async def flooding(asked: Asked):
        return endless(head, piece) if asked.index == 7 else await right(asked)

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with TinyServer(flooding) as server:
        assert ends(play(server.target)) == {"ok": 49, "bad_response": 1}
    assert server.written_bytes < 256 * MIB  # 64 of them are taken, the rest is on its way
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 512 * 1024


def test_a_head_without_end_times_out():
    async def babbling(asked: Asked):
        line = b"X-Again: " + b"x" * 1000 + b"\r\n"
        return endless(b"HTTP/1.1 200 OK\r\n", line) if asked.index == 7 else await right(asked)

    with TinyServer(babbling) as server:
        assert ends(play(server.target, timeout_ns=SECOND)) == {"ok": 49, "timeout": 1}


def test_an_answer_that_drips_times_out_however_steadily_it_does():
    async def pieces():
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    async def dripping(asked: Asked):
        return pieces() if asked.index == 7 else await right(asked)

    with TinyServer(dripping) as server:
        assert ends(play(server.target, timeout_ns=SECOND)) == {"ok": 49, "timeout": 1}


def test_an_answer_that_ends_with_its_connection_is_one():
    """As HTTP/1.0 servers write it: no length, no chunks."""

    async def old(asked: Asked):
        async def pieces():
            body = reply(asked)
            yield b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body[:20]
            yield body[20:]

        return pieces()

    with TinyServer(old) as server:
        assert ends(play(server.target)) == {"ok": 50}


def test_an_interim_answer_alone_is_none():
    async def waiting(asked: Asked):
        async def pieces():
            yield b"HTTP/1.1 100 Continue\r\n\r\n"

        return pieces()

    with TinyServer(waiting) as server:
        assert ends(play(server.target)) == {"reset": 50}


def test_a_promised_length_that_does_not_come_is_a_reset_all_the_same():
    async def torn(asked: Asked):
        async def pieces():
            yield b"HTTP/1.0 200 OK\r\nContent-Length: 5000\r\n\r\n" + reply(asked)

        return pieces()

    with TinyServer(torn) as server:
        assert ends(play(server.target)) == {"reset": 50}


def test_large_answers_are_judged_as_they_come():
    async def large(asked: Asked) -> bytes:
        return http(reply(asked, more="x" * MIB))

    with TinyServer(large) as server:
        assert ends(play(server.target)) == {"ok": 50}


def test_a_server_that_hangs_up_on_everybody_resets_every_request():
    async def rude(asked: Asked) -> None:
        return None

    with TinyServer(rude) as server:
        assert ends(play(server.target)) == {"reset": 50}


# ---- the command ---------------------------------------------------------------------------------


def test_a_server_of_garbage_fails_the_run_in_one_line_and_its_outcomes_are_kept(tmp_path):
    async def garbled(asked: Asked) -> bytes:
        return b"\0\1\2 garbage \xff\r\n\r\n"

    with TinyServer(garbled) as server:
        command = [sys.executable, "-m", "streambox", "load", "--url", server.target.url, "--quiet"]
        more = ["--rate", "100", "--duration", "200ms", "--allow-invalid", "--out", str(tmp_path / "run")]
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "not one of" in done.stderr
    kinds = pq.read_table(tmp_path / "run" / "outcomes.parquet")["kind"].to_pylist()
    assert kinds
    assert set(kinds) == {"bad_response"}
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["ok"] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--dataset", "/no/such.npz"], "/no/such.npz: no such dataset"),
        (["--dataset", "/etc/passwd"], "a dataset is a file ending in"),
        (["--dataset", "/no/such/folder"], "a dataset is a file ending in"),
        (["--api", "http", "--template", "/no/such"], "/no/such: the template cannot be read"),
        (["--api", "http", "--template", "/"], "the template cannot be read: Is a directory"),
        (["--header", "@/no/such"], "/no/such: headers cannot be read"),
        (["--header", "secret"], "not written as 'Name: value'"),
        (["--random", "x:FP3[2]"], "no datatype FP3"),
        (["--template", "/no/such"], "template means nothing to api 'reference'"),
    ],
)
def test_what_cannot_be_sent_is_one_line_and_exit_code_2_before_anything_is_sent(arguments, reason):
    with TinyServer() as server:
        command = [sys.executable, "-m", "streambox", "load", "--url", server.target.url, "--rate", "5"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert server.connections == 0
