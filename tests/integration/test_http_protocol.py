"""HTTP kept whole on the hot routes: framing, order, limits, time-outs, and callers who misbehave."""

from __future__ import annotations

import gc
import socket
import threading
import weakref

import pytest

from edge_models import HOLD
from streambox.batcher.batch import Batch
from streambox.errors import ModelUnavailable
from support import (
    GET_LIVE,
    Wire,
    assert_clean,
    chunked,
    config_of,
    infer,
    post,
    predict,
    request,
    running,
    until,
    vector,
)

BAD_JSON = post("/api/batcher", b"{")
PIPELINE = 16


@pytest.fixture(scope="module")
def shared_strict_server(gate):
    """Small limits, so that a test need not send megabytes to go over them."""
    with running(config_of(header_limit="2KiB", json_body_limit="4KiB", binary_body_limit="8KiB")) as server:
        yield server


@pytest.fixture
def strict_server(shared_strict_server):
    yield shared_strict_server
    assert_clean(shared_strict_server)


@pytest.fixture(scope="module")
def hasty_server():
    """Every time-out has passed when the server looks at its connections, as ``sweep`` makes it do."""
    with running(config_of(header_timeout="1ms", body_timeout="1ms", idle_timeout="1ms")) as server:
        yield server


def sweep(server, wire: Wire) -> None:
    """Let the server look at its time-outs until that has made it say something on *wire*."""
    until(lambda: server.call(server.edge.sweep) is None and not wire.silent())


def only_connection(server):
    server.until(lambda: len(server.edge.connections) == 1)
    return next(iter(server.edge.connections))


# ---- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 17, 500])
def test_pipelined_hot_requests_are_answered_in_order(server, depth):
    with server.connect() as wire:
        wire.send(b"".join(predict(n) for n in range(depth)))
        assert [reply.output[0] for reply in wire.replies(depth)] == [2 * n for n in range(depth)]


def test_pipelined_cold_requests_are_answered_in_order(server):
    with server.connect() as wire:
        wire.send((GET_LIVE + request("GET", "/v2/models/double") + request("GET", "/nope")) * 20)
        assert [reply.status for reply in wire.replies(60)] == [200, 200, 404] * 20


def test_hot_cold_and_refused_requests_pipelined_together_are_answered_in_order(server):
    with server.connect() as wire:
        for n in range(40):
            wire.send(predict(n) + GET_LIVE + BAD_JSON + infer(n))
        for n in range(40):
            hot, cold, refused, oip = wire.replies(4)
            assert (hot.output[0], cold.json()) == (2 * n, {"live": True})
            assert (refused.status, oip.json()["outputs"][0]["data"][0]) == (400, 2 * n)


def test_a_reply_known_at_once_waits_for_the_one_before_it(server, gate):
    with server.connect() as wire:
        wire.send(predict(HOLD) + BAD_JSON + GET_LIVE)
        gate.started()
        server.until(lambda: server.edge.errors.get("bad_request"))
        assert wire.silent()
        gate.go()
        assert [reply.status for reply in wire.replies(3)] == [200, 400, 200]


@pytest.mark.parametrize("filler", [BAD_JSON, GET_LIVE, predict(1)], ids=["refused", "cold", "hot"])
def test_what_one_connection_has_waiting_is_bounded(server, gate, filler):
    """Behind a request that takes long, reading stops; nothing is lost by it."""
    one_read = 256_000 // len(filler)
    rest = memoryview(filler * one_read * 20)

    def pushed() -> bool:
        nonlocal rest
        rest = wire.push(rest)
        return server.call(lambda: connection.flow.read_paused)

    with server.connect() as wire:
        wire.send(predict(HOLD))
        gate.started()
        connection = only_connection(server)
        until(pushed)
        assert server.call(lambda: len(connection._exchanges)) <= one_read + 2 * PIPELINE
        wire.reset()
        gate.go()


# ---- framing -------------------------------------------------------------------------------------


def test_a_chunked_body_is_put_together(server):
    body = post("/api/batcher", vector(3)).partition(b"\r\n\r\n")[2]
    assert server.ask(chunked("/api/batcher", body[:1], body[1:9], body[9:])).output == [6, 2, 4, 6]
    body = infer(4).partition(b"\r\n\r\n")[2]
    reply = server.ask(chunked("/v2/models/double/infer", body[:40], body[40:]))
    assert reply.json()["outputs"][0]["data"] == [8, 2, 4, 6]


