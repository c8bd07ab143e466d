"""From outcomes to figures: what is left out of them, and how the run ends."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.record import OK, Recorder
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import check_finished, finish, run_load
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.spool import RunState
from streambox.loadgen.summary import OPEN_LOOP
from streambox.workload.schedule import Lane, Schedule

SECOND = 1_000_000_000
MS = 1_000_000
LANES = (Lane("digits", "acme"), Lane("digits", "zoo"))


def finished(response_ms, *objectives: str, lane=0, warm_up_ns: int = 0, cool_down_ns: int = 0):
    """A run of 10 s, requests evenly spaced, all answered right after *response_ms*."""
    count = len(response_ms)
    intended_ns = np.arange(count, dtype=np.int64) * (10 * SECOND // count)
    lanes = np.broadcast_to(np.asarray(lane, np.uint8), count).copy()
    schedule = Schedule(intended_ns, np.zeros(count, np.int32), lanes, LANES, {})
    recorder = Recorder(intended_ns, lanes)
    for index, ms in enumerate(response_ms):
        at_ns = int(intended_ns[index])
        recorder.on_sent(index, at_ns)
        recorder.on_response(index, at_ns + 1, at_ns + round(ms * MS), 200)
        recorder.on_end(index, OK)
    state = RunState(OPEN_LOOP, 1, 10 * SECOND, warm_up_ns, cool_down_ns)
    return finish(schedule, recorder.outcomes, state, [parse_objective(text) for text in objectives])


def test_the_window_says_what_the_figures_are_about():
    summary = finished([5] * 100, warm_up_ns=2 * SECOND, cool_down_ns=SECOND).summary
    assert (summary["window_s"], summary["offered"], summary["excluded"]) == ([2, 9], 70, 30)
    assert finished([5] * 100).summary["window_s"] == [0, 10]


def test_goodput_counts_what_was_right_and_in_time():
    slow = [5] * 80 + [500] * 20
    assert finished(slow).summary["goodput_per_s"] == pytest.approx(10, rel=0.05)
    assert finished(slow, "p99<50ms").summary["goodput_per_s"] == pytest.approx(8, rel=0.05)


def test_a_run_that_was_stopped_before_it_began_has_figures_all_the_same():
    empty = np.empty(0, np.int64)
    schedule = Schedule(np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.uint8), LANES, {})
    summary = finish(schedule, Recorder(empty).outcomes, RunState(OPEN_LOOP, 1, 0)).summary
    assert (summary["goodput_per_s"], summary["offered"], summary["split_ms"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("objective", "missed"),
    [
        ("tenant=acme:p99<50ms", False),
        ("tenant=zoo:p99<50ms", True),
        ("p99<50ms", True),
        ("tenant=zoo:throughput>4/s", False),
        ("tenant=zoo:throughput>6/s", True),
        ("tenant=nobody:ok>1%", True),
    ],
)
def test_a_tenants_objective_decides_the_run_by_its_own_requests(objective, missed):
    """Half of the requests are each tenant's; zoo's are slow."""
    summary = finished([5, 90] * 50, objective, lane=[0, 1] * 50).summary
    assert [one["holds"] for one in summary["objectives"]] == [not missed]
    if not missed:
        check_finished(summary, allow_invalid=False)
        return
    with pytest.raises(RunFailed, match="objectives missed"):
        check_finished(summary, allow_invalid=False)
    with pytest.raises(RunFailed, match="objectives missed"):  # of which --allow-invalid says nothing
        check_finished(summary, allow_invalid=True)


def test_an_objective_looks_only_at_the_measured_part():
    slow_start = [500] * 20 + [5] * 80
    assert not finished(slow_start, "max<50ms").summary["objectives"][0]["holds"]
    assert finished(slow_start, "max<50ms", warm_up_ns=2 * SECOND).summary["objectives"][0]["holds"]


@pytest.mark.parametrize(
    ("objective", "there_are"),
    [("tenant=nobody:ok>9%", "the tenants are acme, zoo"), ("model=zzz:ok>9%", "the models are digits")],
)
def test_an_objective_about_nobody_in_a_schedule_is_refused_before_the_server_is_asked(objective, there_are):
    schedule = Schedule(np.arange(2), np.zeros(2, np.int32), np.arange(2, dtype=np.uint8), LANES, {})
    nobody = RunOptions(target=Target("127.0.0.1", 1, "/"))
    with pytest.raises(UsageError, match=f"is about no request: {there_are}"):
        run_load(
            WorkloadOptions(),
            nobody,
            "digits",
            Console(quiet=True),
            objectives=[parse_objective(objective)],
            schedule=schedule,
        )
