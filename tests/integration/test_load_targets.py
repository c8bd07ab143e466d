"""The load generator over TLS and Unix sockets, and in the Open Inference Protocol, at real servers."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trustme
from rich.console import Console

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import PayloadOptions, Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.rows import predict_digits
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, run_load
from streambox.models.digits import heldout
from streambox.workload.schedule import Schedule
from support import config_of, running
from tiny_server import Asked, TinyServer, http, reply

SECOND = 1_000_000_000
SHORT = WorkloadOptions(rate_per_s=200, duration_ns=SECOND // 2, arrivals="constant")  # 100 requests
CONSOLE = Console(quiet=True)


def play(target: Target, sending: PayloadOptions | None = None, model: str = "digits", **options) -> Finished:
    return run_load(SHORT, RunOptions(target=target, **options), model, CONSOLE, quiet=True, sending=sending)


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def test_requests_go_over_tls_to_who_can_prove_who_it_is(authority, server_tls, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with TinyServer(tls=server_tls) as server:
        finished = play(server.target, ca_file=str(tmp_path / "ca.pem"))
    assert finished.summary["ok"] == len(server.asked) == 100


def test_a_certificate_that_nobody_vouches_for_is_refused_in_one_line(server_tls):
    with TinyServer(tls=server_tls) as server, pytest.raises(RunFailed) as error:
        play(server.target)
    assert "certificate verify failed" in str(error.value)
    assert "\n" not in str(error.value)
    assert not server.asked


def test_verification_can_be_switched_off(server_tls):
    with TinyServer(tls=server_tls) as server:
        assert play(server.target, verify=False).summary["ok"] == 100


def test_a_file_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing\n")
    with pytest.raises(UsageError, match="no certificates"):
        play(Target("localhost", 1, "/", tls=True), ca_file=str(tmp_path / "ca.pem"))


def test_plain_http_where_tls_is_spoken_is_no_answer(server_tls):
    with TinyServer(tls=server_tls) as server:
        summary = play(server.target._replace(tls=False)).summary
    assert summary["ok"] == 0
    assert set(summary["errors"]) <= {"reset", "bad_response"}


def test_a_tls_server_that_goes_away_midway_leaves_every_request_accounted_for(server_tls):
    async def leaving(asked: Asked) -> bytes | None:
        if asked.number >= 60:
            await server.stop_listening()
            return None
        return http(reply(asked))

    with TinyServer(leaving, tls=server_tls) as server:
        summary = play(server.target, verify=False, timeout_ns=SECOND).summary
    assert summary["ok"] == 60
    assert summary["ok"] + sum(summary["errors"].values()) == summary["offered"] == 100
    assert any(kind.startswith("connect_failed: ") for kind in summary["errors"])


# ---- other ways ----------------------------------------------------------------------------------


def test_a_unix_socket_will_do(tmp_path):
    with TinyServer(unix=str(tmp_path / "s.sock")) as server:
        assert play(server.target).summary["ok"] == len(server.asked) == 100


def test_a_unix_socket_that_nobody_listens_on_is_one_line(tmp_path):
    with pytest.raises(RunFailed, match=r"cannot connect to unix:///.*No such file"):
        play(Target("localhost", 0, "/", unix=str(tmp_path / "none.sock")))


def test_headers_reach_the_server():
    with TinyServer() as server:
        play(server.target, PayloadOptions(headers=("Authorization: Bearer secret",)))
    assert all("\r\nAuthorization: Bearer secret\r\n" in head for head in server.heads)


def test_every_request_can_have_a_connection_of_its_own():
    async def closing(asked: Asked) -> bytes:
        return http(reply(asked), head="Connection: close\r\n")

    with TinyServer(closing) as server:
        finished = play(server.target, PayloadOptions(headers=("Connection: close",)))
    assert finished.summary["ok"] == 100
    assert server.connections >= 100


# ---- the Open Inference Protocol -----------------------------------------------------------------

DIGITS = config_of(models="  digits: {builtin: digits, time_window: 5ms}")


@pytest.mark.parametrize("api", ["oip", "oip-binary"])
def test_a_real_server_is_asked_in_its_protocol_and_every_answer_is_checked(api):
    with running(DIGITS) as server:
        target = Target("127.0.0.1", server.port, "/v2/models/digits/infer")
        finished = play(target, PayloadOptions(api=api))
    assert finished.summary["ok"] == 100
    assert finished.summary["batch_size"]["mean"] >= 1
    assert (finished.outcomes.service_ns >= 0).all()


@pytest.mark.parametrize("api", ["reference", "oip", "oip-binary"])
def test_wrong_labels_in_a_dataset_are_found_out(api, tmp_path):
    """Rows of another class than they say: the server is right, so the check must say wrong."""
    images, _ = heldout()
    with running(DIGITS) as server:
        path = "/api/batcher" if api == "reference" else "/v2/models/digits/infer"
        target = Target("127.0.0.1", server.port, path)
        np.savez(tmp_path / "wrong.npz", image=images[:20], label=np.full(20, 10))
        wrong = play(target, PayloadOptions(api=api, dataset=str(tmp_path / "wrong.npz")))
    assert wrong.summary["wrong"] == 100
    assert wrong.summary["ok"] == 0


def test_a_model_that_is_not_there_is_found_out_before_the_run():
    with running(DIGITS) as server, pytest.raises(RunFailed, match=r"answers 404 .*is 'other' served there"):
        play(Target("127.0.0.1", server.port, "/"), PayloadOptions(api="oip"), model="other")


def test_rows_that_do_not_fit_the_model_are_refused_before_the_run(tmp_path):
    np.savez(tmp_path / "d.npz", image=np.ones((3, 63)))
    with running(DIGITS) as server, pytest.raises(UsageError, match=r"takes rows of \[8, 8\], got 63"):
        play(
            Target("127.0.0.1", server.port, "/v2/models/digits/infer"),
            PayloadOptions(api="oip", dataset=str(tmp_path / "d.npz")),
        )


@pytest.mark.parametrize("api", ["oip", "oip-binary"])
def test_a_request_of_several_rows_is_answered_and_checked_row_by_row(api, tmp_path):
    images, _ = heldout()
    answers = predict_digits(images)
    with running(DIGITS) as server:
        target = Target("127.0.0.1", server.port, "/")
        for name, expected in (("right", answers), ("wrong", np.roll(answers, 1, axis=0))):
            np.savez(tmp_path / f"{name}.npz", image=images, expected=expected)
        right, wrong = (
            play(target, PayloadOptions(api=api, rows="1..4", dataset=str(tmp_path / f"{name}.npz")))
            for name in ("right", "wrong")
        )
    assert right.summary["ok"] == 100
    assert wrong.summary["wrong"] == 100


@pytest.mark.parametrize("api", ["reference", "oip", "oip-binary"])
def test_random_rows_are_of_the_shape_that_the_server_tells(api):
    with running(config_of()) as server:  # `double` obeys: what it does is told by its input
        target = Target("127.0.0.1", server.port, "/api/batcher")
        finished = play(target, PayloadOptions(api=api, random="auto"), model="double", check="id")
    assert finished.summary["completed"] == 100
    assert not any(kind.startswith(("http_4", "bad", "wrong")) for kind in finished.summary["errors"])


def test_a_folder_of_images_is_sent_and_its_classes_are_checked(tmp_path):
    pytest.importorskip("PIL")
    script = Path(__file__).parent.parent.parent / "examples" / "digit_images.py"
    subprocess.run([sys.executable, script, tmp_path / "digits"], check=True, stdout=subprocess.DEVNULL)
    with running(DIGITS) as server:
        target = Target("127.0.0.1", server.port, "/api/batcher")
        options = PayloadOptions(dataset=str(tmp_path / "digits"), pixels="0:16")
        assert play(target, options).summary["ok"] == 100
        dark = msgspec.structs.replace(options, pixels="0:0")
        assert play(target, dark).summary["wrong"] > 50


def test_a_server_that_wants_a_key_is_asked_for_its_metadata_with_it():
    async def guarded(asked: Asked) -> bytes:
        if "Authorization: Bearer k" not in asked.head:
            return http(b"", "401 Unauthorized")
        if asked.head.startswith("GET /v2/models/m "):
            return http(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}')
        tree = json.loads(asked.body)
        return http(json.dumps({"id": tree["id"], "outputs": []}).encode())

    with TinyServer(guarded) as server:
        target = server.target._replace(path="/")
        keyed = PayloadOptions(api="oip", headers=("Authorization: Bearer k",))
        assert play(target, keyed, model="m").summary["ok"] == 100
        with pytest.raises(RunFailed, match="answers 401 to /v2/models/m"):
            play(target, PayloadOptions(api="oip"), model="m")


def test_our_own_batcher_answers_on_fresh_connections():
    with running(DIGITS) as server:
        target = Target("127.0.0.1", server.port, "/api/batcher")
        finished = play(target, PayloadOptions(headers=("Connection: close",)))
    assert finished.summary["ok"] == 100


# ---- any endpoint, by template -------------------------------------------------------------------


def write(folder, name, content) -> str:
    (folder / name).write_text(content)
    return str(folder / name)


def test_any_endpoint_is_asked_by_template_and_its_answers_are_held_against_the_dataset(tmp_path):
    """The reference's API, as if nobody knew it."""
    images, labels = heldout()
    template = '{"request_id": "{{id}}", "model": "{{model}}", "data": {"vector": {{row.pixels}}}}'
    sure = predict_digits(images).argmax(axis=1) == labels
    flat = images.reshape(len(images), -1)[sure]
    np.savez(tmp_path / "right.npz", pixels=flat, label=labels[sure])
    np.savez(tmp_path / "wrong.npz", pixels=flat, label=(labels[sure] + 1) % 10)
    options = PayloadOptions(
        api="http",
        template=write(tmp_path, "t.json", template),
        expect_id="request_id",
        expect_output="output",
        dataset=str(tmp_path / "right.npz"),
    )
    with running(DIGITS) as server:
        target = Target("127.0.0.1", server.port, "/api/batcher")
        assert play(target, options).summary["ok"] == 100
        wrong = msgspec.structs.replace(options, dataset=str(tmp_path / "wrong.npz"))
        assert play(target, wrong).summary["wrong"] == 100
        nowhere = msgspec.structs.replace(options, expect_output="none.such")
        assert play(target, nowhere).summary["errors"] == {"bad_response": 100}


