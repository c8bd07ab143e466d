"""A thousand callers leave at once, while they are queued: who of them is executed all the same."""

from __future__ import annotations

import random
import resource

import pytest

from edge_models import HOLD
from support import config_of, predict, running

LEAVERS, STAYERS = 1000, 100
FIRST_LEAVER, FIRST_STAYER = 30_000, 40_000
FILES = 2 * (LEAVERS + STAYERS) + 200  # both ends of each connection are ours


@pytest.fixture(scope="module")
def shared_server(gate):
    with running(config_of(time_window="1ms", max_batch_size=16)) as server:
        yield server


@pytest.fixture
def files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_of_a_thousand_who_leave_while_queued_99_in_100_are_not_executed_and_none_whose_leaving_was_seen(
    server, gate, files, monkeypatch
) -> None:
    counters, served = server.counters(), server.serving.models["double"]
    cancel, seen = server.edge.scheduler.cancel, []

    def spy(request) -> None:
        if request.state.name == "QUEUED":
            seen.append(int(request.vector[0]))
        cancel(request)

    monkeypatch.setattr(server.edge.scheduler, "cancel", spy)
    busy = server.connect()
    busy.send(predict(HOLD))
    gate.started()  # the only slot is taken until gate.go()
    callers = [(False, FIRST_LEAVER + i) for i in range(LEAVERS)]
    callers += [(True, FIRST_STAYER + i) for i in range(STAYERS)]
    random.Random(4).shuffle(callers)
    connections = []
    for stays, first in callers:
        connection = server.connect()
        connection.send(predict(first))
        connections.append((stays, first, connection))
    server.until(lambda: counters.queued == LEAVERS + STAYERS)
    for stays, _, connection in connections:
        if not stays:
            connection.close()
    gate.go()  # whether the server has seen them leave or not
    for stays, first, connection in connections:
        if stays:
            assert connection.reply().output == [2 * first, 2, 4, 6]
            connection.close()
    assert busy.reply().status == 200
    busy.close()
    server.until(lambda: not counters.in_flight and served.running == 0)
    executed = set(gate.executed())
    spared = LEAVERS - len(executed & set(range(FIRST_LEAVER, FIRST_LEAVER + LEAVERS)))
    print(f"{spared} of {LEAVERS} were not executed; {len(seen)} were seen to leave while queued")
    assert not executed & set(seen)
    assert spared >= 0.99 * LEAVERS
    assert served.executor.health().restarts == 0
