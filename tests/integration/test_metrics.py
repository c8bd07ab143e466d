"""``GET /metrics``: what is exported is documented, and it adds up."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from edge_models import HOLD, RAISE
from support import gone, infer, post, predict, request

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
METRICS = request("GET", "/metrics")


def scrape(server) -> dict[str, float]:
    """Every sample as ``name{label=value,...}``, labels in order of name."""
    reply = server.ask(METRICS)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        sample.name + "{" + ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items())) + "}": sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


def test_every_metric_is_documented_and_every_documented_one_exported(server) -> None:
    server.ask(predict(1))
    server.ask(post("/api/batcher", b"{"))
    exported = set(re.findall(r"^# TYPE (\S+)", server.ask(METRICS).body.decode(), re.MULTILINE))
    documented = set(re.findall(r"^\| `(streambox_\w+)`", DOCUMENT.read_text(), re.MULTILINE))
    assert exported == documented


def test_the_conservation_law_holds_after_mixed_traffic(server) -> None:
    before = scrape(server)
    good = [predict(first) for first in range(20)]
    for sent in (*good, infer(3), predict(RAISE), post("/api/batcher", b"nonsense")):
        server.ask(sent)
    leaver = server.connect()
    leaver.send(predict(9))
    leaver.close()
    server.until(lambda: not server.edge.connections and not server.counters().in_flight)
    after = scrape(server)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    ends = {
        outcome: grew(f"streambox_requests_ended_total{{model=double,outcome={outcome}}}")
        for outcome in ("completed", "failed", "expired", "cancelled")
    }
    received = grew("streambox_requests_received_total{model=double}")
    accepted = grew("streambox_requests_accepted_total{model=double}")
    assert received == grew("streambox_requests_refused_total{model=double}") + accepted
    assert accepted == sum(ends.values())
    assert ends["failed"] == 1
    assert ends["completed"] + ends["cancelled"] in (21, 22)  # the leaver may not have got in at all
    assert after["streambox_requests_in_flight{model=double}"] == 0
    assert grew("streambox_http_answers_total{}") >= 21
    assert grew("streambox_http_errors_total{code=bad_request}") == 1
    assert grew("streambox_http_errors_total{code=row_failed}") == 1


def test_batches_are_counted_by_reason_and_size(server) -> None:
    before = scrape(server)
    server.ask(predict(4))
    after = scrape(server)
    name = "streambox_batches_total{model=double,reason=timewindow}"
    assert after[name] - before.get(name, 0) == 1
    for family in ("batch_size_rows", "wait_seconds", "service_seconds"):
        count = f"streambox_{family}_count{{model=double}}"
        assert after[count] - before.get(count, 0) == 1, family
        assert after[count] == after[f"streambox_{family}_bucket{{le=+Inf,model=double}}"], family


def test_every_way_for_a_batch_to_leave_is_told_apart(server, gate) -> None:
    """Behind a held batch of one: 70 rows make two full batches and a rest whose window has long passed."""

    def batches(reason: str) -> float:
        return scrape(server).get(f"streambox_batches_total{{model=double,reason={reason}}}", 0)

    reasons = ("batchsize", "timewindow", "retry")
    before = {reason: batches(reason) for reason in reasons}
    with server.connect() as holder, contextlib.ExitStack() as stack:
        holder.send(predict(HOLD))
        gate.started()
        wires = [stack.enter_context(server.connect()) for _ in range(7)]
        for wire in wires:
            wire.send(predict(1) * 10)
        server.until(lambda: server.counters().in_flight == 71)
        gate.go()
        assert holder.reply().status == 200
        for wire in wires:
            assert {reply.status for reply in wire.replies(10)} == {200}
    assert batches("batchsize") == before["batchsize"] + 2
    assert batches("timewindow") == before["timewindow"] + 2
    with server.connect() as holder, server.connect() as mates:
        holder.send(predict(HOLD))
        gate.started()
        mates.send(predict(1) + predict(RAISE))
        server.until(lambda: server.counters().in_flight == 3)
        gate.go()
        assert [reply.status for reply in (holder.reply(), *mates.replies(2))] == [200, 200, 422]
    assert batches("retry") == before["retry"] + 2


def test_a_killed_worker_shows_as_a_restart(server) -> None:
    name = "streambox_worker_restarts_total{model=double}"
    before = scrape(server)[name]
    executor = server.serving.models["double"].executor
    (worker,) = server.call(lambda: list(executor.worker_pids))
    os.kill(worker, signal.SIGKILL)
    assert gone(worker)
    server.until(lambda: executor.health().restarts == before + 1 and executor.health().ready)
    after = scrape(server)
    assert after[name] == before + 1
    assert after["streambox_model_ready{model=double}"] == 1