def test_what_is_asked_of_an_answer_is_found_in_it_or_the_answer_is_wrong(tmp_path):
    async def echo(asked: Asked) -> bytes:
        number = re.search(rb"\d{10}", asked.body)[0]
        return http(b"" if int(number) % 4 == 0 else b"you are " + number)

    template = write(tmp_path, "t.txt", "I am {{id}}")
    by_text = PayloadOptions(
        api="http", template=template, content_type="text/plain", expect_text="you are {{id}}"
    )
    with TinyServer(echo) as server:
        summary = play(server.target, by_text).summary
        assert (summary["ok"], summary["wrong"]) == (75, 25)
        assert play(server.target, by_text, check="none").summary["ok"] == 100
    assert server.asked[0].body == b"I am " + b"%010d" % 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods_reach_the_server(method, tmp_path):
    async def fine(asked: Asked) -> bytes:
        return http(b"", "204 No Content") if asked.number % 2 else http(b"fine")

    body = {} if method in ("GET", "DELETE") else {"template": write(tmp_path, "t", "{}")}
    with TinyServer(fine) as server:
        finished = play(server.target, PayloadOptions(api="http", method=method, path="/x?y", **body))
    assert finished.summary["ok"] == 100
    assert all(head.startswith(f"{method} /x?y HTTP/1.1\r\n") for head in server.heads)


def test_secrets_are_in_nothing_that_is_left_or_printed(tmp_path, monkeypatch):
    secret = "s3cret-0123456789"
    monkeypatch.setenv("KEY", secret)
    header = write(tmp_path, "headers", f"X-Other: {secret}\n")
    out = tmp_path / "run"
    with TinyServer() as server:
        arguments = ["--header", "Authorization: Bearer ${KEY}", "--header", f"@{header}", "--out", str(out)]
        command = [sys.executable, "-m", "streambox", "load", "--url", server.target.url, *arguments]
        more = ["--rate", "100", "--duration", "200ms", "--allow-invalid"]
        done = subprocess.run([*command, *more], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(f"Bearer {secret}" in head and f"X-Other: {secret}" in head for head in server.heads)
    left = [path for path in out.rglob("*") if path.is_file()]
    assert len(left) == 4
    for said in (done.stdout, done.stderr, *(path.read_bytes() for path in left)):
        assert secret.encode() not in said
    assert secret not in str(Schedule.from_parquet(out / "schedule.parquet"))
