"""Every way in which a request can be refused or fail over HTTP: status, shape, words."""

from __future__ import annotations

import json
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_models import EXIT, HOLD, NAN, OVERFLOW, RAISE, REFUSE
from support import (
    OUTPUT,
    VECTOR,
    assert_clean,
    chunked,
    config_of,
    infer,
    infer_body,
    post,
    predict,
    request,
    running,
    vector,
)

API = "/api/batcher"
OIP = "/v2/models/double/infer"
GOOD = json.dumps(vector(3))
NO_TYPE = "x-none: 1"

PAIR = """\
  double: {executor: python, callable: "edge_models:obey", %s, %s}
  pair: {executor: python, callable: "edge_models:identity",
         inputs: [{name: a, datatype: FP32, shape: [-1, 2]}, {name: b, datatype: INT8, shape: [-1, 1]}],
         outputs: [{name: a_out, datatype: FP32, shape: [-1, 2]},
                   {name: b_out, datatype: INT8, shape: [-1, 1]}]}
""" % (VECTOR, OUTPUT)  # noqa: UP031 - braces all over


@pytest.fixture(scope="module")
def shared_server(gate):
    with running(config_of(models=PAIR)) as server:
        yield server


@pytest.fixture(scope="module")
def shared_small_server(gate):
    """One request may wait, and bodies are small."""
    config = config_of(max_queue_size=1, json_body_limit="2KiB", binary_body_limit="4KiB", time_window="0s")
    with running(config) as server:
        yield server


@pytest.fixture
def small_server(shared_small_server):
    yield shared_small_server
    assert_clean(shared_small_server)


def assert_reference_error(reply, status: int, code: str, *words: str) -> None:
    assert reply.status == status, reply
    error = reply.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["code"] == code
    assert_fit_to_read(reply, error["message"], words)


def assert_oip_error(reply, status: int, code: str, *words: str) -> None:
    assert reply.status == status, reply
    assert set(reply.json()) == {"error"}
    assert reply.headers["x-error-code"] == code
    assert_fit_to_read(reply, reply.json()["error"], words)


def assert_fit_to_read(reply, message: str, words: tuple[str, ...]) -> None:
    assert reply.headers["content-type"] == "application/json"
    assert "\n" not in message
    assert "Traceback" not in message
    assert ".py" not in message
    for word in words:
        assert word in message, message


def reference(**changes: object) -> bytes:
    body = {**vector(3), **changes}
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


def with_vector(text: str) -> bytes:
    return b'{"request_id": "r", "model": "double", "data": {"vector": %b}}' % text.encode()