@pytest.mark.parametrize("make", [predict, infer], ids=["reference", "oip"])
def test_a_request_in_one_byte_pieces_is_put_together(server, make):
    with server.connect() as wire:
        for message in (make(3), make(4)):
            wire.send(*(bytes([byte]) for byte in message))
            assert wire.reply().status == 200


def test_a_chunked_request_in_one_byte_pieces_is_put_together(server):
    body = post("/api/batcher", vector(3)).partition(b"\r\n\r\n")[2]
    message = chunked("/api/batcher", *(bytes([byte]) for byte in body))
    with server.connect() as wire:
        wire.send(*(bytes([byte]) for byte in message))
        assert wire.reply().output == [6, 2, 4, 6]


def test_of_two_requests_in_one_segment_the_incomplete_one_waits_for_its_rest(server):
    first, second = predict(3), predict(4)
    for cut in (1, 30, len(second) - 60, len(second) - 1):
        with server.connect() as wire:
            wire.send(first + second[:cut])
            assert wire.reply().output[0] == 6
            wire.send(second[cut:])
            assert wire.reply().output[0] == 8


def test_a_line_end_behind_a_body_is_ignored(server):
    """Some clients add one; it belongs to no message."""
    with server.connect() as wire:
        for n in (3, 4, 5):
            wire.send(predict(n) + b"\r\n")
            assert wire.reply().output[0] == 2 * n


def test_a_repeated_head_is_not_taken_for_granted(server):
    """The same bytes first, but another message: a longer body, a cold route, a broken head, a close."""
    with server.connect() as wire:
        for _ in range(2):
            for n in (3, 3, 30, 300, 4):
                wire.send(predict(n))
                assert wire.reply().output[0] == 2 * n
            wire.send(BAD_JSON)
            assert wire.reply().status == 400
            wire.send(infer(5), GET_LIVE)
            assert [reply.status for reply in wire.replies(2)] == [200, 200]
            wire.send(predict(3)[:-1], b"}" + predict(4))
            assert [reply.output[0] for reply in wire.replies(2)] == [6, 8]
        wire.send(predict(3, "connection: close"))
        assert wire.reply().output[0] == 6
        assert wire.ended()


def test_a_head_behind_the_end_of_a_body_is_not_remembered_with_it(server):
    """The same bytes once more, but nothing is open that they could end: not a request."""
    with server.connect() as wire:
        wire.send(predict(3)[:-1])
        server.until(lambda: server.edge.buffered_bytes > 0)
        wire.send(b"}" + predict(4))
        assert [reply.output[0] for reply in wire.replies(2)] == [6, 8]
        wire.send(b"}" + predict(4))
        assert wire.reply().status == 400
        assert wire.ended()


