import numpy as np
import pytest

from streambox.batcher import Batch, FlushReason, PendingRequest, State
from streambox.batcher.counters import ModelCounters
from streambox.batcher.settle import settle
from streambox.executor.base import BatchError, BatchErrorKind, BatchResult, RowErrors


def batch_of(*rows, reason=FlushReason.BATCHSIZE):
    counters = ModelCounters()
    requests = []
    for number, count in enumerate(rows):
        request = PendingRequest("m", lambda _: None, "abcdefgh"[number], rows=count)
        request.accept(counters, 0, 1000)
        request.state = State.DISPATCHED
        counters.queued -= 1
        requests.append(request)
    return Batch(1, requests, {}, reason, 0)


def groups(batch, result):
    return ["".join(request.request_id for request in group) for group in settle(batch, result)]


def ends(batch):
    return [request.state.name for request in batch.requests]


def failure(kind=BatchErrorKind.MODEL, *, retryable=True):
    return BatchError(kind, "it went wrong", retryable=retryable)


def test_a_result_completes_everyone():
    batch = batch_of(1, 2)
    y = np.zeros((3, 1))
    assert groups(batch, BatchResult({"y": y}, 42)) == []
    assert ends(batch) == ["COMPLETED"] * 2
    assert (batch.outputs["y"] is y, batch.service_ns) == (True, 42)


def test_a_result_passes_by_who_has_left():
    batch = batch_of(1, 1)
    batch.requests[0].cancel()
    settle(batch, BatchResult({}, 1))
    assert ends(batch) == ["CANCELLED", "COMPLETED"]


HALVES = [
    ((1, 1, 1, 1), ["ab", "cd"], "in the middle"),
    ((1, 1, 1), ["ab", "c"], "the larger half first"),
    ((4, 4), ["a", "b"], "requests are split apart, never their rows"),
]


@pytest.mark.parametrize(("rows", "halves", "why"), HALVES, ids=[row[-1] for row in HALVES])
def test_a_failed_batch_comes_back_as_its_two_halves(rows, halves, why):
    batch = batch_of(*rows)
    assert groups(batch, failure()) == halves
    assert ends(batch) == ["DISPATCHED"] * len(rows)


def test_who_was_alone_is_blamed():
    batch = batch_of(3)
    assert groups(batch, failure()) == []
    assert ends(batch) == ["FAILED"]


def test_the_last_one_left_of_a_failed_batch_is_not_blamed_for_one_that_has_gone():
    batch = batch_of(1, 1)
    batch.requests[0].cancel()
    assert groups(batch, failure()) == ["b"]
    assert ends(batch) == ["CANCELLED", "DISPATCHED"]


def test_nothing_is_left_to_run_when_all_have_gone():
    batch = batch_of(1, 1)
    for request in batch.requests:
        request.cancel()
    assert groups(batch, failure()) == []


def test_a_failure_that_another_try_cannot_mend_fails_everyone():
    batch = batch_of(1, 1, 1)
    assert groups(batch, failure(BatchErrorKind.UNAVAILABLE, retryable=False)) == []
    assert ends(batch) == ["FAILED"] * 3


KINDS = [
    (BatchErrorKind.MODEL, "row_failed", 422, "FAILED"),
    (BatchErrorKind.BAD_OUTPUT, "bad_model_output", 502, "FAILED"),
    (BatchErrorKind.WORKER_DIED, "worker_died", 500, "FAILED"),
    (BatchErrorKind.TIMEOUT, "deadline_exceeded", 504, "EXPIRED"),
    (BatchErrorKind.UNAVAILABLE, "model_unavailable", 503, "FAILED"),
]


@pytest.mark.parametrize(("kind", "code", "status", "state"), KINDS, ids=[row[1] for row in KINDS])
def test_each_kind_of_failure_has_its_own_error(kind, code, status, state):
    batch = batch_of(1)
    settle(batch, failure(kind))
    error = batch.requests[0].error
    assert (error.code, error.status, str(error), ends(batch)) == (code, status, "it went wrong", [state])


def test_every_kind_of_failure_has_an_error():
    assert {row[0] for row in KINDS} == set(BatchErrorKind)


ROWS = [
    ((1, 1, 1), {1: "no"}, ["ac"], ["b"], "one row: the others run again, together"),
    ((2, 2), {3: "no"}, ["a"], ["b"], "any of a request's rows refuses all of it"),
    ((1, 1), {0: "no", 1: "no"}, [], ["a", "b"], "all of them: nothing is left to run"),
    ((1, 1), {0: "no", 9: "no"}, ["b"], ["a"], "a row beyond the batch is passed over"),
    ((1, 1, 1, 1), {9: "no"}, ["ab", "cd"], [], "only a row beyond the batch: a failure like any other"),
    ((1,), {-1: "no"}, [], ["a"], "alone, and no row of it named: to blame all the same"),
]


@pytest.mark.parametrize(("rows", "messages", "again", "failed", "why"), ROWS, ids=[row[-1] for row in ROWS])
def test_refused_rows_fail_and_the_rest_runs_again(rows, messages, again, failed, why):
    batch = batch_of(*rows)
    assert groups(batch, RowErrors(messages)) == again
    assert [r.request_id for r in batch.requests if r.state is State.FAILED] == failed


def test_a_refused_row_is_told_why():
    batch = batch_of(1, 1)
    settle(batch, RowErrors({1: "not a cat"}))
    assert (batch.requests[1].error.status, str(batch.requests[1].error)) == (422, "not a cat")


def test_rows_that_are_refused_one_by_one_are_sought_in_halves_from_the_second_round_on():
    batch = batch_of(1, 1, 1, 1, 1, reason=FlushReason.RETRY)
    assert groups(batch, RowErrors({2: "no"})) == ["ab", "de"]