# ---- 400 on the reference's API ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", ("body",), id="an empty body names the body"),
        pytest.param(b"{", ("malformed",), id="JSON that ends too early is malformed"),
        pytest.param(b"hello", ("malformed",), id="words are malformed JSON"),
        pytest.param(b"[1]", ("expected an object",), id="an array is not a request"),
        pytest.param(b"\xff" + GOOD.encode(), ("malformed",), id="bytes that are not UTF-8 are malformed"),
        pytest.param(b"[" * 100_000, ("body",), id="nesting without end is refused"),
        pytest.param(GOOD.encode() + b"x", ("malformed",), id="what follows the object is malformed"),
        pytest.param(
            reference(request_id=...), ("request_id", "missing"), id="a missing request_id is named"
        ),
        pytest.param(reference(model=...), ("model", "missing"), id="a missing model is named"),
        pytest.param(reference(data=...), ("data", "missing"), id="missing data is named"),
        pytest.param(reference(data={}), ("data.vector", "missing"), id="a missing vector is named"),
        pytest.param(reference(request_id=7), ("request_id", "a string"), id="a number is not a request_id"),
        pytest.param(reference(model=None), ("model", "a string"), id="null is not a model"),
        pytest.param(reference(data=[1, 2]), ("data", "an object"), id="an array is not data"),
        pytest.param(with_vector('"1 2"'), ("data.vector", "an array"), id="a string is not a vector"),
        pytest.param(with_vector('[1, "2"]'), ("data.vector", "a number"), id="a string is not a number"),
        pytest.param(with_vector("[1, true, 1, 1]"), ("data.vector", "a number"), id="true is not a number"),
        pytest.param(with_vector("[[1], 2, 3, 4]"), ("data.vector", "a number"), id="a row is not a number"),
        pytest.param(
            with_vector("[1, 2, 3]"), ("data.vector", "3", "4"), id="three numbers for four are counted"
        ),
        pytest.param(
            with_vector("[1, 2, 3, 4, 5]"), ("data.vector", "5", "4"), id="five for four are counted"
        ),
        pytest.param(with_vector("[]"), ("data.vector", "empty"), id="an empty vector is named as such"),
        pytest.param(
            with_vector("[1, NaN, 1, 1]"), ("data.vector[1]", "NaN"), id="NaN is named by its place"
        ),
        pytest.param(
            with_vector("[1, 1, -Infinity, 1]"), ("data.vector[2]", "Infinity"), id="-Infinity likewise"
        ),
        pytest.param(
            with_vector("[1e39, 1, 1, 1]"), ("data.vector[0]", "finite"), id="1e39 is too large for FP32"
        ),
        pytest.param(
            with_vector("[1, 1e999, 1, 1]"), ("data.vector",), id="1e999 is too large for any float"
        ),
        pytest.param(
            reference(model="pair"), ("data.vector", "2 inputs"), id="two inputs need the other API"
        ),
    ],
)
def test_a_bad_reference_body_is_refused(server, body, words):
    assert_reference_error(server.ask(post(API, body)), 400, "bad_request", *words)


def test_an_error_carries_the_request_id_where_it_can_be_read(server):
    for body in (
        with_vector("[]"),
        with_vector("[1, NaN]"),
        with_vector("[1e39, 1, 1, 1]"),
        b'{"request_id":"r",',
    ):
        assert server.ask(post(API, body)).json()["error"]["request_id"] == "r"
    assert server.ask(post(API, b"{")).json()["error"]["request_id"] is None


def test_an_id_of_no_letters_is_an_id(server):
    assert server.ask(post(API, reference(request_id=""))).json()["request_id"] == ""
    body = reference(request_id="", data={"vector": []})
    assert server.ask(post(API, body)).json()["error"]["request_id"] == ""


# ---- 400 on the Open Inference Protocol ----------------------------------------------------------


def oip(**changes: object) -> bytes:
    return json.dumps(infer_body([[3, 1, 2, 3]], **changes)).encode()


def raw(numbers: bytes, size: int | None = None, shape: tuple[int, ...] = (1, 4)) -> tuple[bytes, str]:
    """A request with a binary tensor, and the HTTP header that says where it begins."""
    tensor = {"name": "vector", "shape": shape, "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": len(numbers) if size is None else size}
    header = json.dumps({"inputs": [tensor]}).encode()
    return header + numbers, f"inference-header-content-length: {len(header)}"


NUMBERS = struct.pack("<4f", 1, 2, 3, 4)
THREE_AND_NAN = struct.pack("<4f", 1, 2, 3, float("nan"))
LENGTH = "inference-header-content-length: "