def test_trailers_behind_a_chunked_body_are_ignored(server):
    body = post("/api/batcher", vector(3)).partition(b"\r\n\r\n")[2]
    plain = chunked("/api/batcher", body)
    trailing = plain[:-2] + b"x-request-timeout-ms: never\r\n\r\n"
    with server.connect() as wire:
        wire.send(trailing + plain + trailing)
        assert [reply.status for reply in wire.replies(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="a TLS hello"),
        pytest.param(b"hello, is this HTTP?\r\n\r\n", id="words"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 without asking"),
        pytest.param(request("CONNECT", "elsewhere:443"), id="a proxy's method"),
        pytest.param(request("GET", "elsewhere"), id="a target without a path"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nhost: test\r\n\r\n", id="bytes that no URL has"),
        pytest.param(request("POST", "/api/batcher", "bad header"), id="a header without a colon"),
        pytest.param(request("POST", "/api/batcher", "content-length: -1"), id="a negative length"),
        pytest.param(
            request("POST", "/api/batcher", "content-length: 1e3"), id="a length that is no integer"
        ),
        pytest.param(
            request("POST", "/api/batcher", f"content-length: {2**64}"), id="a length beyond 64 bits"
        ),
        pytest.param(request("POST", "/api/batcher", "content-length:"), id="an empty length"),
        pytest.param(predict(1, "content-length: 3"), id="two lengths"),
        pytest.param(predict(1, "transfer-encoding: chunked"), id="a length and chunks"),
        pytest.param(
            request(
                "POST", "/api/batcher", "transfer-encoding: chunked", "content-length: 5", body=b"0\r\n\r\n"
            ),
            id="chunks and a length",
        ),
        pytest.param(
            request("POST", "/api/batcher", "transfer-encoding: chunked, gzip"),
            id="an encoding that has no end",
        ),
        pytest.param(
            request("POST", "/api/batcher", "transfer-encoding: chunked", body=b"xyz\r\n"),
            id="a chunk size of letters",
        ),
        pytest.param(
            request("POST", "/api/batcher", "transfer-encoding: chunked", body=b"-1\r\n"),
            id="a negative chunk size",
        ),
        pytest.param(
            request("POST", "/api/batcher", "transfer-encoding: chunked", body=b"f" * 17 + b"\r\n"),
            id="a chunk size beyond 64 bits",
        ),
        pytest.param(
            request("POST", "/api/batcher", "transfer-encoding: chunked", body=b"1\r\nab\r\n"),
            id="a chunk longer than it says",
        ),
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(server, message):
    with server.connect() as wire:
        wire.send(message)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert "callback" not in reply.body.decode()
        assert wire.ended()


def test_a_good_request_before_garbage_is_answered(server):
    with server.connect() as wire:
        wire.send(predict(3) + b"\0garbage")
        assert [reply.status for reply in wire.replies(2)] == [200, 400]
        assert wire.ended()


# ---- Expect: 100-continue ------------------------------------------------------------------------


def head_and_body(message: bytes) -> tuple[bytes, bytes]:
    head, _, body = message.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def test_a_caller_who_expects_100_continue_gets_it(server):
    head, body = head_and_body(predict(3, "expect: 100-continue"))
    with server.connect() as wire:
        for _ in range(2):
            wire.send(head)
            assert wire.reply().status == 100
            wire.send(body)
            assert wire.reply().output == [6, 2, 4, 6]


def test_a_body_that_does_not_wait_for_100_continue_is_taken(server):
    with server.connect() as wire:
        wire.send(predict(3, "expect: 100-continue"))
        while (reply := wire.reply()).status == 100:
            pass
        assert reply.output == [6, 2, 4, 6]


def test_100_continue_waits_for_the_replies_before_it(server, gate):
    head, body = head_and_body(predict(3, "expect: 100-continue"))
    with server.connect() as wire:
        wire.send(predict(HOLD) + head)
        gate.started()
        assert wire.silent()
        gate.go()
        assert [wire.reply().status, wire.reply().status] == [200, 100]
        wire.send(body)
        assert wire.reply().output[0] == 6


def test_a_body_that_will_be_refused_is_not_asked_for(strict_server):
    with strict_server.connect() as wire:
        wire.send(request("POST", "/api/batcher", "expect: 100-continue", "content-length: 5000"))
        assert wire.reply().status == 413
        assert wire.ended()


def test_http_1_0_is_never_told_to_continue(server):
    assert server.ask(predict(3, "expect: 100-continue", version="1.0")).output[0] == 6


# ---- the end of a connection ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(predict(3, "connection: close"), id="asked to close"),
        pytest.param(predict(3, "Connection: foo, Close"), id="asked to close among other things"),
        pytest.param(predict(3, version="1.0"), id="HTTP/1.0"),
        pytest.param(predict(3, "connection: keep-alive", version="1.0"), id="HTTP/1.0 asking to keep alive"),
        pytest.param(infer(3, "connection: close"), id="asked to close, OIP"),
        pytest.param(request("GET", "/v2", "connection: close"), id="asked to close, cold"),
        pytest.param(request("GET", "/v2", version="1.0"), id="HTTP/1.0, cold"),
    ],
)
def test_the_connection_closes_after_the_reply(server, message):
    with server.connect() as wire:
        wire.send(message)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert wire.ended()


def test_a_request_behind_one_of_http_1_0_is_ignored_though_it_asks_to_keep_alive(server, gate):
    seen = len(gate.executed())
    with server.connect() as wire:
        wire.send(predict(3, "connection: keep-alive", version="1.0") + predict(77))
        assert wire.reply().headers["connection"] == "close"
        assert wire.ended()
    assert 77 not in gate.executed()[seen:]


@pytest.mark.parametrize("first", [predict(3), GET_LIVE, BAD_JSON], ids=["hot", "cold", "refused"])
def test_a_request_behind_the_last_one_is_ignored(server, gate, first):
    last = first.replace(b"host: test", b"connection: close")
    seen = len(gate.executed())
    with server.connect() as wire:
        wire.send(last + predict(77) + GET_LIVE + predict(78) * 40)
        assert wire.reply().headers["connection"] == "close"
        assert wire.ended()
    assert not {77, 78} & set(gate.executed()[seen:])


def test_a_caller_who_resets_the_connection_in_mid_body_leaves_nothing(server):
    for message in (predict(3), infer(3), chunked("/api/batcher", b" " * 100_000, b" ")):
        wire = server.connect()
        wire.send(message[:-4])
        server.until(lambda: server.edge.buffered_bytes > 0)
        wire.reset()
        server.until(lambda: server.edge.buffered_bytes == 0)


def test_a_caller_who_half_closes_counts_as_gone(server):
    with server.connect() as wire:
        wire.send(predict(3)[:-4])
        wire.half_close()
        assert wire.ended()


def test_connections_are_freed_when_they_end(server):
    gone = []
    for message in (predict(3), GET_LIVE, BAD_JSON, b"garbage\r\n\r\n", predict(3)[:-5], infer(3)[:40]):
        with server.connect() as wire:
            wire.send(message)
            gone.append(weakref.ref(only_connection(server)))
            if message in (predict(3), GET_LIVE, BAD_JSON):
                wire.reply()
        server.until(lambda: not server.edge.connections)
    server.ask(predict(1))  # what the batcher still remembers of the last request goes with the next
    assert not any(ref() for ref in gone)


def test_batches_are_freed_when_they_are_answered(server):
    def batches() -> int:
        return sum(type(thing) is Batch for thing in gc.get_objects())

    gc.disable()  # by reference count alone, then
    try:
        before = server.call(batches)
        for n in range(10):
            server.ask(predict(n))
            server.ask(infer(n))
        assert server.call(batches) <= before + 1
    finally:
        gc.enable()


# ---- callers who do not read ---------------------------------------------------------------------

BIG = 256 * 1024


def deaf(server) -> Wire:
    """A client whose system takes few bytes that it does not read."""
    return Wire(server.port, SO_RCVBUF=4096)


def test_a_caller_who_does_not_read_is_not_read_from_and_harms_nobody(server):
    count = 200
    with deaf(server) as wire:
        messages = b"".join(post("/api/batcher", vector(n, f"{n}," + "x" * BIG)) for n in range(count))
        sender = threading.Thread(target=wire.send, args=(messages,))
        sender.start()
        connection = only_connection(server)
        server.until(lambda: connection.flow.write_paused and not server.serving.scheduler.in_flight)
        assert connection.flow.read_paused
        assert server.edge.buffered_bytes < (PIPELINE + 2) * BIG
        assert connection.transport.get_write_buffer_size() < (PIPELINE + 2) * BIG
        assert server.ask(predict(3)).output[0] == 6
        ids = [reply.json()["request_id"].partition(",")[0] for reply in wire.replies(count)]
        sender.join()
    assert ids == [str(n) for n in range(count)]


def test_requests_refused_while_their_caller_did_not_read_are_answered(server, gate):
    """All have been read behind a reply that fills every buffer; nothing more comes to stir them."""
    count = 60
    with deaf(server) as wire:
        wire.send(post("/api/batcher", vector(HOLD, "x" * 10_000_000)))
        gate.started()
        wire.send(predict(1) * count)
        connection = only_connection(server)
        server.until(lambda: connection._unsubmitted and connection.flow.read_paused)
        gate.go()
        server.until(lambda: connection.flow.write_paused and not server.serving.scheduler.in_flight)
        admission = server.serving.models["double"].admission
        admission.closed_by = ModelUnavailable("closed by the test")
        statuses = [reply.status for reply in wire.replies(1 + count)]
        admission.open()
    assert statuses == [200] * PIPELINE + [503] * (1 + count - PIPELINE)


def test_a_caller_who_does_not_read_refusals_is_not_read_from_either(server):
    rest = memoryview(BAD_JSON * 200_000)

    def pushed() -> bool:
        nonlocal rest
        rest = wire.push(rest)
        return server.call(lambda: connection.flow.write_paused and connection.flow.read_paused)

    with deaf(server) as wire:
        connection = only_connection(server)
        until(pushed)
        wire.reset()


@pytest.mark.parametrize("header", ["connection: close", "x-none: 1"])
def test_a_caller_who_never_reads_is_cut_off(server, header):
    with deaf(server) as wire:
        wire.send(post("/api/batcher", vector(1, "x" * 10_000_000), header))
        connection = only_connection(server)
        server.until(lambda: connection.transport.get_write_buffer_size() > 0)
        much_later_ns = server.edge.now_ns + 10**12
        server.call(lambda: connection.check_timeouts(much_later_ns))
        server.until(lambda: not server.edge.connections)


# ---- limits --------------------------------------------------------------------------------------

LONG = "x-long: " + "y" * 3000


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(predict(1, LONG), id="hot"),
        pytest.param(request("GET", "/v2", LONG), id="cold"),
        pytest.param(request("GET", "/v2/" + "z" * 3000), id="a huge URL, cold"),
        pytest.param(post("/api/batcher?" + "z" * 3000, vector(1)), id="a huge URL, hot"),
        pytest.param(request("GET", "/v2", *["a: b"] * 600), id="many headers"),
    ],
)
def test_a_head_over_its_limit_is_refused(strict_server, message):
    with strict_server.connect() as wire:
        wire.send(message)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (431, "close")
        assert wire.ended()


