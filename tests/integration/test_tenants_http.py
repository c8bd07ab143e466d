"""Who may ask, over HTTP: keys, quotas, models, limits, on both APIs."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import pytest

from edge_models import HOLD
from streambox.errors import UnknownModel
from streambox.tenancy import make_key
from support import (
    OUTPUT,
    VECTOR,
    assert_clean,
    config_of,
    infer,
    infer_body,
    post,
    predict,
    request,
    running,
    vector,
)

KEYS = {name: make_key() for name in ("acme", "acme2", "beta", "few", "slow", "small")}
MODELS = "\n".join(
    f'  {name}: {{executor: python, callable: "edge_models:obey", {VECTOR}, {OUTPUT}}}'
    for name in ("double", "other")
)


def key_of(name: str, header: str = "authorization: Bearer ") -> str:
    return header + KEYS[name].secret


def section(name: str, *keys: str, **limits: object) -> str:
    pairs = ", ".join(f'{{id: {key}, sha256: "{KEYS[key].sha256}"}}' for key in (name, *keys))
    rest = "".join(f", {key}: {value}" for key, value in limits.items())
    return f"  - {{name: {name}, keys: [{pairs}]{rest}}}\n"


TENANTS = "tenants:\n" + "".join(
    [
        section("acme", "acme2"),
        section("beta", models="[other]"),
        section("few", max_in_flight=1),
        section("slow", rate="1/m", burst=1),
        section("small", max_body="150B"),
    ]
)


@pytest.fixture(scope="module")
def shared_server(gate):
    with running(config_of(models=MODELS) + TENANTS) as server:
        yield server


def tenant(server, name):
    return server.serving.roster.named(name)


# ---- who it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(key_of("acme"), id="a bearer token"),
        pytest.param(key_of("acme", "Authorization: bEARER  "), id="whose scheme is in any case"),
        pytest.param(key_of("acme", "X-API-Key: "), id="an API key"),
        pytest.param(key_of("acme2", "x-api-key:"), id="the tenant's other key"),
    ],
)
@pytest.mark.parametrize("ask", [predict, infer])
def test_a_tenant_is_known_by_its_key(server, ask, header):
    before = tenant(server, "acme").completed
    assert server.ask(ask(3, header)).status == 200
    assert tenant(server, "acme").completed == before + 1


NOBODY = [
    pytest.param((), id="no key"),
    pytest.param(("x-api-key: ",), id="an empty one"),
    pytest.param(("x-api-key: nobodys",), id="one that nobody has"),
    pytest.param(("x-api-key: " + KEYS["acme"].sha256,), id="the hash in place of the key"),
    pytest.param(("authorization: Basic " + KEYS["acme"].secret,), id="another scheme"),
    pytest.param((key_of("acme"), key_of("beta", "x-api-key: ")), id="two different keys"),
    pytest.param(("tenant: acme",), id="a name in place of a key"),
]


@pytest.mark.parametrize("headers", NOBODY)
def test_who_has_no_key_is_told_how_to_send_one(server, headers):
    for ask in (predict, infer):
        reply = server.ask(ask(3, *headers))
        assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="streambox"')
        assert "key" in reply.body.decode()
        for key in KEYS.values():
            assert key.secret not in reply.body.decode()
            assert key.sha256 not in reply.body.decode()


def test_each_api_says_401_in_its_own_way(server):
    assert server.ask(predict(3)).json()["error"]["code"] == "unauthorized"
    reply = server.ask(infer(3))
    assert (set(reply.json()), reply.headers["x-error-code"]) == ({"error"}, "unauthorized")


def test_the_same_key_twice_is_one_key(server):
    assert server.ask(predict(3, key_of("acme"), key_of("acme", "x-api-key: "))).status == 200


def test_a_body_that_names_a_tenant_names_nobody(server):
    body = {**vector(3), "tenant": "acme", "key": KEYS["acme"].secret}
    assert server.ask(post("/api/batcher", body)).status == 401


def test_without_a_key_nobody_learns_which_models_there_are(server):
    for path in ("/v2/models/nope/infer", "/v2/models/double/infer", "/v2/models/double/versions/9/infer"):
        reply = server.ask(post(path, infer_body([[1, 2, 3, 4]])))
        assert reply.status == 401
        assert "double" not in reply.body.decode()
    reply = server.ask(request("GET", "/v2/models/nope/ready"))
    assert (reply.status, "double" in reply.body.decode()) == (404, False)


def test_a_connection_may_change_hands(server):
    """The key is looked up once while the header bytes stay the same, and again when they do not."""
    names = ("acme", "acme", "few", "acme", "few", "few")
    before = {name: tenant(server, name).completed for name in names}
    with server.connect() as wire:
        for name in names:
            wire.send(predict(3, key_of(name)))
            assert wire.reply().status == 200
    grown = {name: tenant(server, name).completed - before[name] for name in before}
    assert grown == {"acme": 3, "few": 3}


def test_a_key_is_hashed_once_per_connection_as_long_as_it_stays_the_same(server, monkeypatch):
    asked = []
    roster = server.serving.roster
    counting = SimpleNamespace(holder=lambda key: asked.append(key) or roster.holder(key))
    monkeypatch.setattr(server.edge, "roster", counting)
    with server.connect() as wire:
        for first in (1, 1, 1000, 22, 1):  # of different lengths: the head changes, the key does not
            wire.send(predict(first, key_of("acme")))
            assert wire.reply().status == 200
    assert len(asked) == 1


def test_health_and_metrics_are_open_and_metadata_is_not(server):
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/double/ready", "/metrics"):
        assert server.ask(request("GET", path)).status == 200
    reply = server.ask(request("GET", "/v2/models/double"))
    assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="streambox"')
    assert server.ask(request("GET", "/v2/models/double", key_of("acme"))).status == 200
    assert server.ask(request("GET", "/v2/models/double", key_of("beta"))).status == 403


# ---- what it may ---------------------------------------------------------------------------------


def test_a_model_that_is_not_the_tenants_is_forbidden(server):
    key = key_of("beta")
    for sent in (predict(3, key), infer(3, key), post("/v2/models/double/infer", b"{", key)):
        assert server.ask(sent).status == 403
    assert server.ask(predict(3, key)).json()["error"]["code"] == "forbidden"
    assert server.ask(infer(3, key)).headers["x-error-code"] == "forbidden"
    own = {**vector(3), "model": "other"}
    assert server.ask(post("/api/batcher", own, key)).output[0] == 6


def test_a_tenant_is_told_only_of_its_own_models(server):
    for sent in (
        post("/api/batcher", {**vector(3), "model": "nope"}, key_of("beta")),
        post("/v2/models/nope/infer", b"{}", key_of("beta")),
    ):
        reply = server.ask(sent)
        assert reply.status == 404
        assert "other" in reply.body.decode()
        assert "double" not in reply.body.decode()


def test_its_own_body_limit_is_413(server):
    body = json.dumps({**vector(3), "more": "x" * 200}).encode()
    assert server.ask(post("/api/batcher", body, key_of("small"))).status == 413
    assert server.ask(post("/api/batcher", body, key_of("acme"))).status == 200
    assert server.ask(predict(3, key_of("small"))).status == 200


def test_over_its_rate_it_is_429_with_retry_after(server):
    ask = predict(3, key_of("slow"))
    assert server.ask(ask).status == 200
    reply = server.ask(ask)
    assert (reply.status, reply.json()["error"]["code"]) == (429, "quota_exceeded")
    assert 50 < int(reply.headers["retry-after"]) <= 91
    reply = server.ask(infer(3, key_of("slow")))
    assert (reply.status, reply.headers["x-error-code"]) == (429, "quota_exceeded")
    assert tenant(server, "slow").refused == {"quota_exceeded": 2}


def test_a_limit_of_one_tenant_is_none_of_anothers(server, gate):
    with server.connect() as holder:
        holder.send(predict(HOLD, key_of("few")))
        gate.started()
        assert server.ask(predict(1, key_of("few"))).status == 429
        with server.connect() as other:
            other.send(predict(1, key_of("acme")))
            server.until(lambda: server.counters().queued == 1)
            gate.go()
            assert (other.reply().status, holder.reply().status) == (200, 200)


def test_two_tenants_may_use_the_same_request_ids(server, gate):
    """In one batch, even."""
    with server.connect() as holder, server.connect() as first, server.connect() as second:
        holder.send(predict(HOLD, key_of("acme")))
        gate.started()
        first.send(predict(5, key_of("acme"), request_id="same"))
        second.send(predict(7, key_of("few"), request_id="same"))
        server.until(lambda: server.counters().queued == 2)
        gate.go()
        replies = [wire.reply() for wire in (first, second)]
        assert holder.reply().status == 200
    assert [reply.output[0] for reply in replies] == [10, 14]
    assert [reply.json()["request_id"] for reply in replies] == ["same", "same"]
    assert replies[0].json()["batch"]["id"] == replies[1].json()["batch"]["id"]


def test_what_leaves_before_it_is_answered_is_no_longer_in_flight_for_its_tenant(server, gate):
    with server.connect() as holder:
        holder.send(predict(HOLD, key_of("acme")))
        gate.started()
        with server.connect() as leaver:
            leaver.send(predict(1, key_of("few")))
            server.until(lambda: tenant(server, "few").queued == 1)
        server.until(lambda: tenant(server, "few").in_flight == 0)
        gate.go()
        assert holder.reply().status == 200


# ---- what is counted -----------------------------------------------------------------------------


def samples(server):
    """Every sample of /metrics, by its name and labels."""
    page = server.ask(request("GET", "/metrics")).body.decode()
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_metrics_tell_of_each_tenant(server):
    def of_acme(name, labels=""):
        return samples(server).get(f'streambox_tenant_{name}{{{labels}tenant="acme"}}', 0.0)

    names = ("requests_accepted_total", "requests_completed_total", "rows_total")
    before = {name: of_acme(name) for name in names}
    refused = of_acme("requests_refused_total", 'code="bad_request",')
    rows = infer_body([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]])
    for sent in (predict(3, key_of("acme")), post("/v2/models/double/infer", rows, key_of("acme2"))):
        assert server.ask(sent).status == 200
    assert server.ask(post("/api/batcher", b"{", key_of("acme"))).status == 400
    assert {name: of_acme(name) - before[name] for name in names} == {names[0]: 2, names[1]: 2, names[2]: 4}
    assert of_acme("requests_refused_total", 'code="bad_request",') == refused + 1
    assert (of_acme("requests_in_flight"), of_acme("queue_depth")) == (0, 0)


def test_ten_thousand_invented_names_leave_nothing_behind(server):
    """Of tenants, by their keys, and of models, on both APIs."""

    def invent(names):
        for number in names:
            head = server.edge.read_head(b"/api/batcher", [(b"x-api-key", b"nobody-%d" % number)], None)
            assert head.error.code == "unauthorized"
            path = b"/v2/models/invented-%d/infer" % number
            known = server.edge.read_head(path, [(b"x-api-key", KEYS["acme"].secret.encode())], None)
            for sought in (known, acme):
                body = json.dumps({**vector(3), "model": f"invented-{number}"}).encode()
                with pytest.raises(UnknownModel):
                    sought.route.decode(body, sought, lambda _: None)

    acme = server.edge.read_head(b"/api/batcher", [(b"x-api-key", KEYS["acme"].secret.encode())], None)
    for sent in (predict(1, "x-api-key: nobody"), post("/v2/models/invented/infer", b"{}", key_of("acme"))):
        assert server.ask(sent).status in (401, 404)  # the series that they do make are there
    invent(range(100))
    series = set(samples(server))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    invent(range(10_000))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000  # ten bytes each
    assert set(samples(server)) == series


def test_refusals_leave_nothing_for_the_cycle_collector(server):
    """Under a flood there are thousands a second, and a collection of what they left stops everybody."""
    with server.connect() as wire:
        wire.send(predict(1, key_of("slow")))
        wire.reply()
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                wire.send(predict(1, key_of("slow")) * 10)
                assert {reply.status for reply in wire.replies(10)} == {429}
            assert gc.collect() < 500
        finally:
            gc.enable()


# ---- nobody configured ---------------------------------------------------------------------------


def test_with_no_tenants_a_key_means_nothing(gate):
    with running(config_of()) as server:
        assert server.ask(predict(3)).status == 200
        assert server.ask(predict(3, "x-api-key: whatever")).status == 200
        assert_clean(server)


def test_the_command_keeps_to_this_machine_unless_told_that_it_need_not(tmp_path):
    file = tmp_path / "open.yaml"
    file.write_text(
        "batcher: {host: 0.0.0.0, port: 0}\nmodels: {d: {builtin: digits}}\nlog: {format: json}\n"
    )
    command = [sys.executable, "-m", "streambox", "serve", "--config", str(file)]
    refused = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "streambox tenant key NAME" in refused.stderr
    with subprocess.Popen([*command, "--insecure"], stderr=subprocess.PIPE, text=True) as server:
        assert any('"listening"' in line for line in server.stderr)
        server.terminate()
        assert server.wait(60) == 0