@pytest.mark.parametrize(
    ("body", "header", "words"),
    [
        pytest.param(b"", NO_TYPE, ("body",), id="an empty body names the body"),
        pytest.param(b'{"inputs": [', NO_TYPE, ("malformed",), id="JSON that ends too early is malformed"),
        pytest.param(b"{}", NO_TYPE, ("inputs", "missing"), id="missing inputs are named"),
        pytest.param(b'{"inputs": []}', NO_TYPE, ("'vector'", "missing"), id="the missing input is named"),
        pytest.param(b'{"inputs": 3}', NO_TYPE, ("inputs", "an array"), id="a number is not inputs"),
        pytest.param(oip(name="other"), NO_TYPE, ("'other'", "vector"), id="an unknown input is named"),
        pytest.param(
            oip(datatype="FP64"), NO_TYPE, ("vector", "FP64", "FP32"), id="another datatype is named"
        ),
        pytest.param(oip(datatype="BYTES"), NO_TYPE, ("vector", "BYTES"), id="BYTES are not supported"),
        pytest.param(oip(shape=[1, 3]), NO_TYPE, ("vector", "[1, 3]"), id="another shape is named"),
        pytest.param(oip(shape=[0, 4], data=[]), NO_TYPE, ("vector", "[0, 4]"), id="no rows is no request"),
        pytest.param(oip(shape=[-1, 4]), NO_TYPE, ("vector", "[-1, 4]"), id="-1 rows is no shape of data"),
        pytest.param(oip(shape=[2, 4]), NO_TYPE, ("vector",), id="fewer values than the shape says"),
        pytest.param(
            oip(data=[1, 2, 3]), NO_TYPE, ("vector", "3 values"), id="three values for four are counted"
        ),
        pytest.param(oip(data=[]), NO_TYPE, ("vector", "0 values"), id="an empty tensor is counted"),
        pytest.param(oip(data=[[1, 2], [3, 4]]), NO_TYPE, ("vector",), id="nesting must be the shape's"),
        pytest.param(
            oip(data=[1, 2, "3", 4]), NO_TYPE, ("vector", "a number"), id="a string is not a number"
        ),
        pytest.param(oip(data=[1, 1e39, 1, 1]), NO_TYPE, ("vector", "FP32"), id="1e39 is too large for FP32"),
        pytest.param(
            oip(data=[1, float("nan"), 1, 1]), NO_TYPE, ("inputs[0].data[1]", "NaN"), id="NaN is not JSON"
        ),
        pytest.param(
            oip(data=[1, 1, float("inf"), 1]),
            NO_TYPE,
            ("inputs[0].data[2]", "Infinity"),
            id="nor is Infinity",
        ),
        pytest.param(oip(data=None), NO_TYPE, ("vector", "data"), id="null is not data"),
        pytest.param(
            json.dumps({**infer_body([[1, 2, 3, 4]]), "outputs": [{"name": "other"}]}).encode(),
            NO_TYPE,
            ("'other'", "output"),
            id="an unknown output is named",
        ),
        pytest.param(
            json.dumps({**infer_body([[1, 2, 3, 4]]), "parameters": {"timeout": "1s"}}).encode(),
            NO_TYPE,
            ("timeout",),
            id="a timeout is microseconds",
        ),
        pytest.param(
            json.dumps(infer_body([[1, 2, 3, 4]] * 1025)).encode(),
            NO_TYPE,
            ("1025", "1024"),
            id="more rows than a request may have",
        ),
        pytest.param(oip(), LENGTH + "5", ("malformed",), id="a JSON length in the middle of the JSON"),
        pytest.param(oip(), LENGTH + "99999", ("99999",), id="a JSON length beyond the body"),
        pytest.param(
            oip(), LENGTH + "x", ("inference-header-content-length",), id="a JSON length of letters"
        ),
        pytest.param(*raw(NUMBERS[:-1]), ("vector", "15", "16"), id="binary data a byte short"),
        pytest.param(*raw(NUMBERS[:-1], size=16), ("vector", "1 bytes"), id="a body a byte short"),
        pytest.param(*raw(NUMBERS + b"x", size=16), ("1 bytes are left over",), id="a body a byte too long"),
        pytest.param(raw(NUMBERS)[0], NO_TYPE, ("malformed",), id="binary data without the HTTP header"),
        pytest.param(*raw(THREE_AND_NAN), ("vector", "value 3"), id="a binary NaN is named by its place"),
        pytest.param(oip(), "x-request-timeout-ms: soon", ("x-request-timeout-ms", "soon"), id="no number"),
        pytest.param(oip(), "x-request-timeout-ms: 0", ("x-request-timeout-ms",), id="no time at all"),
        pytest.param(oip(), "x-request-timeout-ms: nan", ("x-request-timeout-ms",), id="not a number"),
        pytest.param(oip(), "x-request-timeout-ms: -5", ("x-request-timeout-ms",), id="less than no time"),
    ],
)
def test_a_bad_oip_body_is_refused(server, body, header, words):
    assert_oip_error(server.ask(post(OIP, body, header)), 400, "bad_request", *words)