@pytest.mark.parametrize("start", [b"", predict(1)], ids=["first", "behind a request"])
def test_a_head_without_an_end_is_refused_at_its_limit(strict_server, start):
    with strict_server.connect() as wire:
        if start:
            wire.send(start)
            assert wire.reply().status == 200
        wire.send(b"POST /api/batcher HTTP/1.1\r\nx: ")
        connection = only_connection(strict_server)
        strict_server.until(lambda: connection._phase == 1)
        wire.send(b"y" * 4096)
        assert wire.reply().status == 431
        assert wire.ended()


def test_a_head_is_not_charged_for_what_came_with_it(strict_server):
    """Many requests in one segment, the last one's head incomplete: only that head counts."""
    first = predict(3) * 30
    second = predict(4)
    assert len(first) > 2048
    with strict_server.connect() as wire:
        wire.send(first + second[:30])
        assert len(wire.replies(30)) == 30
        wire.send(second[30:])
        assert wire.reply().output[0] == 8


def test_trailers_over_the_limit_of_a_head_are_refused(strict_server):
    body = post("/api/batcher", vector(3)).partition(b"\r\n\r\n")[2]
    with strict_server.connect() as wire:
        wire.send(chunked("/api/batcher", body)[:-2] + b"x: ")
        strict_server.until(lambda: strict_server.edge.buffered_bytes > 0)
        for _ in range(4):
            wire.send(b"y" * 1024)
        assert wire.reply().status == 431
        assert wire.ended()


