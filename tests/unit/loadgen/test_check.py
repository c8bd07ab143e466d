"""A response is right when its status, its id and its answer to that very input are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.loadgen.check import Checker
from streambox.loadgen.payload import PayloadSet, Target, request_id
from streambox.loadgen.record import REASONS, Recorder
from streambox.loadgen.repertoire import Repertoire
from streambox.workload.schedule import Lane, Schedule

EXPECTED = np.array([[0.9, 0.06, 0.04], [0.89, 0.07, 0.04], [0.1, 0.2, 0.7]], np.float32)
PAYLOAD = np.array([0, 1, 2], np.int32)


def reply(index: int, output: object, **changes: object) -> bytes:
    batch = {"id": 5, "size": 3, "reason": "timewindow", "wait_ms": 4.25, "service_ms": 0.5}
    body = {"request_id": request_id(index), "model": "digits", "output": output, "batch": batch}
    return json.dumps({**body, **changes}).encode()


def checker_of(recorder, level="full", expected=EXPECTED) -> Checker:
    payloads = PayloadSet.of_vectors(Target("h", 1, "/"), "digits", [[0.0], [1.0], [2.0]], expected)
    schedule = Schedule.of_lane(np.zeros(3, np.int64), PAYLOAD, Lane("digits"), {})
    return Checker(recorder, Repertoire(schedule, [payloads]), level)


def end_of(status: int, body: bytes, *, level: str = "full", index: int = 0, expected=EXPECTED) -> str:
    """The kind that request *index* ends as, having sent payload number *index*."""
    recorder = Recorder(np.zeros(3, np.int64))
    checker_of(recorder, level, expected).check(index, status, body)
    return recorder.outcomes.kinds[recorder.outcomes.kind[index]]


def test_the_right_answer_is_ok():
    assert end_of(200, reply(2, [0.1, 0.2, 0.7]), index=2) == "ok"


def test_an_answer_within_the_tolerance_is_ok():
    assert end_of(200, reply(0, [0.9009, 0.0595, 0.04])) == "ok"


@pytest.mark.parametrize(
    ("what", "output"),
    [
        ("somebody else's, although it names the same class", EXPECTED[1].tolist()),
        ("somebody else's", EXPECTED[2].tolist()),
        ("off by more than a thousandth", [0.902, 0.058, 0.04]),
        ("too short", [0.9, 0.06]),
        ("too long", [0.9, 0.06, 0.04, 0.0]),
        ("empty", []),
    ],
)
def test_a_wrong_answer_is_wrong(what, output):
    assert end_of(200, reply(0, output)) == "wrong", what


def test_the_right_answer_under_another_requests_id_is_wrong():
    body = reply(0, EXPECTED[0].tolist(), request_id=request_id(1))
    assert end_of(200, body) == "wrong"
    assert end_of(200, body, level="id") == "wrong"
    assert end_of(200, body, level="none") == "ok"


def test_only_a_full_check_looks_at_the_answer():
    assert end_of(200, reply(0, [0, 0, 1]), level="full") == "wrong"
    assert end_of(200, reply(0, [0, 0, 1]), level="id") == "ok"


def test_without_a_known_answer_a_full_check_is_one_of_the_id():
    assert end_of(200, reply(0, [[1], [2]]), expected=None) == "ok"


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"{", b"[]", b"{}", b'{"request_id": 5}', b"\xff\xfe", reply(0, "text"), reply(0, [None])],
)
def test_a_2xx_that_cannot_be_read_is_not_ok(body):
    assert end_of(200, body) == "bad_response"


def test_an_answer_that_is_not_finite_is_never_ok():
    body = reply(0, [0.9, 0.06, 0.04]).replace(b"0.9,", b"NaN,")
    assert end_of(200, body) != "ok"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            503,
            b'{"error": {"code": "queue_full", "message": "m", "request_id": null}}',
            "http_503:queue_full",
        ),
        (504, b'{"error": {"code": "deadline_exceeded"}}', "http_504:deadline_exceeded"),
        (500, b"<html>oops</html>", "http_500"),
        (404, b'{"error": "plain text"}', "http_404"),
        (302, b"", "http_302"),
        (502, b"\xff", "http_502"),
    ],
)
@pytest.mark.parametrize("level", ["none", "id", "full"])
def test_an_http_error_is_named_by_status_and_the_servers_code(status, body, kind, level):
    assert end_of(status, body, level=level) == kind


def test_what_the_batch_did_is_recorded_with_the_answer():
    recorder = Recorder(np.zeros(3, np.int64))
    checker_of(recorder).check(1, 200, reply(1, EXPECTED[1].tolist()))
    outcomes = recorder.outcomes
    entry = (outcomes.batch_id[1], outcomes.batch_size[1], outcomes.wait_ns[1], outcomes.service_ns[1])
    assert entry == (5, 3, 4_250_000, 500_000)
    assert REASONS[outcomes.reason[1]] == "timewindow"


def test_a_reply_without_batch_facts_is_judged_all_the_same():
    assert end_of(200, reply(0, EXPECTED[0].tolist(), batch=None)) == "ok"


def test_a_closed_loop_goes_round_the_payloads():
    recorder = Recorder(np.zeros(6, np.int64))
    checker = checker_of(recorder)
    checker.check(5, 200, reply(5, EXPECTED[2].tolist()))  # 5 mod 3
    assert recorder.ok == 1


@pytest.mark.parametrize(
    "batch",
    [
        {"id": 10**30},
        {"id": -1},
        {"size": 2**31},
        {"size": "3"},
        {"wait_ms": 1e300},
        {"wait_ms": -0.5},
        {"service_ms": 1e13},
    ],
)
def test_batch_facts_that_no_batch_has_are_a_bad_response_and_break_nothing(batch):
    facts = {"id": 5, "size": 3, "reason": "timewindow", "wait_ms": 1.0, "service_ms": 0.5, **batch}
    assert end_of(200, reply(0, EXPECTED[0].tolist(), batch=facts)) == "bad_response"


def test_a_reply_nested_without_end_is_a_bad_response():
    nested = b"[" * 100_000 + b"]" * 100_000
    assert end_of(200, b'{"request_id": "0000000000", "output": ' + nested + b"}") == "bad_response"
    assert end_of(500, b'{"error": ' + nested + b"}") == "http_500"
