"""Poison, bad answers and failing workers over HTTP: who is told what, and who never notices."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from edge_models import EXIT, NAN, RAISE, REFUSE, SHORT
from support import config_of, gone, post, predict, python_model, request, running, vector

SIZE = 16
ROUNDS = 5  # ceil(log2 16) + 1


@pytest.fixture(scope="module")
def shared_server(gate):
    """Batches leave when they are full. Nothing is kept in quarantine."""
    with running(config_of(time_window="60s", max_batch_size=SIZE)) as server:
        yield server


def serving(**settings):
    """A server with one model of these settings; batches of four."""
    models = f"  double: {python_model('edge_models:obey', **settings)}"
    return running(config_of(models=models, time_window="60s", max_batch_size=4))


def metric(server, name: str, model: str = "double") -> float:
    page = server.ask(request("GET", "/metrics")).body.decode()
    (line,) = [line for line in page.splitlines() if line.startswith(f'{name}{{model="{model}"}}')]
    return float(line.split()[-1])


def codes(replies) -> list[str]:
    return ["" if reply.status == 200 else reply.json()["error"]["code"] for reply in replies]


# ---- poison --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_random_poison_in_a_batch_of_sixteen_fails_alone_within_log2_rounds(server, gate, seed) -> None:
    draw = random.Random(seed)
    bad, place = draw.choice([RAISE, REFUSE, EXIT]), draw.randrange(SIZE)
    firsts = [10_000 + SIZE * seed + i for i in range(SIZE)]
    firsts[place] = bad
    before = Counter(gate.executed())
    with server.connect() as caller:
        caller.send(*map(predict, firsts))
        replies = caller.replies(SIZE)
    told = "worker_died" if bad == EXIT else "row_failed"
    assert codes(replies) == [told if first == bad else "" for first in firsts]
    assert [r.output[0] for r in replies if r.status == 200] == [2 * f for f in firsts if f != bad]
    ran = Counter(gate.executed()) - before
    assert max(ran.values()) <= 1 + ROUNDS
    assert metric(server, "streambox_breaker_opened_total") == 0


@pytest.mark.parametrize(("bad", "code"), [(RAISE, "row_failed"), (EXIT, "worker_died")])
def test_a_row_that_fails_alone_twice_is_refused_the_third_time(gate, bad, code) -> None:
    with serving() as server, server.connect() as caller:
        for first in (20_000, 20_010):
            caller.send(*(predict(row) for row in (first, bad, first + 1, first + 2)))
            assert codes(caller.replies(4)) == ["", code, "", ""]
        ran = gate.executed().count(bad)
        refused = server.ask(predict(bad))
        assert (refused.status, codes([refused])) == (422, ["quarantined"])
        assert 0 < int(refused.headers["retry-after"]) <= 91
        assert gate.executed().count(bad) == ran
        caller.send(*(predict(row) for row in (20_020, 20_021, 20_022, 20_023)))
        assert codes(caller.replies(4)) == [""] * 4
        assert metric(server, "streambox_requests_quarantined_total") == 1
        assert metric(server, "streambox_quarantine_inputs") == 1
        assert metric(server, "streambox_bisections_total") == 4
        assert metric(server, "streambox_requests_retried_total") == 12


@pytest.mark.parametrize(("bad", "code"), [(RAISE, "batch_failed"), (EXIT, "worker_died")])
def test_rows_of_a_model_that_is_not_idempotent_run_once_and_are_told_so(gate, bad, code) -> None:
    rows = (21_000, bad, 21_001, 21_002)
    with serving(idempotent="false") as server, server.connect() as caller:
        before = Counter(gate.executed())
        caller.send(*map(predict, rows))
        replies = caller.replies(4)
        assert codes(replies) == [code] * 4
        assert {reply.status for reply in replies} == {500}
        assert Counter(gate.executed()) - before == Counter(rows)


# ---- bad answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "settings"), [(SHORT, {}), (NAN, {"finite_outputs": "true"})], ids=["a row too few", "a NaN"]
)
def test_a_bad_answer_is_502_for_its_batch_and_its_worker_is_replaced(gate, bad, settings) -> None:
    with serving(**settings) as server, server.connect() as caller:
        executor = server.serving.models["double"].executor
        (worker,) = server.call(lambda: executor.worker_pids)
        caller.send(*(predict(row) for row in (22_000, bad, 22_001, 22_002)))
        replies = caller.replies(4)
        assert codes(replies) == ["bad_model_output"] * 4
        assert {reply.status for reply in replies} == {502}
        assert gone(worker)
        caller.send(*(predict(row) for row in (22_010, 22_011, 22_012, 22_013)))
        assert codes(caller.replies(4)) == [""] * 4
        assert executor.health().restarts == 1
        assert metric(server, "streambox_bisections_total") == 0


# ---- failing workers -----------------------------------------------------------------------------


def test_a_model_whose_workers_fail_five_times_in_a_row_is_left_alone_and_no_other_is(gate) -> None:
    models = "\n".join(f"  {name}: {python_model(f'edge_models:{call}')}" for name, call in MODELS.items())
    broken = gate.folder / "broken"
    broken.touch()
    with running(config_of(models=models)) as server:
        breaker = server.serving.models["fragile"].guard.breaker
        assert [ask_fragile(server, number).status for number in range(5)] == [500] * 5
        refused = ask_fragile(server, 5)
        assert (refused.status, codes([refused])) == (503, ["circuit_open"])
        assert 0 < int(refused.headers["retry-after"]) <= 8
        assert server.ask(predict(23_000)).status == 200
        assert metric(server, "streambox_breaker_state", "fragile") == 1
        assert metric(server, "streambox_breaker_state", "double") == 0
        broken.unlink()
        server.call(lambda: setattr(breaker, "_until_ns", 0))  # its time is over
        assert [ask_fragile(server, number).status for number in range(6, 10)] == [200] * 4
        assert metric(server, "streambox_breaker_state", "fragile") == 0
        assert metric(server, "streambox_breaker_opened_total", "fragile") == 1


MODELS = {"double": "obey", "fragile": "fragile"}


def ask_fragile(server, number: int):
    return server.ask(post("/api/batcher", vector(number, model="fragile")))
