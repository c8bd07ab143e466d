"""
The load generator's figures of a server that stalls, in virtual time, against the exact ones.

Its own pacer, records and summary, and a server that works by arithmetic: no socket, so that
nothing but them can be at fault. ``benchmarks/coordinated_omission.py`` does it for real.
"""

from __future__ import annotations

import numpy as np
import pytest
from stall import Stall, responses_ns

from streambox.clock import VirtualClock
from streambox.loadgen.pacer import NEVER_NS, Pacer
from streambox.loadgen.record import OK, Outcomes, Recorder
from streambox.loadgen.summary import CLOSED_LOOP, OPEN_LOOP, summarise
from streambox.workload.arrivals import arrivals_at_rate

MS = 1_000_000
SECOND = 1000 * MS
STALL = Stall(service_ns=MS // 10, begin_ns=5 * SECOND, end_ns=7 * SECOND)
CALLERS = 64


class Bench:
    """Requests go to a ``Stall`` the moment they are sent, and come back the moment they are answered."""

    def __init__(self, recorder: Recorder) -> None:
        self.clock = VirtualClock()
        self.recorder = recorder
        self.first_ns: int | None = None
        self._free_ns = 0

    def send(self, index: int, on_ended=lambda: None) -> None:
        now_ns = self.clock.now_ns()
        if self.first_ns is None:
            self.first_ns = now_ns
        self.recorder.on_dispatched(index, now_ns)
        self.recorder.on_sent(index, now_ns)
        self._free_ns = STALL.answer_ns(now_ns - self.first_ns, self._free_ns)

        def answered() -> None:
            done_ns = self.clock.now_ns()
            self.recorder.on_response(index, done_ns, done_ns, 200)
            self.recorder.on_end(index, OK)
            on_ended()

        self.clock.call_at(self.first_ns + self._free_ns, answered)

    def play(self) -> None:
        while (next_ns := self.clock.next_ns()) is not None:
            self.clock.advance_to(next_ns)


def replay(intended_ns, asleep: range = range(0)) -> Outcomes:
    """Open loop; the generator itself is not woken while the clock is within *asleep*."""
    bench = Bench(Recorder(intended_ns))
    pacer = Pacer(intended_ns)

    def wake() -> None:
        while pacer.due(bench.clock.now_ns()):
            bench.send(pacer.take())
        if pacer.next_ns != NEVER_NS:
            bench.clock.call_at(asleep.stop if pacer.next_ns in asleep else pacer.next_ns, wake)

    bench.clock.call_at(int(intended_ns[0]), wake)
    bench.play()
    return bench.recorder.outcomes


def wait_in_turn(seconds: int) -> Outcomes:
    """Closed loop: each caller sends when its last answer has come, together at most 1000 times a second."""
    recorder = Recorder(np.empty(0, np.int64))
    bench = Bench(recorder)
    gap_ns = CALLERS * MS

    def call(due_ns: int) -> None:
        def again() -> None:
            next_ns = max(due_ns + gap_ns, bench.clock.now_ns())
            if next_ns < seconds * SECOND:
                bench.clock.call_at(next_ns, lambda: call(next_ns))

        bench.send(recorder.add(bench.clock.now_ns()), again)

    for number in range(CALLERS):
        bench.clock.call_at(number * MS, lambda due_ns=number * MS: call(due_ns))
    bench.play()
    return recorder.outcomes.first(recorder.added)


def figures(outcomes: Outcomes, mode: str = OPEN_LOOP) -> dict[str, float]:
    summary = summarise(outcomes, mode=mode, seed=0, schedule_sha256=None, duration_ns=20 * SECOND)
    assert summary["ok"] == summary["offered"] == len(outcomes)
    return summary["response_ms"]


def exact_ms(waited_ns) -> dict[str, float]:
    p50, p90, p99, p99_9 = np.percentile(waited_ns, (50, 90, 99, 99.9)) / MS
    return {"p50": p50, "p90": p90, "p99": p99, "p99_9": p99_9, "max": waited_ns.max() / MS}


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_every_percentile_of_a_stalled_server_is_the_exact_one(arrivals):
    intended_ns = arrivals_at_rate(1000, 20 * SECOND, arrivals, np.random.default_rng(3))
    exact = exact_ms(responses_ns(intended_ns, STALL))
    assert figures(replay(intended_ns)) == pytest.approx(exact, abs=0.001)
    assert exact["p99"] > 1500  # the stall is in it


def test_a_generator_that_was_not_woken_counts_that_as_its_users_would():
    """Asleep for 0.3 s, it sends what fell due meanwhile at once, and shifts nothing."""
    intended_ns = arrivals_at_rate(1000, 20 * SECOND, "constant", np.random.default_rng(3))
    asleep = range(6800 * MS + 1, 7100 * MS)
    outcomes = replay(intended_ns, asleep)
    sent_ns = np.where((intended_ns >= asleep.start) & (intended_ns < asleep.stop), asleep.stop, intended_ns)
    assert outcomes.sent_ns.tolist() == sent_ns.tolist()
    waited = responses_ns(sent_ns, STALL) + sent_ns - intended_ns
    assert figures(outcomes) == pytest.approx(exact_ms(waited), abs=0.001)
    assert outcomes.lag_ns.max() == 299 * MS


def test_a_closed_loop_hides_the_stall_which_shows_that_this_bench_can_tell():
    seconds = 20
    intended_ns = arrivals_at_rate(1000, seconds * SECOND, "constant", np.random.default_rng(3))
    exact = exact_ms(responses_ns(intended_ns, STALL))
    assert figures(wait_in_turn(seconds), CLOSED_LOOP)["p99"] < exact["p99"] / 100