def test_inputs_that_disagree_on_their_rows_are_refused(server):
    tensors = [
        {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "b", "shape": [1, 1], "datatype": "INT8", "data": [1]},
    ]
    reply = server.ask(post("/v2/models/pair/infer", {"inputs": tensors}))
    assert_oip_error(reply, 400, "bad_request", "'b'", "1 rows", "2")
    tensors[1] |= {"shape": [2, 1], "data": [1, 300]}
    reply = server.ask(post("/v2/models/pair/infer", {"inputs": tensors}))
    assert_oip_error(reply, 400, "bad_request", "'b'", "300", "INT8")


# ---- 404, 405, 415 -------------------------------------------------------------------------------


def test_an_unknown_model_is_404_and_the_models_that_exist_are_named(server):
    words = ("'nope'", "double, pair")
    assert_reference_error(server.ask(post(API, vector(1, model="nope"))), 404, "unknown_model", *words)
    for target in ("/v2/models/nope/infer", "/v2/models/nope/versions/1/infer"):
        assert_oip_error(server.ask(post(target, oip())), 404, "unknown_model", *words)
    for target in ("/v2/models/nope", "/v2/models/nope/ready"):
        assert_oip_error(server.ask(request("GET", target)), 404, "unknown_model", *words)


def test_an_error_does_not_give_back_a_name_without_end(server):
    name = "\0" * 100_000
    for reply in (
        server.ask(post(API, vector(1, model=name))),
        server.ask(post("/v2/models/" + "%00" * 10_000 + "/infer", oip())),
        server.ask(post("/v2/models/double/versions/" + "%00" * 10_000 + "/infer", oip())),
    ):
        assert reply.status == 404
        assert len(reply.body) < 1000


def test_an_unknown_version_is_404_and_the_one_that_exists_is_named(server):
    for method, target in (("POST", "/infer"), ("GET", ""), ("GET", "/ready")):
        message = request(method, f"/v2/models/double/versions/9{target}", "content-length: 0")
        assert_oip_error(server.ask(message), 404, "unknown_model", "'9'", "1")


@pytest.mark.parametrize("target", ["/", "/nope", "/api", "/api/batcher/", "/api/batcher/x", "/metrics/"])
def test_an_unknown_path_is_404(server, target):
    for method in ("GET", "POST"):
        message = request(method, target, "content-length: 0")
        assert_reference_error(server.ask(message), 404, "not_found", target)


@pytest.mark.parametrize("target", ["/v2/nope", "/v2/models/", "/v2/models/double/nope", "/v2/health/"])
def test_an_unknown_path_under_v2_is_404_in_its_own_shape(server, target):
    assert_oip_error(server.ask(request("GET", target)), 404, "not_found", target)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_wrong_method_is_405_and_the_right_one_is_named(server, method):
    reply = server.ask(request(method, API))
    assert_reference_error(reply, 405, "method_not_allowed", method, "POST")
    assert reply.headers["allow"] == "POST"
    reply = server.ask(request(method, OIP))
    assert_oip_error(reply, 405, "method_not_allowed", method, "POST")
    assert reply.headers["allow"] == "POST"


def test_a_post_to_what_is_only_read_is_405(server):
    for target in ("/v2", "/v2/health/live", "/v2/models/double"):
        reply = server.ask(post(target, b"{}"))
        assert_oip_error(reply, 405, "method_not_allowed", "POST")
        assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "text/html; charset=utf-8", "multipart/form-data"]
)
def test_a_foreign_content_type_is_415(server, kind):
    header = f"content-type: {kind}"
    assert_reference_error(server.ask(predict(3, header)), 415, "unsupported_media_type", "application/json")
    assert_oip_error(server.ask(infer(3, header)), 415, "unsupported_media_type", "application/json")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("application/json", id="JSON"),
        pytest.param("application/json; charset=utf-8", id="JSON with a parameter"),
        pytest.param("Application/JSON", id="JSON in capitals"),
        pytest.param("application/x-www-form-urlencoded", id="what curl -d says by itself"),
        pytest.param("application/vnd.acme+json", id="a kind of JSON"),
        pytest.param("", id="nothing"),
    ],
)
def test_json_by_any_name_is_taken(server, kind):
    header = f"content-type: {kind}"
    assert server.ask(predict(3, header)).output[0] == 6
    assert server.ask(infer(3, header)).status == 200


