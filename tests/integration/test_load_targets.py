"""The load generator over TLS and Unix sockets, and in the Open Inference Protocol, at real servers."""

from __future__ import annotations

import ssl

import numpy as np
import pytest
import trustme
from rich.console import Console

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import PayloadOptions, Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, run_load
from streambox.models.digits import heldout
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