@pytest.mark.parametrize("repeated", [False, True], ids=["a new head", "a repeated head"])
def test_all_bodies_together_are_bounded(gate, repeated):
    config = config_of(max_buffered_bytes="100KiB")
    head, body = head_and_body(post("/api/batcher", b" " * 90 * 1024))
    small = post("/api/batcher", b" " * 20 * 1024)
    with running(config) as server:
        with server.connect() as holder, server.connect() as late:
            if repeated:
                late.send(small)
                assert late.reply().status == 400
            holder.send(head, body[:-1])
            server.until(lambda: server.edge.buffered_bytes == len(body) - 1)
            late.send(small)
            reply = late.reply()
            assert (reply.status, reply.json()["error"]["code"]) == (503, "buffers_full")
            assert reply.headers["retry-after"] in ("1", "2")
            assert late.ended()
            holder.send(body[-1:])
            assert holder.reply().status == 400
        assert_clean(server)


# ---- time-outs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        pytest.param(b"POST /api/batcher HT", "head", id="a head that does not end"),
        pytest.param(predict(3)[:-3], "body", id="a body that does not end"),
        pytest.param(
            request("POST", "/api/batcher", "expect: 100-continue", "content-length: 9"), "body", id="asked"
        ),
    ],
)
def test_a_request_that_does_not_arrive_in_time_is_refused(hasty_server, sent, word):
    with hasty_server.connect() as wire:
        wire.send(sent)
        if b"expect" in sent:
            assert wire.reply().status == 100
        sweep(hasty_server, wire)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert f"the request's {word} did not arrive in time" in reply.json()["error"]["message"]
        assert wire.ended()
    assert_clean(hasty_server)


