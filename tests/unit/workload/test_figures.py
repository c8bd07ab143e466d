"""Figures of arrivals are what their definitions say, in blocks or not."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload import figures
from streambox.workload.events import Events
from streambox.workload.figures import (
    autocorrelation,
    dispersion_curve,
    distances,
    figures_of,
    gap_cv,
    gap_edges,
    gap_histogram,
    index_of_dispersion,
    usual_unit_ns,
)
from streambox.workload.processes import parse_process

SECOND = 1_000_000_000
WEEK_S = 7 * 86_400


def drawn(text: str, seconds: int = 400, seed: int = 1) -> Events:
    duration_ns = seconds * SECOND
    return Events.of(parse_process(text).arrivals(duration_ns, np.random.default_rng(seed)), duration_ns)


def at(*seconds: float, duration_s: float) -> Events:
    return Events.of(np.array([round(s * SECOND) for s in seconds], np.int64), round(duration_s * SECOND))


def test_the_figures_of_a_few_arrivals_are_those_of_pencil_and_paper():
    found = figures_of(at(0.5, 1.5, 1.75, 3.5, duration_s=4.9))
    assert (found.arrivals, found.functions, found.duration_s) == (4, 1, 4.9)
    assert found.mean_per_s == pytest.approx(4 / 4.9)
    assert found.peak_over_mean == pytest.approx(2 / (4 / 4))  # counts 1 2 0 1; what is past 4 s is no unit
    assert found.idle_share == pytest.approx(1 / 4)
    gaps = np.array([1, 0.25, 1.75])
    assert found.gap_cv == pytest.approx(gaps.std() / gaps.mean())
    assert found.burstiness == pytest.approx((found.gap_cv - 1) / (found.gap_cv + 1))


@pytest.mark.parametrize(("text", "cv", "idc"), [("constant:rate=50", 0, 0), ("poisson:rate=50", 1, 1)])
def test_a_metronome_and_poisson_arrivals_are_the_two_ends_of_the_scale(text, cv, idc):
    found = figures_of(drawn(text))
    assert found.gap_cv == pytest.approx(cv, abs=0.03)
    assert found.burstiness == pytest.approx((cv - 1) / (cv + 1), abs=0.03)
    assert [tau for tau, _ in found.idc] == [0.1, 1, 10]  # 60 s goes into 400 s fewer than 10 times
    assert dict(found.idc)[1] == pytest.approx(idc, abs=0.3)


@pytest.mark.parametrize(
    "events", [Events.of(np.empty(0, np.int64)), Events.of(np.empty(0, np.int64), 9 * SECOND)]
)
def test_no_arrivals_have_no_figures_and_no_error(events):
    found = figures_of(events)
    assert found.arrivals == found.functions == 0
    assert (found.peak_over_mean, found.gap_cv, found.burstiness, found.lag1, found.idc) == (None,) * 4 + (
        (),
    )
    assert distances(events, drawn("poisson:rate=5")) == figures.Distances(None, None)


def test_one_arrival_has_no_gap():
    found = figures_of(at(1.5, duration_s=3))
    assert (found.arrivals, found.gap_cv, found.idle_share) == (1, None, pytest.approx(2 / 3))


def test_arrivals_all_at_one_instant_have_no_variation():
    assert gap_cv(np.zeros(5, np.int64)) is None
    assert gap_histogram(np.zeros(5, np.int64)) is None


def test_functions_count_if_they_were_called():
    calls = np.array([2, 0, 2], np.int32)
    events = Events(np.array([1, 2, 3], np.int64), calls, ("a", "never", "b"), SECOND)
    assert figures_of(events).functions == 2


def test_the_blocks_do_not_show(monkeypatch):
    events = drawn("gamma:rate=50,cv=2")
    whole = figures_of(events), gap_histogram(events.instants_ns).tolist()
    monkeypatch.setattr(figures, "_BLOCK", 7)
    assert gap_cv(events.instants_ns) == pytest.approx(whole[0].gap_cv, rel=1e-12)
    assert gap_histogram(events.instants_ns).tolist() == whole[1]
    gaps = np.diff(events.instants_ns)
    assert whole[0].gap_cv == pytest.approx(gaps.std() / gaps.mean(), rel=1e-12)


def test_dispersion_is_variance_over_mean_of_whole_windows():
    counts = np.array([0, 4, 0, 4, 0, 4, 99.0])
    assert index_of_dispersion(counts[:6], 1) == pytest.approx(4 / 2)
    assert index_of_dispersion(counts, 2) == pytest.approx(0)  # the incomplete last window does not count
    assert index_of_dispersion(counts, 4) is None


def test_the_dispersion_of_clusters_grows_with_the_window_as_the_formula_says():
    process = parse_process("hyperexponential:rate=50,cv=3")
    for tau_s, found in dispersion_curve(drawn("hyperexponential:rate=50,cv=3", 20_000), (0.02, 0.1, 1.0)):
        assert found == pytest.approx(process.idc(tau_s), rel=0.1)


def test_windows_too_many_to_count_are_left_out():
    assert [tau for tau, _ in dispersion_curve(drawn("poisson:rate=0.1", WEEK_S), (0.1, 1.0))] == [1.0]


def test_the_usual_unit_is_a_second_until_there_would_be_too_many():
    assert usual_unit_ns(10 * SECOND) == SECOND
    assert usual_unit_ns(WEEK_S * SECOND) == SECOND
    assert usual_unit_ns(52 * WEEK_S * SECOND) == 60 * SECOND
    assert figures_of(Events.of(np.array([5], np.int64), 2**62)).unit_s == 3600  # the longest there can be


@pytest.mark.parametrize(("unit_ns", "reason"), [(0, "at least 1 ns"), (1000, "choose a longer one")])
def test_a_unit_that_cannot_be_counted_in_is_refused(unit_ns, reason):
    with pytest.raises(UsageError, match=reason):
        figures_of(drawn("poisson:rate=1"), unit_ns)


# ---- distances -----------------------------------------------------------------------------------


def test_a_source_is_at_no_distance_from_itself_at_any_speed():
    events = drawn("gamma:rate=50,cv=2")
    slower = Events.of(events.instants_ns * 7, events.duration_ns * 7)
    found = distances(events, slower)
    assert found.gaps == 0
    assert found.shape < 1e-4


def test_the_distance_of_gaps_is_that_of_the_distributions():
    """Weibull of shape 1/2 (CV √5) and exponential gaps: sup |exp(−x) − exp(−√(2x))|."""
    x = np.linspace(0, 20, 200_001)
    exact = np.abs(np.exp(-x) - np.exp(-np.sqrt(2 * x))).max()
    found = distances(drawn("weibull:rate=100,shape=0.5", 2000), drawn("poisson:rate=30", 6000))
    assert found.gaps == pytest.approx(exact, abs=0.01)


def test_rounding_of_equal_gaps_to_nanoseconds_is_no_distance():
    assert distances(drawn("constant:rate=3"), drawn("constant:rate=7")).gaps == 0


def test_the_distance_of_shapes_is_that_of_the_shares_of_arrivals():
    """Of a constant rate and one that rises from 0: sup |x − x²| = 1/4."""
    found = distances(drawn("poisson:rate=100", 1000), drawn("ramp:from=0,to=400", 500))
    assert found.shape == pytest.approx(0.25, abs=0.01)


def test_every_gap_is_counted_between_its_edges():
    gaps = np.array([0, 1, 2, 5, 900, 4], np.int64)
    histogram, edges = gap_histogram(np.cumsum(np.concatenate(([3], gaps)))), gap_edges()
    assert histogram[0] == 1
    assert histogram.sum() == len(gaps)
    for gap in gaps[gaps > 0] / gaps.mean():
        entry = int(np.searchsorted(edges, gap))
        assert histogram[entry] == 1
        assert edges[entry - 1] <= gap < edges[entry]


# ---- autocorrelation -----------------------------------------------------------------------------


def test_autocorrelation_peaks_at_the_period():
    values = autocorrelation(10 + 10 * np.sin(2 * np.pi * np.arange(2000) / 20), 60)
    assert len(values) == 60
    assert values[19] == pytest.approx(1, abs=0.02)
    assert values[9] == pytest.approx(-1, abs=0.02)


def test_autocorrelation_reaches_as_far_as_there_are_counts():
    assert [len(autocorrelation(np.array(counts), 60)) for counts in ([1.0, 2, 3], [2.0, 2, 2], [])] == [
        2,
        0,
        0,
    ]
