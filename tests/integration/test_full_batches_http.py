"""
The reference's deadlock over HTTP: its lock is taken twice the first time a batch fills.

A hundred rounds of exactly ``max_batch_size`` requests at once, on as many connections.
The window is as long as the test may take, so that only full batches can answer.
"""

from __future__ import annotations

import contextlib

import pytest

from support import config_of, predict, running

ROUNDS, BATCH = 100, 32


@pytest.fixture(scope="module")
def full_batches(gate):
    with running(config_of(time_window="1h", max_batch_size=BATCH)) as server:
        yield server


def test_a_hundred_rounds_of_exactly_a_full_batch_are_all_answered(full_batches):
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(full_batches.connect()) for _ in range(BATCH)]
        for turn in range(ROUNDS):
            first = 10_000 + turn * BATCH
            for number, wire in enumerate(wires):
                wire.send(predict(first + number))
            replies = [wire.reply() for wire in wires]
            assert [reply.output[0] for reply in replies] == [2 * (first + number) for number in range(BATCH)]
            batches = {(reply.json()["batch"]["id"], reply.json()["batch"]["size"]) for reply in replies}
            assert len(batches) == 1, batches
            assert {size for _, size in batches} == {BATCH}
    counters = full_batches.counters()
    assert counters.flushes == {"batchsize": ROUNDS}
    assert (counters.completed, counters.violations()) == (ROUNDS * BATCH, [])


def test_pipelined_on_few_connections_they_fill_batches_as_well(full_batches):
    before = full_batches.counters().completed
    with full_batches.connect() as one, full_batches.connect() as two:
        for turn in range(ROUNDS // 10):
            for wire in (one, two):
                wire.send(b"".join(predict(50_000 + turn * 16 + number) for number in range(BATCH // 2)))
            for wire in (one, two):
                outputs = [reply.output[0] for reply in wire.replies(BATCH // 2)]
                assert outputs == [2 * (50_000 + turn * 16 + number) for number in range(BATCH // 2)]
    assert full_batches.counters().completed - before == ROUNDS // 10 * BATCH
