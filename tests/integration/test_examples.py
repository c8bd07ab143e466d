"""The examples, run for real: a server from the example's own file, the shipped model, real workers."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from streambox.batcher import State
from streambox.config import load_config
from streambox.models.digits import heldout
from streambox.serving import Serving
from support import post, serving_process
from virtual import Bench

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def urgent_first(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from custom_batcher import UrgentFirst

    return UrgentFirst


def test_a_batcher_of_ones_own_answers_over_http(tmp_path):
    images, labels = heldout()
    shutil.copy(EXAMPLES / "custom_batcher.py", tmp_path)  # beside the file that names it
    config = (EXAMPLES / "custom_batcher.yaml").read_text() + "log: {format: json}\n"
    with serving_process(config, tmp_path) as process, process.connect() as wire:
        for image in images[:12]:
            body = {"request_id": "1", "model": "digits", "data": {"vector": image.ravel().tolist()}}
            wire.send(post("/api/batcher", body))
        replies = [reply.json() for reply in wire.replies(12)]
    digits = [reply["output"].index(max(reply["output"])) for reply in replies]
    assert sum(digit == label for digit, label in zip(digits, labels[:12].tolist(), strict=True)) >= 11
    assert {reply["batch"]["reason"] for reply in replies} <= {"batchsize", "timewindow", "slotfree"}
    assert max(reply["batch"]["size"] for reply in replies) <= 8


def test_the_configuration_names_the_class_beside_it():
    config = load_config(EXAMPLES / "custom_batcher.yaml")

    async def made() -> str:
        async with Serving(config) as serving:
            return type(serving.batcher).__name__

    assert asyncio.run(made()) == "UrgentFirst"


def test_the_urgent_overtake_the_patient(urgent_first):
    bench = Bench(urgent_first, max_batch_size=2)
    bench.submit_many(2)
    patient = bench.submit_many(2)
    urgent = bench.submit(timeout_ms=500)
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0", "1"], ["4", "2"], ["3"]]
    assert all(request.state is State.COMPLETED for request in (*patient, urgent))


def test_it_keeps_the_rules_of_the_core(urgent_first):
    bench = Bench(urgent_first, max_batch_size=4, window_ms=10, service_ns=3_000_000)
    for number in range(200):
        bench.submit(rows=1 + number % 4, width=2 + number % 7 // 6, timeout_ms=None if number % 3 else 40)
        if number % 5 == 0:
            bench.scheduler.cancel(bench.submitted[number // 2])
        bench.advance_ms(number % 4)
        assert bench.violations() == []
    bench.batcher.set_batch_size(2)
    bench.batcher.set_time_window(1)
    bench.scheduler.drain()
    bench.settle()
    assert bench.scheduler.in_flight == 0
    assert all(request.done for request in bench.submitted)
    assert max(batch.size for batch in bench.batches) <= 4
    assert {batch.running_before for batch in bench.batches} == {0}


def test_a_lonely_request_waits_for_its_window_and_no_longer(urgent_first):
    bench = Bench(urgent_first, window_ms=20)
    bench.submit()
    bench.settle()
    assert [(batch.at_ns, batch.reason) for batch in bench.batches] == [(20_000_000, "timewindow")]


def test_the_library_example_recognises_the_digits(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "library", raising=False)
    import library

    assert asyncio.run(library.main()) > 0.95
