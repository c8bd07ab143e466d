"""Bad rows, dying and hanging workers, seen by callers over HTTP."""

from __future__ import annotations

import os
import signal

import pytest

from edge_models import EXIT, HOLD, RAISE, REFUSE
from support import config_of, gone, predict, running


@pytest.fixture(scope="module")
def shared_server(gate):
    with running(config_of(time_window="60s", max_batch_size=16)) as server:
        yield server


def sixteen(bad: int, place: int) -> list[float]:
    firsts: list[float] = list(range(100, 116))
    firsts[place] = bad
    return firsts


@pytest.mark.parametrize("place", [0, 7, 15])
@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        (RAISE, 422, "row_failed"),
        (REFUSE, 422, "row_failed"),
        (EXIT, 500, "worker_died"),
    ],
)
def test_one_bad_row_leaves_the_other_fifteen_their_answers(server, bad, status, code, place) -> None:
    firsts = sixteen(bad, place)
    with server.connect() as caller:
        caller.send(*(predict(first) for first in firsts))
        replies = caller.replies(16)
    for number, (first, reply) in enumerate(zip(firsts, replies, strict=True)):
        if number == place:
            assert reply.status == status
            assert reply.json()["error"]["code"] == code
            assert reply.json()["error"]["request_id"] == str(first)
            assert "Traceback" not in reply.body.decode()
        else:
            assert reply.output == [2 * first, 2, 4, 6]


def test_rows_of_a_batch_whose_worker_was_killed_from_outside_are_all_answered(server, gate) -> None:
    """Not the rows' fault: held, killed, run again as two halves on the replacement."""
    executor = server.serving.models["double"].executor
    restarts = executor.health().restarts
    with server.connect() as caller:
        caller.send(predict(HOLD), *(predict(first) for first in range(200, 215)))
        worker = gate.started()
        os.kill(worker, signal.SIGKILL)
        gate.started()  # the half with HOLD in it, on the replacement
        gate.go()
        replies = caller.replies(16)
    assert gone(worker)
    assert [reply.output[0] for reply in replies] == [2 * HOLD, *range(400, 430, 2)]
    assert {reply.json()["batch"]["reason"] for reply in replies} == {"retry"}
    assert executor.health().restarts == restarts + 1


def test_kill_9_of_the_worker_under_load_answers_every_request(server) -> None:
    """Ten kills while 40 callers keep 16 requests each in flight; not one is lost or wrong."""
    executor = server.serving.models["double"].executor
    counters = server.counters()
    callers = [server.connect() for _ in range(40)]
    for number in range(10):
        for place, caller in enumerate(callers):
            caller.send(*(predict(300 + (16 * place + i) % 100) for i in range(16)))
        for worker in server.call(lambda: list(executor.worker_pids)):
            os.kill(worker, signal.SIGKILL)
        for place, caller in enumerate(callers):
            outputs = [reply.output[0] for reply in caller.replies(16)]
            assert outputs == [2 * (300 + (16 * place + i) % 100) for i in range(16)], number
    for caller in callers:
        caller.close()
    assert executor.health().restarts >= 10
    assert not counters.violations()


def test_a_hung_worker_is_replaced_and_its_callers_are_told_504(gate) -> None:
    with running(config_of(time_window="1ms", request_timeout="300ms")) as server:
        executor = server.serving.models["double"].executor
        with server.connect() as caller:
            caller.send(predict(HOLD))
            worker = gate.started()
            reply = caller.reply()
            assert (reply.status, reply.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert gone(worker)
        server.until(lambda: executor.health().ready and executor.health().restarts == 1)
        assert server.ask(predict(5)).output == [10, 2, 4, 6]
