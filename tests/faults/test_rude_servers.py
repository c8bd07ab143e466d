"""``streambox load`` against servers that answer wrongly, halfway, without end, or not at all."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys

import pytest
import trustme

import rude_server
from load_process import BRIEF, complaint, kinds, load
from rude_server import WHOLE, RudeServer, bytes_of, endless, gigabyte, nothing, then_closing, well
from tiny_server import TinyServer

# ---- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(bytes_of(bytes(range(256)) * 4), "bad_response", id="garbage"),
        pytest.param(bytes_of(b"SSH-2.0-OpenSSH_9.6\r\n"), "bad_response", id="another protocol"),
        pytest.param(
            bytes_of(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "bad_response", id="less than nothing"
        ),
        pytest.param(bytes_of(WHOLE[:-1]), "timeout", id="half an answer, then silence"),
        pytest.param(bytes_of(WHOLE[:20]), "timeout", id="half a head, then silence"),
        pytest.param(then_closing(bytes_of(WHOLE[:-1])), "reset", id="half an answer, then the end"),
        pytest.param(then_closing(bytes_of(WHOLE[:20])), "reset", id="half a head, then the end"),
        pytest.param(nothing, "timeout", id="nothing"),
        pytest.param(then_closing(nothing), "reset", id="nothing but the end"),
    ],
)
def test_an_answer_that_is_none_is_an_outcome_of_its_own(answer, kind, tmp_path):
    with RudeServer(answer) as server:
        done = load("--url", server.url, *BRIEF, "--timeout", "500ms", "--out", tmp_path)
    assert f"not one of 20 requests was answered right: {{'{kind}': 20}}" in complaint(done)
    assert kinds(tmp_path) == {kind: 20}


WITHOUT_LENGTH = b"HTTP/1.0 200 OK\r\n\r\nok"


def test_an_answer_without_a_length_ends_with_its_connection(tmp_path):
    """As the servers of many a standard library write them."""
    with RudeServer(then_closing(bytes_of(WITHOUT_LENGTH))) as server:
        done = load("--url", server.url, *BRIEF, "--allow-invalid", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert kinds(tmp_path) == {"ok": 20}


PEAK = """
import atexit, sys
from streambox.cli import main
path = sys.argv.pop(1)

def keep_peak():
    with open("/proc/self/status") as status, open(path, "w") as kept:
        kept.write(next(line for line in status if line.startswith("VmHWM:")).split()[1])

atexit.register(keep_peak)
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("answer", [gigabyte, endless])
def test_a_gigabyte_is_no_answer_and_is_not_kept(answer, tmp_path):
    """20 of them come in, each is cut off at 64 MiB, and what there was of it let go."""
    out, peak = tmp_path / "run", tmp_path / "peak"
    with RudeServer(answer) as server:
        command = [sys.executable, "-c", PEAK, str(peak), "load", "--url", server.url, "--timeout", "60s"]
        options = [*map(str, BRIEF), "--out", str(out)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=90)
    assert "{'bad_response': 20}" in complaint(done)
    assert kinds(out) == {"bad_response": 20}
    assert int(peak.read_text()) << 10 < 900 << 20


# ---- servers that go -----------------------------------------------------------------------------


def test_a_server_that_refuses_from_the_start_leaves_nothing_to_recover(tmp_path):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        done = load("--url", f"http://127.0.0.1:{bound.getsockname()[1]}/", *BRIEF, "--out", tmp_path)
    assert "Connection refused: is the server running?" in complaint(done)
    assert "no run to recover" in complaint(load("recover", tmp_path), code=2)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(bytes_of(b"SSH-2.0"), "bad_response", id="garbage"),
        pytest.param(nothing, "timeout", id="nothing"),
    ],
)
def test_two_workers_say_on_one_line_what_one_would(answer, kind, tmp_path):
    with RudeServer(answer) as server:
        done = load("--url", server.url, *BRIEF, "--timeout", "500ms", "--workers", 2, "--out", tmp_path)
    assert f"not one of 20 requests was answered right: {{'{kind}': 20}}" in complaint(done)
    assert kinds(tmp_path) == {kind: 20}


def test_two_workers_that_nobody_listens_to_say_so_once(tmp_path):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        done = load("--url", url, *BRIEF, "--workers", 2, "--out", tmp_path)
    assert "Connection refused: is the server running?" in complaint(done)
    assert "no run to recover" in complaint(load("recover", tmp_path), code=2)


def test_a_server_that_refuses_in_the_middle_is_told_from_what_came_before(tmp_path):
    def leaving(connection: socket.socket, number: int) -> None:
        if number == 9:
            server.leave()
        well(connection, number)

    with RudeServer(leaving) as server:
        done = load("--url", server.url, *BRIEF, "--out", tmp_path)
    assert "connect_failed: Connection refused" in complaint(done)
    found = kinds(tmp_path)
    assert found["ok"] >= 9
    assert found["connect_failed: Connection refused"] > 0
    assert sum(found.values()) == 20


def test_a_server_that_is_killed_in_the_middle_leaves_the_outcomes_so_far(tmp_path):
    command = [sys.executable, rude_server.__file__, "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        done = load("--url", f"http://127.0.0.1:{int(server.stdout.readline())}/", *BRIEF, "--out", tmp_path)
    complaint(done)
    found = kinds(tmp_path)
    assert found["ok"] == 10
    assert found["reset"] >= 1
    assert sum(found.values()) == 20


def test_a_name_that_nobody_can_know_is_said_to_be_the_cause():
    """It is too long for a question, so that no name server need be asked."""
    name = "a." * 130 + "invalid"
    done = load("--url", f"http://{name}/", *BRIEF)
    assert f"cannot connect to http://{name}:80/: " in (line := complaint(done))
    assert line.endswith(": is the name right?")


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_of(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_plain_http_behind_https_is_said_to_be_no_tls():
    with RudeServer(well) as server:
        done = load("--url", server.url.replace("http:", "https:"), *BRIEF)
    assert (line := complaint(done)).endswith(": does it speak TLS?")
    assert "TLS failed" in line


def test_a_server_that_never_answers_the_handshake_is_one_that_timed_out():
    with RudeServer(nothing) as server:
        done = load("--url", server.url.replace("http:", "https:"), *BRIEF, "--timeout", "300ms")
    assert "timed out" in complaint(done)


def test_a_certificate_of_somebody_else_is_refused(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with TinyServer(tls=tls_of(authority, "example.org")) as server:
        done = load("--url", server.target.url, *BRIEF, "--ca", tmp_path / "ca.pem")
    assert "certificate verify failed, Hostname mismatch" in complaint(done)


def test_a_certificate_of_an_unknown_authority_is_refused(authority):
    with TinyServer(tls=tls_of(authority, "localhost")) as server:
        done = load("--url", server.target.url, *BRIEF)
    assert "certificate verify failed" in (line := complaint(done))
    assert "--ca names whom to trust" in line


def test_plain_http_at_a_tls_server_is_an_outcome(authority, tmp_path):
    with TinyServer(tls=tls_of(authority, "localhost")) as server:
        done = load("--url", server.target.url.replace("https:", "http:"), *BRIEF, "--out", tmp_path)
    complaint(done)
    assert set(kinds(tmp_path)) <= {"reset", "bad_response"}
