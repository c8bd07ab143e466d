"""The figures of a run, and whether the generator kept its schedule."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import RunFailed
from streambox.loadgen.histogram import Durations
from streambox.loadgen.record import Recorder
from streambox.loadgen.session import check_finished, summary_json
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.summary import CLOSED_LOOP, OPEN_LOOP, figures, rate_error, summarise
from streambox.workload.schedule import Lane

MS = 1_000_000
SECOND = 1_000_000_000
DOCUMENTED = {
    *("schema_version", "environment", "offered", "sent", "unsent", "completed", "ok", "wrong", "errors"),
    *("duration_s", "offered_per_s", "throughput_per_s", "send_lag_us", "response_ms", "service_ms"),
    *("batch_size", "seed", "schedule_sha256", "verdict"),
    *(
        "mode",
        "response_from_sent_ms",
        "first_byte_ms",
        "objectives",
        "excluded",
        "split_ms",
    ),  # ours: docs/load-generator.md
}


def played(
    count: int = 1000,
    *,
    lag_ns: int = 0,
    response_ns: int = 5 * MS,
    unsent: int = 0,
    kinds: dict[int, str] | None = None,
    stretch: float = 1.0,
) -> Recorder:
    """A run at 1000/s: the last *unsent* requests stay unsent, *kinds* end otherwise than ok."""
    recorder = Recorder(np.arange(count, dtype=np.int64) * MS)
    for index in range(count - unsent):
        recorder.on_sent(index, round(index * MS * stretch) + lag_ns)
        kind = (kinds or {}).get(index, "ok")
        if kind in ("ok", "wrong") or kind.startswith("http"):
            recorder.on_response(index, index * MS + response_ns, index * MS + response_ns, 200)
            recorder.on_batch(index, index // 4, 4, 2 * MS, MS)
        recorder.on_end(index, kind)
    return recorder


def summary_of(recorder: Recorder, **changes) -> dict:
    arguments = {"mode": OPEN_LOOP, "seed": 1, "schedule_sha256": "abc", "duration_ns": SECOND}
    return summarise(recorder.outcomes, **{**arguments, **changes})


def test_it_has_the_documented_keys_and_no_others():
    summary = summary_of(played())
    assert set(summary) == DOCUMENTED
    assert set(summary["verdict"]) == {"status", "valid", "reasons"}
    assert set(summary["send_lag_us"]) == {"p50", "p90", "p99", "p99_9", "max"}
    assert set(summary["response_ms"]) == set(summary["service_ms"]) == set(summary["send_lag_us"])
    assert set(summary["batch_size"]) == {"mean", "p50", "max"}


def test_it_is_valid_json_also_when_nothing_was_sent():
    summary = json.loads(summary_json(summary_of(played(5, unsent=5))))
    assert summary["response_ms"]["p99"] is None
    assert summary["batch_size"]["mean"] is None
    assert summary["unsent"] == 5


def test_nothing_is_dropped_from_the_counts():
    kinds = {3: "wrong", 5: "http_503:queue_full", 7: "reset", 9: "timeout"}
    summary = summary_of(played(1000, unsent=100, kinds=kinds))
    assert (summary["offered"], summary["sent"], summary["unsent"]) == (1000, 900, 100)
    assert (summary["ok"], summary["wrong"]) == (896, 1)
    assert summary["completed"] == 898  # all but the reset and the time-out
    assert summary["ok"] + sum(summary["errors"].values()) == summary["offered"]


def test_figures_are_in_the_unit_of_their_name():
    summary = summary_of(played(lag_ns=50_000, response_ns=5 * MS))
    assert summary["send_lag_us"]["p99"] == pytest.approx(50)
    assert summary["response_ms"]["max"] == pytest.approx(5)
    assert summary["service_ms"]["p50"] == pytest.approx(1)
    assert summary["batch_size"] == {"mean": 4, "p50": 4, "max": 4}
    assert summary["offered_per_s"] == pytest.approx(1000)
    assert summary["duration_s"] == pytest.approx(1.004)


def test_throughput_counts_the_time_until_the_last_response():
    summary = summary_of(played(100, response_ns=2 * SECOND), duration_ns=SECOND)
    assert summary["throughput_per_s"] == pytest.approx(100 / 2.099, rel=1e-3)


def test_a_run_that_kept_its_schedule_is_valid():
    assert summary_of(played(lag_ns=4 * MS))["verdict"] == {"status": "valid", "valid": True, "reasons": []}


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [
        (played(unsent=1), "not sent"),
        (played(lag_ns=6 * MS), "send lag at p99"),
        (played(stretch=1.05), "off the schedule's"),
    ],
)
def test_a_run_that_did_not_is_generator_limited_and_says_why(recorder, reason):
    verdict = summary_of(recorder)["verdict"]
    assert verdict["status"] == "generator-limited"
    assert not verdict["valid"]
    assert any(reason in text for text in verdict["reasons"])


@pytest.mark.parametrize(("dispatched_late_ns", "waited"), [(0, True), (6 * MS, False), (5 * MS, False)])
def test_the_verdict_tells_lateness_of_ours_from_waiting_for_a_connection(dispatched_late_ns, waited):
    recorder = played(lag_ns=6 * MS)
    outcomes = recorder.outcomes
    outcomes.dispatched_ns[:] = outcomes.intended_ns + dispatched_late_ns
    (reason,) = summary_of(recorder)["verdict"]["reasons"]
    assert reason.endswith("waited for a connection") == waited


def test_a_few_late_requests_do_not_spoil_a_run():
    recorder = played()
    recorder.outcomes.sent_ns[:5] += 50 * MS
    assert summary_of(recorder)["verdict"]["valid"]


def test_rate_error_is_relative_to_the_schedule():
    assert rate_error(played(10_000, stretch=1.1).outcomes) == pytest.approx(0.1, abs=0.001)
    assert rate_error(played(10_000).outcomes) == 0
    assert rate_error(played(1).outcomes) == 0


def test_a_closed_loop_is_labelled_and_claims_no_schedule():
    summary = summary_of(played(), mode=CLOSED_LOOP, schedule_sha256=None)
    assert summary["mode"] == summary["verdict"]["status"] == "closed-loop"
    assert "no schedule" in summary["verdict"]["reasons"][0]


def test_percentiles_are_those_of_the_values():
    durations = Durations()
    durations.add(np.arange(1, 1001, dtype=np.int64) * 1000)
    found = figures(durations, 1e3)
    assert found["p50"] == pytest.approx(500, abs=1)
    assert found["p99_9"] == pytest.approx(999, abs=1)
    assert found["max"] == 1000


@pytest.mark.parametrize("allow_invalid", [True, False])
def test_a_wrong_answer_fails_the_run_always(allow_invalid):
    with pytest.raises(RunFailed, match="wrong"):
        check_finished(summary_of(played(kinds={1: "wrong"})), allow_invalid=allow_invalid)


def test_a_generator_limited_run_fails_unless_that_is_allowed():
    summary = summary_of(played(lag_ns=6 * MS))
    with pytest.raises(RunFailed, match="generator-limited"):
        check_finished(summary, allow_invalid=False)
    check_finished(summary, allow_invalid=True)


def test_a_run_without_one_answer_fails():
    with pytest.raises(RunFailed, match="not one"):
        check_finished(summary_of(played(3, kinds=dict.fromkeys(range(3), "reset"))), allow_invalid=True)


def test_a_valid_run_passes():
    check_finished(summary_of(played()), allow_invalid=False)


def test_a_run_of_nothing_but_errors_fails_although_all_were_answered():
    """A wrong path or model: every answer is a 404, and the generator has kept its schedule."""
    summary = summary_of(played(3, kinds=dict.fromkeys(range(3), "http_404:unknown_model")))
    assert summary["completed"] == 3
    with pytest.raises(RunFailed, match=r"not one.*http_404:unknown_model"):
        check_finished(summary, allow_invalid=True)


def test_percentiles_of_a_few_values_are_interpolated():
    durations = Durations()
    durations.add(np.array([1000, 2000, 4000], np.int64))
    assert figures(durations, 1e3) == {"p50": 2, "p90": 3.6, "p99": 3.96, "p99_9": 3.996, "max": 4}


def test_the_summary_of_no_request_at_all_can_be_written():
    summary = json.loads(summary_json(summary_of(Recorder(np.empty(0, np.int64)))))
    assert (summary["offered"], summary["errors"], summary["throughput_per_s"]) == (0, {}, 0)
    assert set(summary["send_lag_us"].values()) == {None}


def test_error_replies_count_as_responses_and_time_outs_do_not():
    recorder = played(4, kinds={0: "http_500", 1: "timeout"}, response_ns=7 * MS)
    assert summary_of(recorder)["response_ms"]["max"] == 7
    assert len(recorder.outcomes.response_ns) == 3


def test_a_missed_objective_fails_the_run():
    missed = [parse_objective(text).judge(played().outcomes, (), SECOND) for text in ("p99<6ms", "p99<5ms")]
    with pytest.raises(RunFailed, match=r"objectives missed: p99<5ms, found 5\.000ms$"):
        check_finished(summary_of(played(), judgements=missed), allow_invalid=True)


def test_it_is_the_same_however_many_entries_are_looked_at_at_once(monkeypatch):
    def whole() -> dict:
        recorder = played(1000, unsent=30, kinds={3: "wrong", 5: "http_503", 7: "reset"}, stretch=1.001)
        recorder.outcomes.apportion_waits()
        objectives = [parse_objective(text) for text in ("p90<5ms", "mean<9ms", "ok>90%")]
        judgements = [one.judge(recorder.outcomes, (Lane("m"),), SECOND) for one in objectives]
        return summary_of(recorder, judgements=judgements) | {"waits": recorder.outcomes.wait_ns.tolist()}

    at_once = whole()
    monkeypatch.setattr("streambox.loadgen.record._ROWS_AT_ONCE", 7)
    assert whole() == at_once
