"""The same event log gives the same decisions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from streambox.batcher import StreamBoxBatcher
from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.errors import Draining, ModelUnavailable, QueueFull, StreamBoxError, UsageError
from streambox.simulate.again import decide_again, verify
from streambox.simulate.record import VERSION, Facts, Record
from streambox.simulate.recording import RecordingScheduler
from streambox.simulate.retold import Diverged
from virtual import BROKEN, DIED, HOPELESS, MS, Bench

FIRST = b'["version",%d,{"streambox":"0","python":"3","batcher":"b:B","shared":false}]\n' % VERSION


class RecordedBench(Bench):
    """A bench whose scheduler keeps its record, in ``lines``."""

    def __init__(self, **model) -> None:
        self.lines: list[bytes] = []
        super().__init__(**model)

    def make_scheduler(self, make_batcher):
        record = Record(self.lines.append, Facts.of_this_build(shared=self.shared))
        return RecordingScheduler(self.clock, make_batcher, record, shared=self.shared)

    def end(self) -> list[bytes]:
        """The whole record, of a server that has answered everything."""
        self.scheduler.drain()
        self.settle()
        assert self.violations() == []
        return [*self.lines, b'["end"]\n']


def tenants(draw: random.Random) -> list[Tenant]:
    found = [
        Tenant("one", weight=2, bucket=TokenBucket(300, 5, 0)),
        Tenant("two", priority=draw.choice([0, 1]), max_in_flight=4, max_queued=2),
        Tenant("three", weight=0.5, models=frozenset(draw.choice(["m", "other"]))),
    ]
    for tenant in found:
        tenant.share = tenant.weight / 3.5
    return found


def storm(seed: int, policy: str, *, shared: bool = False) -> list[bytes]:
    """A few hundred events of every kind; the record of them."""
    draw = random.Random(seed)
    failing = {"rate": draw.choice([0, 0, 0.2, 0.9])}

    def outcome(batch):
        if any(request.inputs["x"][0, 0] < 0 for request in batch.requests):
            return BROKEN
        return draw.choice([BROKEN, DIED, DIED, HOPELESS]) if draw.random() < failing["rate"] else None

    bench = RecordedBench(
        policy=policy,
        shared=shared,
        window_ms=draw.choice([0, 3, 20]),
        max_batch_size=draw.choice([1, 4, 8]),
        max_queue_size=30,
        timeout_ms=draw.choice([40, 400]),
        slots=draw.randint(1, 3),
        preferred=draw.choice([(), (), (2, 4)]),
        pad_to=draw.choice([(), (), (2, 8)]),
        preserve_ordering=draw.random() < 0.3,
        service_ns=lambda batch: round(draw.uniform(0.5, 4 + batch.size) * MS),
        outcome=outcome,
        idempotent=draw.random() < 0.8,
        breaker_ns=20 * MS,
    )
    whose = tenants(draw) if shared else [None]
    for _ in range(300):
        kind = draw.random()
        if kind < 0.6:
            submit(bench, draw, draw.choice(whose))
        elif kind < 0.7:
            accepted = [request for request in bench.submitted if request.counters is not None]
            for request in draw.sample(accepted, min(1, len(accepted))):
                bench.scheduler.cancel(request)
        elif kind < 0.72:
            bench.batcher.set_time_window(draw.choice([0, 5, 50]))
        elif kind < 0.73:
            bench.batcher.set_policy(draw.choice([policy, "eager", "slo"]))
        elif kind < 0.735:
            bench.batcher.set_preferred_batch_size(draw.choice([(), (3, 4)]))
        elif kind < 0.75:
            bench.served["m"].admission.max_queue_size = draw.choice([20, 30])
            bench.batcher.set_batch_size(draw.choice([1, 3, 8]))
        else:
            bench.advance_ms(draw.choice([0.1, 1, 5]))
    return bench.end()


def submit(bench: RecordedBench, draw: random.Random, tenant: Tenant | None) -> None:
    """One request; every now and then its caller comes back as soon as it is told of its end."""

    def back(ended) -> None:
        bench.ended.append(ended)
        again(draw.choice([None, 60]))

    def again(timeout_ms, on_done=None) -> None:
        request = bench.request(
            draw.choice([1, 1, 1, 3, 10]),
            width=draw.choice([2, 2, 3]),
            timeout_ms=timeout_ms,
            value=draw.choice([None] * 20 + [float("nan")]),
            on_done=on_done,
        )
        request.tenant = tenant
        if draw.random() < 0.15:  # poison, and the same again and again
            request.inputs = {"x": np.full((request.rows, request.signature), -1.0)}
        try:
            bench.scheduler.submit(request)
        except StreamBoxError:
            return

    again(draw.choice([None, None, 5, 60]), draw.choice([None, back]))


def verdict(lines, folder):
    file = folder / "record"
    file.write_bytes(b"".join(lines))
    return verify(file)


def decisions(lines) -> int:
    return sum(line.startswith((b'["batch"', b'["refused"', b'["done"')) for line in lines)


@pytest.mark.parametrize("policy", ["window", "eager", "slo"])
@pytest.mark.parametrize("seed", range(20))
def test_what_was_told_again_is_decided_again_byte_for_byte(policy, seed):
    recorded = storm(seed, policy)
    again: list[bytes] = []
    decide_again(recorded, again.append)
    assert again == recorded
    assert sum(line.startswith(b'["batch"') for line in recorded) > 10
    assert any(line.startswith(b'["inside"') for line in recorded)


def test_breakers_and_quarantines_are_among_what_is_decided_again():
    lines = [line for seed in range(20) for line in storm(seed, "window")]
    for refused in (b'"circuit_open"]', b'"quarantined"]'):
        assert sum(line.strip().endswith(refused) for line in lines) > 10
    assert any(line.startswith(b'["digest"') for line in lines)


@pytest.mark.parametrize("policy", ["window", "slo"])
@pytest.mark.parametrize("seed", range(10))
def test_so_is_what_several_tenants_asked_for(policy, seed, tmp_path):
    recorded = storm(seed, policy, shared=True)
    assert sum(line.startswith(b'["tenant"') for line in recorded) == 3
    assert any(b'"quota_exceeded"' in line for line in recorded)
    found = verdict(recorded, tmp_path)
    assert (found.same, found.whole, found.difference) == (decisions(recorded), True, "")


def test_a_place_refused_in_a_half_full_queue_is_refused_again(tmp_path):
    """Each tenant has its share of the second half of the places."""
    bench = RecordedBench(shared=True, max_queue_size=20, max_batch_size=100)
    few, many = Tenant("few"), Tenant("many", weight=9)
    few.share, many.share = 0.1, 0.9
    for tenant, times in ((many, 10), (few, 1)):
        for _ in range(times):
            submit_for(bench, tenant)
    with pytest.raises(QueueFull):
        submit_for(bench, few)
    found = verdict(bench.end(), tmp_path)
    assert (found.same, found.difference) == (decisions(bench.lines), "")


def submit_for(bench: RecordedBench, tenant: Tenant) -> None:
    request = bench.request()
    request.tenant = tenant
    bench.scheduler.submit(request)


def test_a_door_that_the_server_shuts_is_shut_again(tmp_path):
    bench = RecordedBench(ready=False)
    admission = bench.served["m"].admission
    bench.submit()
    bench.scheduler.model_failed("m", "no such file")
    admission.fail("no such file")
    assert isinstance(bench.refused(), ModelUnavailable)
    admission.open()
    bench.submit()
    bench.scheduler.model_ready("m")
    admission.drain()
    assert isinstance(bench.refused(), Draining)
    found = verdict(bench.end(), tmp_path)
    assert (found.same, found.difference) == (5, "")


def test_requests_that_end_because_the_server_does_end_again(tmp_path):
    bench = RecordedBench()
    bench.submit_many(3)
    assert bench.scheduler.fail_all("bye") == 3
    found = verdict(bench.end(), tmp_path)
    assert (found.same, found.difference) == (3, "")


def test_rows_that_cannot_be_joined_fail_again(tmp_path):
    bench = RecordedBench(window_ms=1)
    for width in (2, 3):
        bench.request(width=width).signature = None
        bench.submitted[-1].signature = None
        bench.scheduler.submit(bench.submitted[-1])
    bench.settle()
    assert [request.state.name for request in bench.ended] == ["FAILED", "FAILED"]
    assert verdict(bench.end(), tmp_path).difference == ""


@pytest.mark.parametrize("seed", range(3))
def test_a_record_that_is_cut_off_is_the_same_as_far_as_it_goes(seed, tmp_path):
    """Wherever the writer was killed: in the midst of a line, or of what one event led to."""
    whole = b"".join(storm(seed, "slo"))
    draw = random.Random(seed)
    for _ in range(40):
        cut = whole[: draw.randrange(len(FIRST) + 100, len(whole))]
        found = verdict([cut], tmp_path)
        assert found.difference == ""
        assert not found.whole
        assert found.same == decisions(cut.splitlines(keepends=True)[: cut.count(b"\n")])


def test_another_policy_decides_otherwise_and_the_first_such_decision_is_named(tmp_path):
    recorded = storm(14, "window")
    changed = [line.replace(b'"window"', b'"eager"') for line in recorded]
    found = verdict(changed, tmp_path)
    assert found.difference.startswith(f"decision {found.same + 1} (line ")
    assert 'recorded ["done",' in found.difference
    assert "now the core asks for 'now' where the record goes on with" in found.difference
    with pytest.raises(Diverged, match="asks for 'now' where the record goes on with"):
        decide_again(changed, lambda _: None)


def test_one_decision_that_is_another_is_told_with_both(tmp_path):
    storms = (storm(seed, "window") for seed in range(100))
    recorded = next(lines for lines in storms if any(b'"timewindow"' in line for line in lines))
    at = next(index for index, line in enumerate(recorded) if b'"timewindow"' in line)
    changed = [*recorded[:at], recorded[at].replace(b'"timewindow"', b'"slotfree"'), *recorded[at + 1 :]]
    found = verdict(changed, tmp_path)
    assert found.same == decisions(recorded[:at])
    assert found.difference.startswith(f"decision {found.same + 1} (line {at + 1}): recorded [")
    assert '"slotfree"' in found.difference.partition("now")[0]
    assert '"timewindow"' in found.difference.partition("now")[2]


def test_a_decision_that_is_not_made_again_is_seen(tmp_path):
    recorded = storm(3, "window")
    found = verdict([*recorded, b'["done",9999,"COMPLETED"]\n'], tmp_path)
    assert found.difference.endswith('recorded ["done",9999,"COMPLETED"], now nothing')


@pytest.mark.parametrize(
    "line", [b'["timer",7]\n', b'["cancel",7]\n', b'["ended",7,"ok",1]\n', b'["what"]\n']
)
def test_an_event_about_nothing_is_a_difference_and_no_stack_trace(line, tmp_path):
    assert verdict([FIRST, line], tmp_path).difference


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "nothing is in it"),
        ([b'["now",1]\n'], "no record of decisions"),
        ([b'["version",99]\n'], "another format"),
        ([b'["version",%d]\n' % VERSION], "damaged"),
        ([b'["version",%d,{"python":3}]\n' % VERSION], "damaged"),
        ([FIRST, b'["no\n'], "line 2"),
        ([FIRST, b"{}\n"], "line 2"),
        ([b"PAR1\x00\n"], "line 1"),
    ],
)
def test_what_is_no_record_is_refused(lines, reason):
    with pytest.raises(UsageError, match=reason):
        decide_again(lines, lambda _: None)


def test_recording_changes_nothing():
    plain, recorded = Bench(window_ms=5), RecordedBench(window_ms=5)
    for bench in (plain, recorded):
        bench.submit_many(5)
        bench.settle()
    assert [b.at_ns for b in plain.batches] == [b.at_ns for b in recorded.batches]
    assert isinstance(recorded.batcher, StreamBoxBatcher)
