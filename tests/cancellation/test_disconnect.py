"""A caller leaves, at every stage of its request; its batch-mates are answered all the same."""

from __future__ import annotations

import pytest

from edge_models import HOLD
from support import config_of, predict, running


@pytest.fixture(scope="module")
def shared_server(gate):
    """A window that never ends by itself within a test: batches of 4 leave when they are full."""
    with running(config_of(time_window="60s", max_batch_size=4)) as server:
        yield server


def test_a_caller_who_leaves_while_queued_is_never_executed_and_its_mates_are_answered(server, gate) -> None:
    counters = server.counters()
    cancelled = counters.cancelled
    leaver = server.connect()
    leaver.send(predict(501))
    server.until(lambda: counters.queued == 1)
    leaver.close()
    server.until(lambda: counters.cancelled == cancelled + 1)
    with server.connect() as mates:
        mates.send(*(predict(first) for first in (511, 512, 513, 514)))
        assert [reply.output[0] for reply in mates.replies(4)] == [1022, 1024, 1026, 1028]
    assert 501 not in gate.executed()
    assert {511, 512, 513, 514} <= set(gate.executed())


def test_a_caller_who_resets_its_connection_is_not_executed_either(server, gate) -> None:
    counters = server.counters()
    cancelled = counters.cancelled
    leaver = server.connect()
    leaver.send(predict(521), predict(522))
    server.until(lambda: counters.queued == 2)
    leaver.reset()
    server.until(lambda: counters.cancelled == cancelled + 2)
    assert not {521, 522} & set(gate.executed())


def test_a_caller_who_leaves_while_its_batch_runs_does_not_disturb_its_mates(server, gate) -> None:
    counters = server.counters()
    cancelled = counters.cancelled
    with server.connect() as mates:
        leaver = server.connect()
        leaver.send(predict(531))
        server.until(lambda: counters.queued == 1)
        mates.send(predict(HOLD), predict(532), predict(533))
        gate.started()
        leaver.close()
        server.until(lambda: counters.cancelled == cancelled + 1)
        gate.go()
        assert [reply.output[0] for reply in mates.replies(3)] == [2 * HOLD, 1064, 1066]


def test_callers_who_leave_while_the_only_slot_is_busy_take_none_when_it_frees(server, gate) -> None:
    """Three of a full batch of four leave behind a busy slot: the fourth goes out in the next full batch."""
    counters = server.counters()
    cancelled = counters.cancelled
    with server.connect() as busy, server.connect() as stays:
        busy.send(predict(HOLD), predict(541), predict(542), predict(543))
        gate.started()
        leaver = server.connect()
        leaver.send(predict(551), predict(552), predict(553))
        server.until(lambda: counters.queued == 3)
        leaver.close()
        server.until(lambda: counters.cancelled == cancelled + 3)
        stays.send(*(predict(first) for first in (561, 562, 563, 564)))
        server.until(lambda: counters.in_flight == 8)  # queued, or staged behind the busy slot
        gate.go()
        busy.replies(4)
        replies = stays.replies(4)
    assert [reply.json()["batch"]["size"] for reply in replies] == [4, 4, 4, 4]
    assert not {551, 552, 553} & set(gate.executed())


def test_a_thousand_callers_who_leave_at_once_leave_nothing_behind(server) -> None:
    counters = server.counters()
    served = server.serving.models["double"]
    before = counters.accepted
    leavers = [server.connect() for _ in range(100)]
    for number, leaver in enumerate(leavers):
        leaver.send(*(predict(600 + number) for _ in range(10)))
    for leaver in leavers:
        leaver.reset()
    server.until(lambda: not server.edge.connections)
    server.until(lambda: not counters.in_flight)
    assert 0 < counters.accepted - before <= 1000
    assert not counters.violations()
    server.until(lambda: served.running == 0)
