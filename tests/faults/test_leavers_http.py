"""More than a thousand callers leave while they are queued: who of them is executed all the same."""

from __future__ import annotations

import random
import resource
import time

import pytest

from edge_models import HOLD
from support import config_of, predict, python_model, running

LEAVERS, STAYERS = 1350, 100
FIRST_LEAVER, FIRST_STAYER = 30_000, 40_000
FILES = 2 * (LEAVERS + STAYERS) + 200  # both ends of each connection are ours


@pytest.fixture(scope="module")
def shared_server(gate):
    models = f"  double: {python_model('edge_models:unhurried')}"
    with running(config_of(models=models, time_window="1ms", max_batch_size=16)) as server:
        yield server


@pytest.fixture
def files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def scheduler(server, monkeypatch):
    """The server's scheduler; it keeps all requests that it is given, and which it sees leave their queue."""
    found = server.edge.scheduler
    submit, cancel = found.submit, found.cancel
    found.requests, found.seen_to_leave = {}, set()

    def submit_kept(request) -> None:
        found.requests[int(request.vector[0])] = request
        submit(request)

    def cancel_seen(request) -> None:
        if request.state.name == "QUEUED":
            found.seen_to_leave.add(int(request.vector[0]))
        cancel(request)

    monkeypatch.setattr(found, "submit", submit_kept)
    monkeypatch.setattr(found, "cancel", cancel_seen)
    return found


def test_of_a_thousand_who_leave_while_queued_99_in_100_are_not_executed_and_none_whose_leaving_was_seen(
    server, gate, files, scheduler
) -> None:
    """They leave one after the other, in any order, while batches of 16 go on being formed."""
    counters, served = server.counters(), server.serving.models["double"]
    busy = server.connect()
    busy.send(predict(HOLD))
    gate.started()  # the only slot is taken until gate.go()
    callers = [FIRST_LEAVER + i for i in range(LEAVERS)] + [FIRST_STAYER + i for i in range(STAYERS)]
    random.Random(4).shuffle(callers)
    connections = {first: server.connect() for first in callers}
    for first, connection in connections.items():
        connection.send(predict(first))
    server.until(lambda: counters.queued == LEAVERS + STAYERS)
    gate.go()
    left_ns = {}
    leaving = random.Random(5).sample(range(FIRST_LEAVER, FIRST_LEAVER + LEAVERS), LEAVERS)
    for number, first in enumerate(leaving):
        connections[first].close()
        left_ns[first] = time.monotonic_ns()
        if number % 4 == 0:
            server.call(int)  # so that the server goes on meanwhile
    for first in range(FIRST_STAYER, FIRST_STAYER + STAYERS):
        assert connections[first].reply().output == [2 * first, 2, 4, 6]
        connections[first].close()
    assert busy.reply().status == 200
    busy.close()
    server.until(lambda: not counters.in_flight and served.running == 0)

    def left_while_queued(first: int) -> bool:
        batch = scheduler.requests[first].batch
        return batch is None or batch.dispatched_ns > left_ns[first]

    executed, gone = set(gate.executed()), {first for first in left_ns if left_while_queued(first)}
    print(f"{len(gone - executed)} of {len(gone)} who left while queued were not executed")
    assert not executed & scheduler.seen_to_leave
    assert len(gone) > LEAVERS / 2  # the others were dispatched before they left
    assert len(gone - executed) >= 0.99 * len(gone)