def test_a_compressed_body_is_415(server):
    reply = server.ask(predict(3, "content-encoding: gzip"))
    assert_reference_error(reply, 415, "unsupported_media_type", "gzip")
    assert server.ask(predict(3, "content-encoding: identity")).status == 200


def test_a_transfer_coding_besides_chunked_is_400(server):
    """Such a body has an end, but is not the JSON that it would be taken for."""
    message = chunked(API, GOOD.encode())
    assert server.ask(message.replace(b": chunked", b": Chunked ")).output[0] == 6
    reply = server.ask(message.replace(b": chunked", b": gzip, chunked"))
    assert_reference_error(reply, 400, "bad_request", "gzip, chunked")


def test_blanks_behind_a_headers_value_do_not_count(server):
    body, length = raw(NUMBERS)
    assert server.ask(post(OIP, body, length + " \t")).status == 200
    assert server.ask(predict(3, "content-encoding: identity \t", "content-type: text/json\t")).status == 200


# ---- 413 -----------------------------------------------------------------------------------------


def test_a_body_over_its_limit_is_413(small_server):
    """As JSON 2 KiB, with binary tensors 4 KiB; whether the length is declared or comes about."""
    long = b" " * 2049
    length = request("POST", API, "content-length: 2049")
    for message in (length, length + long, chunked(API, long), chunked(API, *[b" " * 100] * 21)):
        assert_reference_error(small_server.ask(message), 413, "body_too_large", "2048 bytes")
    assert_oip_error(small_server.ask(chunked(OIP, long)), 413, "body_too_large", "2048 bytes")
    longer = post(OIP, b" " * 4097, LENGTH + "10")
    assert_oip_error(small_server.ask(longer), 413, "body_too_large", "4096 bytes")


def test_a_body_at_its_limit_is_read(small_server):
    body = GOOD.encode().ljust(2048)
    assert small_server.ask(post(API, body)).status == 200
    assert small_server.ask(chunked(API, body[:1000], body[1000:])).status == 200
    assert small_server.ask(post(OIP, b" " * 4096, LENGTH + "10")).status == 400


# ---- 503 and 504 ---------------------------------------------------------------------------------


def test_those_who_are_turned_away_together_are_not_told_to_come_back_together(small_server, gate):
    with small_server.connect() as running_, small_server.connect() as waiting:
        running_.send(predict(HOLD))
        gate.started()
        waiting.send(predict(1))
        small_server.until(lambda: small_server.counters().queued == 1)
        told = {small_server.ask(predict(2)).headers["retry-after"] for _ in range(64)}
        gate.go()
        assert running_.reply().status == waiting.reply().status == 200
    assert told == {"1", "2"}  # once in 2**63 it is only one of them


def test_a_full_queue_is_503_with_retry_after(small_server, gate):
    with small_server.connect() as running_, small_server.connect() as waiting:
        running_.send(predict(HOLD))
        gate.started()
        waiting.send(predict(1))
        small_server.until(lambda: small_server.counters().queued == 1)
        reply = small_server.ask(predict(2))
        assert_reference_error(reply, 503, "queue_full", "double", "max_queue_size")
        assert int(reply.headers["retry-after"]) >= 1
        reply = small_server.ask(infer(2))
        assert_oip_error(reply, 503, "queue_full", "double", "max_queue_size")
        assert int(reply.headers["retry-after"]) >= 1
        gate.go()
        assert running_.reply().status == waiting.reply().status == 200


