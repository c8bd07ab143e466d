"""The same event log gives the same decisions."""

from __future__ import annotations

import random

import pytest

from streambox.batcher import StreamBoxBatcher
from streambox.errors import StreamBoxError, UsageError
from streambox.simulate.decisions import VERSION, Record, RecordingScheduler, decide_again
from virtual import BROKEN, DIED, MS, Bench


class RecordedBench(Bench):
    """A bench whose scheduler keeps its record, in ``lines``."""

    def __init__(self, **model) -> None:
        self.lines: list[bytes] = []
        super().__init__(**model)

    def make_scheduler(self, make_batcher):
        return RecordingScheduler(self.clock, make_batcher, Record(self.lines.append))


def storm(seed: int, policy: str) -> list[bytes]:
    """A few hundred events of every kind; the record of them."""
    draw = random.Random(seed)
    failing = {"rate": draw.choice([0, 0, 0.2])}

    def outcome(batch):
        return draw.choice([BROKEN, DIED]) if draw.random() < failing["rate"] else None

    bench = RecordedBench(
        policy=policy,
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
    )
    for _ in range(300):
        kind = draw.random()
        if kind < 0.6:
            try:
                bench.submit(
                    draw.choice([1, 1, 1, 3, 10]),
                    width=draw.choice([2, 2, 3]),
                    timeout_ms=draw.choice([None, None, 5, 60]),
                    value=draw.choice([None] * 20 + [float("nan")]),
                )
            except StreamBoxError:
                continue
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
            bench.batcher.set_batch_size(draw.choice([1, 3, 8]))
        else:
            bench.advance_ms(draw.choice([0.1, 1, 5]))
    bench.scheduler.drain()
    bench.settle()
    assert bench.violations() == []
    return bench.lines


@pytest.mark.parametrize("policy", ["window", "eager", "slo"])
@pytest.mark.parametrize("seed", range(20))
def test_what_was_told_again_is_decided_again_byte_for_byte(policy, seed):
    recorded = storm(seed, policy)
    again: list[bytes] = []
    decide_again(recorded, again.append)
    assert again == recorded
    assert sum(line.startswith(b'["batch"') for line in recorded) > 10


def test_another_policy_decides_otherwise_and_that_is_seen():
    recorded = storm(3, "window")
    changed = [line.replace(b'"window"', b'"eager"') for line in recorded]
    again: list[bytes] = []
    with pytest.raises(UsageError, match="decides otherwise"):
        decide_again(changed, again.append)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no record"),
        ([b'["version",99]'], "another version"),
        ([b'["version",%d]' % VERSION, b'["no'], "line 2"),
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
