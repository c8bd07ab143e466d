"""Requests larger than a batch, batches of allowed sizes, and answers in order, over HTTP."""

from __future__ import annotations

import numpy as np
import pytest

from support import assert_clean, config_of, infer_body, post, predict, running

TENSORS = """
    inputs: [{name: vector, datatype: FP32, shape: [-1, 4]}]
    outputs: [{name: output, datatype: FP32, shape: [-1, 4]}]
"""


def config(**model: object) -> str:
    settings = {"executor": "python", "callable": "models_for_tests:double", **model}
    section = "".join(f"    {key}: {value}\n" for key, value in settings.items())
    return config_of(models=f"  double:\n{section}{TENSORS}")


def rows(count: int) -> list[list[float]]:
    return np.arange(4 * count, dtype=float).reshape(count, 4).tolist()


@pytest.fixture(scope="module")
def small_batches(gate):
    with running(config(max_batch_size=4, max_request_rows=50)) as server:
        yield server
        assert_clean(server)


def infer(server, count: int):
    return server.ask(post("/v2/models/double/infer", infer_body(rows(count))))


def test_more_rows_than_a_batch_may_have_are_one_answer(small_batches):
    before = small_batches.counters().accepted
    reply = infer(small_batches, 42)
    output = reply.json()["outputs"][0]
    assert (reply.status, output["shape"]) == (200, [42, 4])
    assert output["data"] == (2 * np.array(rows(42))).ravel().tolist()
    assert reply.json()["parameters"]["batch_size"] <= 4
    assert small_batches.counters().accepted - before == 1


def test_more_rows_than_a_request_may_have_are_refused_with_the_limit(small_batches):
    reply = infer(small_batches, 51)
    assert (reply.status, reply.headers["x-error-code"]) == (400, "bad_request")
    assert "51 rows exceed the 50" in reply.json()["error"]


def test_a_caller_who_leaves_behind_a_large_request_leaves_nothing_behind(small_batches):
    with small_batches.connect() as wire:
        wire.send(post("/v2/models/double/infer", infer_body(rows(40))))
        small_batches.until(lambda: small_batches.counters().accepted >= 2)
        wire.reset()
    served = small_batches.serving.models["double"]
    small_batches.until(lambda: not served.counters.in_flight and not served.parts.in_flight)
    assert small_batches.ask(predict(3)).output[0] == 6


def test_a_model_that_takes_some_sizes_only_is_fed_these_and_nobody_sees_it():
    choosy = config(callable="models_for_tests:choosy", max_batch_size=8, pad_to=[8, 4], time_window="0s")
    with running(choosy) as server:
        answers = [infer(server, count) for count in (1, 4, 5, 13)]
        padding_rows = server.counters().padding_rows
    assert [reply.status for reply in answers] == [200] * 4
    assert [reply.json()["outputs"][0]["shape"][0] for reply in answers] == [1, 4, 5, 13]
    assert answers[2].json()["outputs"][0]["data"] == (2 * np.array(rows(5))).ravel().tolist()
    assert answers[2].json()["parameters"]["batch_size"] == 5
    assert padding_rows == 3 + 3 + 3


def test_a_batch_leaves_at_a_preferred_size(gate):
    with running(config(time_window="1h", preferred_batch_size=[3])) as server, server.connect() as wire:
        wire.send(predict(1) + predict(2) + predict(3))
        replies = wire.replies(3)
    assert [reply.output[0] for reply in replies] == [2, 4, 6]
    assert {(r.json()["batch"]["size"], r.json()["batch"]["reason"]) for r in replies} == {(3, "batchsize")}