def test_a_deadline_that_passes_is_504(small_server, gate):
    """While the request waits and while it runs; the caller's own, by header or by parameter."""
    timed = {**infer_body([[HOLD, 1, 2, 3]]), "parameters": {"timeout": 20_000}}
    with small_server.connect() as wire:
        wire.send(post(OIP, timed))
        gate.started()
        waiting = small_server.ask(predict(1, "x-request-timeout-ms: 20.5"))
        assert_reference_error(waiting, 504, "deadline_exceeded", "20.5 ms", "waited")
        assert_oip_error(wire.reply(), 504, "deadline_exceeded", "20 ms", "while it ran")
        header = small_server.ask(infer(1, "x-request-timeout-ms: 20"))
        assert_oip_error(header, 504, "deadline_exceeded", "20 ms", "waited")
        gate.go()
    assert small_server.ask(predict(1)).status == 200


def test_a_timeout_of_zero_is_the_models_own(server):
    assert server.ask(post(OIP, {**infer_body([[1, 2, 3, 4]]), "parameters": {"timeout": 0}})).status == 200


# ---- the model's part ----------------------------------------------------------------------------


def together(server, gate, firsts: list[int]) -> list:
    """The replies to requests that share a batch: they gather behind one that is held."""
    with server.connect() as holder, ThreadPoolExecutor(len(firsts)) as pool:
        holder.send(predict(HOLD))
        gate.started()
        asked = [pool.submit(server.ask, predict(first)) for first in firsts]
        server.until(lambda: server.counters().queued == len(firsts))
        gate.go()
        assert holder.reply().status == 200
        return [reply.result() for reply in asked]


@pytest.mark.parametrize(
    ("bad", "status", "code", "word"),
    [
        pytest.param(NAN, 502, "bad_model_output", "not finite", id="an output that is not a number"),
        pytest.param(OVERFLOW, 502, "bad_model_output", "not finite", id="an output that is infinite"),
        pytest.param(RAISE, 422, "row_failed", "ValueError: a row that", id="an exception in the model"),
        pytest.param(REFUSE, 422, "row_failed", "refused by the model", id="a row that the model refuses"),
        pytest.param(EXIT, 500, "worker_died", "exit code 9", id="the end of the worker"),
    ],
)
def test_a_bad_row_fails_alone(server, gate, bad, status, code, word):
    replies = together(server, gate, [1, 2, bad, 3, 4])
    assert_reference_error(replies.pop(2), status, code, word)
    assert [reply.output[0] for reply in replies] == [2, 4, 6, 8]


def test_an_input_that_overflows_fails_alone(server, gate):
    replies = together(server, gate, [1, 2, 1e39, 4])
    assert_reference_error(replies.pop(2), 400, "bad_request", "data.vector[0]")
    assert [reply.output[0] for reply in replies] == [2, 4, 8]


def test_a_non_finite_output_goes_as_bytes_but_not_as_json(server):
    body = infer_body([[NAN, 1, 2, 3]])
    assert_oip_error(server.ask(post(OIP, body)), 502, "bad_model_output", "'output'", "finite")
    reply = server.ask(post(OIP, {**body, "parameters": {"binary_data_output": True}}))
    assert reply.status == 200
    numbers = struct.unpack("<4f", reply.body[int(reply.headers["inference-header-content-length"]) :])
    assert numbers[1] != numbers[1]
    assert numbers[2] == 4


def test_a_fault_of_ours_is_told_without_its_trace(server, monkeypatch):
    """Whatever breaks inside: in decoding, in rendering, on the way to uvicorn."""

    def broken(*_, **__):
        raise ZeroDivisionError("a secret of the server's")

    router = server.edge.router
    monkeypatch.setattr("streambox.server.routes.reference.decode", broken)
    assert_reference_error(server.ask(predict(1)), 500, "internal", "the server failed")
    monkeypatch.setattr("streambox.server.routes.oip.encode_infer_reply", broken)
    assert_oip_error(server.ask(infer(1)), 500, "internal", "the server failed")
    monkeypatch.setattr(router, "find", broken)
    reply = server.ask(predict(1))
    assert_reference_error(reply, 500, "internal", "the server failed")
    assert b"secret" not in reply.body
    monkeypatch.undo()
    assert server.ask(predict(1)).status == 200
