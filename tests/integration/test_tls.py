"""HTTPS on the listener: real clients, and certificates that change while it listens."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl

import pytest
import trustme

from streambox import server_process
from streambox.errors import ConfigError
from support import PATIENCE_S, Wire, config_of, predict, running, serving_process, until, vector


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def write(authority, folder, *, name="localhost"):
    """A certificate for *name* and loopback, and its key, in *folder*."""
    issued = authority.issue_cert(name, "127.0.0.1")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(folder / "key.pem")


def config(folder, **batcher):
    return config_of(tls=f"{{certificate: {folder}/cert.pem, key: {folder}/key.pem}}", **batcher)


def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TlsWire(Wire):
    """As ``Wire``, over TLS."""

    def __init__(self, port, authority):
        super().__init__(port)
        self.socket = trusting(authority).wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.socket.settimeout(PATIENCE_S)

    @property
    def names(self):
        """Whom the server's certificate is for."""
        return {value for kind, value in self.socket.getpeercert()["subjectAltName"] if kind == "DNS"}


@pytest.fixture(scope="module")
def secure(authority, tmp_path_factory, gate):
    folder = tmp_path_factory.mktemp("tls")
    write(authority, folder)
    with running(config(folder, json_body_limit="100kB")) as server:
        yield server


def test_a_client_that_trusts_the_authority_gets_its_answer(secure, authority):
    client = http.client.HTTPSConnection("127.0.0.1", secure.port, context=trusting(authority))
    for first in (3, 4):  # on one connection
        client.request("POST", "/api/batcher", json.dumps(vector(first)))
        assert json.load(client.getresponse())["output"][0] == 2 * first
    client.request("GET", "/v2/health/ready")
    assert client.getresponse().status == 200
    client.close()


def test_one_that_does_not_trust_it_is_not_served(secure):
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection("127.0.0.1", secure.port).request("GET", "/v2")


def test_plain_http_is_not_answered(secure):
    with secure.connect() as wire:
        wire.send(predict(3))
        assert wire.ended()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_current_versions_of_tls_are_spoken(secure, authority, version):
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", secure.port))
    with context.wrap_socket(plain, server_hostname="localhost") as wire:
        assert wire.version() == version.name.replace("_", ".")


def test_pipelined_requests_and_large_bodies_come_through(secure, authority):
    with TlsWire(secure.port, authority) as wire:
        wire.send(b"".join(predict(first) for first in range(40)))
        assert [reply.output[0] for reply in wire.replies(40)] == [2 * first for first in range(40)]
        body = json.dumps({**vector(5), "more": "x" * 90_000})
        head = f"POST /api/batcher HTTP/1.1\r\nhost: t\r\ncontent-length: {len(body)}\r\n\r\n"
        wire.send(head.encode() + body.encode())
        assert wire.reply().output[0] == 10


def test_what_is_refused_while_its_body_comes_is_told_why(secure, authority):
    """TLS has no half-close: the reply must arrive all the same, and the connection end."""
    with TlsWire(secure.port, authority) as wire:
        wire.send(b"POST /api/batcher HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n", b"x" * 50_000)
        assert wire.reply().status == 413
        assert wire.ended()


def test_a_caller_who_leaves_is_noticed(secure, authority):
    before = secure.counters().cancelled
    secure.serving.set_time_window(60_000)
    with TlsWire(secure.port, authority) as wire:
        wire.send(predict(3))
        secure.until(lambda: secure.counters().queued == 1)
    secure.until(lambda: secure.counters().queued == 0)
    secure.serving.set_time_window(1)
    assert secure.counters().cancelled == before + 1


# ---- another certificate -------------------------------------------------------------------------


def test_sighup_brings_another_certificate_and_drops_no_connection(authority, tmp_path):
    write(authority, tmp_path, name="first.example")
    with serving_process(config(tmp_path), tmp_path) as server:
        old = TlsWire(server.port, authority)
        assert old.names == {"first.example"}
        write(authority, tmp_path, name="second.example")
        server.signal(signal.SIGHUP)
        until(lambda: logged(server, "certificate renewed"))
        with TlsWire(server.port, authority) as new:
            assert new.names == {"second.example"}
            for wire in (old, new):
                wire.send(predict(3))
                assert wire.reply().output[0] == 6
        old.close()

        for spoil in (lambda file: file.write_text("nonsense"), lambda file: file.unlink()):
            spoil(tmp_path / "key.pem")
            refused = count(server, "certificate not renewed")
            server.signal(signal.SIGHUP)
            until(lambda refused=refused: count(server, "certificate not renewed") > refused)
            with TlsWire(server.port, authority) as wire:
                assert wire.names == {"second.example"}
                wire.send(predict(4))
                assert wire.reply().output[0] == 8
        causes = [json.loads(line)["cause"] for line in server.log if "certificate not renewed" in line]
        assert "no certificate and its key" in causes[0]
        assert "key.pem: cannot be read: No such file" in causes[1]

        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
    assert '"url": "https://127.0.0.1:' in "".join(server.log)


def test_a_certificate_of_another_algorithm_takes_the_place_of_the_old_one(authority, tmp_path, gate):
    write(authority, tmp_path, name="elliptic.example")
    with running(config(tmp_path)) as server:
        issued = authority.issue_cert("rsa.example", "127.0.0.1", key_type=trustme.KeyType.RSA)
        (tmp_path / "cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        assert server.call(server.server.certificate.renew)
        with TlsWire(server.port, authority) as wire:
            assert wire.names == {"rsa.example"}


def test_a_server_started_for_an_experiment_may_speak_tls(authority, tmp_path):
    write(authority, tmp_path)
    (tmp_path / "serve.yaml").write_text(
        config(tmp_path).partition("models:")[0] + "models: {d: {builtin: digits}}"
    )
    with server_process.serving(["--config", str(tmp_path / "serve.yaml")], tmp_path / "log") as (_, port):
        client = http.client.HTTPSConnection("127.0.0.1", port, context=trusting(authority))
        client.request("GET", "/v2/health/ready")
        assert client.getresponse().status == 200
        client.close()


def logged(server, event):
    return count(server, event) > 0


def count(server, event):
    return sum(event in line for line in server.log)


# ---- files that are no use -----------------------------------------------------------------------


def spoiled(folder, authority):
    write(authority, folder)
    yield "a missing certificate", {"cert.pem": None}, "batcher.tls.certificate: .*cert.pem: cannot be read"
    yield "a missing key", {"key.pem": None}, "batcher.tls.key: .*key.pem: cannot be read: No such file"
    yield "what is no certificate", {"cert.pem": "x"}, "are no certificate and its key, in PEM"
    other = authority.issue_cert("x").private_key_pem.bytes().decode()
    yield "another one's key", {"key.pem": other}, "are no certificate and its key.*MISMATCH"
    locked = (
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    )
    yield "a key with a password", {"key.pem": locked}, "without a password"


def test_files_that_are_no_use_are_told_in_one_line_before_anything_starts(authority, tmp_path):
    for why, files, message in spoiled(tmp_path, authority):
        write(authority, tmp_path)
        for name, content in files.items():
            (tmp_path / name).unlink() if content is None else (tmp_path / name).write_text(content)
        with pytest.raises(ConfigError, match=message) as caught, running(config(tmp_path)):
            pytest.fail(why)
        assert "\n" not in str(caught.value), why