@pytest.mark.parametrize("sent", [b"", predict(3), GET_LIVE], ids=["nothing yet", "hot", "cold"])
def test_a_connection_that_says_nothing_is_closed(hasty_server, sent):
    with hasty_server.connect() as wire:
        if sent:
            wire.send(sent)
            assert wire.reply().status == 200
        sweep(hasty_server, wire)
        assert wire.ended()
    assert_clean(hasty_server)


def test_the_server_looks_at_its_connections_by_itself(hasty_server):
    with hasty_server.connect() as wire:
        assert wire.ended()
    assert_clean(hasty_server)


def test_a_caller_who_waits_for_an_answer_is_not_timed_out(server, gate):
    with server.connect() as wire:
        wire.send(predict(HOLD))
        gate.started()
        connection = only_connection(server)
        server.call(lambda: connection.check_timeouts(server.edge.now_ns + 10**12))
        gate.go()
        assert wire.reply().status == 200


@pytest.mark.parametrize("path", ["/nope", "/metrics"])
def test_a_body_that_a_cold_route_does_not_want_is_not_waited_for_for_ever(hasty_server, path):
    with hasty_server.connect() as wire:
        wire.send(request("POST", path, "content-length: 10", body=b"12345"))
        assert wire.reply().status in (404, 405)
        sweep(hasty_server, wire)
        assert wire.ended(), "one request has one reply"
    assert_clean(hasty_server)


# ---- targets and methods -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/api/batcher?x=1&y",
        "/api/batcher?",
        "/%61pi/batcher",
        "/api%2fbatcher",
        "http://test/api/batcher",
        "http://test:80/api/batcher?x=1",
    ],
)
def test_a_hot_route_is_found_however_its_target_is_written(server, target):
    assert server.ask(post(target, vector(3))).output[0] == 6


@pytest.mark.parametrize(
    "target",
    ["/v2/models/double/infer?x", "/v2/models/d%6Fuble/infer", "/v2/models/double/versions/1/infer"],
)
def test_an_infer_route_is_found_however_its_target_is_written(server, target):
    message = infer(3).replace(b"/v2/models/double/infer", target.encode())
    assert server.ask(message).status == 200


def test_an_absolute_target_finds_a_cold_route_too(server):
    assert server.ask(request("GET", "http://test/v2/health/live")).json() == {"live": True}


@pytest.mark.parametrize("make", [predict, infer], ids=["reference", "oip"])
def test_an_offer_of_http_2_is_ignored(server, make):
    """As ``curl --http2`` makes it (RFC 9113, 3.1); the request is answered over HTTP/1.1."""
    offer = (
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA",
    )
    message = make(3, *offer)
    head, body = head_and_body(message)
    with server.connect() as wire:
        wire.send(message + make(4))
        assert [reply.status for reply in wire.replies(2)] == [200, 200]
        wire.send(head)
        wire.send(body)
        wire.send(request("GET", "/v2/health/live", *offer) + GET_LIVE)
        assert [reply.status for reply in wire.replies(3)] == [200, 200, 200]


def test_head_says_what_get_would_without_its_body(server):
    with server.connect() as wire:
        wire.send(request("HEAD", "/v2"))
        assert wire.reply(head=True).status == 200
        wire.send(GET_LIVE)
        assert wire.reply().json() == {"live": True}


def test_nagle_does_not_delay_the_second_of_two_replies(server):
    with server.connect() as wire:
        connection = only_connection(server)
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        wire.send(predict(3))
        assert wire.reply().status == 200
