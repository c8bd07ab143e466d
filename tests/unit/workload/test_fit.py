"""Fits find again what a trace was drawn with, and say how well they do."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.events import Events
from streambox.workload.fit import fit
from streambox.workload.processes import make_process, parse_process

SECOND = 1_000_000_000
LONG_S = 400

FAMILIES = [
    "poisson:rate=50",
    "gamma:rate=50,cv=3",
    "gamma:rate=50,cv=1.2",
    "gamma:rate=50,cv=0.4",
    "weibull:rate=50,cv=2",
    "weibull:rate=50,cv=0.5",
    "hyperexponential:rate=50,cv=4",
    "hyperexponential:rate=50,cv=1.5",
]
REPLICATIONS = 10


def drawn(text, seconds=LONG_S, seed=11):
    return parse_process(text).arrivals(seconds * SECOND, np.random.default_rng(seed))


@pytest.mark.parametrize("text", FAMILIES)
def test_the_family_and_its_parameters_are_found_again(text):
    """
    In each of ten traces of 20,000 arrivals.

    The mean of the estimates is within five standard errors, measured from the ten, plus the
    1 or 2 % of bias that estimates from so many may have.
    """
    truth = parse_process(text)
    found = [fit(drawn(text, seed=seed), LONG_S * SECOND) for seed in range(REPLICATIONS)]
    assert {each.best.model for each in found} == {truth.name}
    made = [make_process(each.best.name, each.best.parameters) for each in found]
    for estimates, value, bias in (
        ([process.mean_rate_per_s(SECOND) for process in made], 50, 0.01),
        ([process.cv() for process in made], truth.cv(), 0.02),
    ):
        error = np.std(estimates, ddof=1) / np.sqrt(REPLICATIONS)
        assert np.mean(estimates) == pytest.approx(value, abs=5 * error + bias * value)


@pytest.mark.parametrize("text", [*FAMILIES, "sine:mean=50,amplitude=45,period=100s"])
def test_the_model_that_is_right_fits_and_its_gaps_have_no_memory(text):
    """Kolmogorov–Smirnov after time-rescaling: of ten p-values none is below a thousandth."""
    found = [fit(drawn(text, seed=seed), LONG_S * SECOND).best for seed in range(REPLICATIONS)]
    assert min(each.p_value for each in found) > 1e-3
    assert max(each.ks for each in found) < 2 / np.sqrt(10_000)
    assert max(abs(each.lag1) for each in found) < 5 / np.sqrt(15_000)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("gamma:rate=50,cv=3", "poisson"),
        ("gamma:rate=50,cv=0.4", "weibull"),
        ("weibull:rate=50,cv=2", "gamma"),
        ("hyperexponential:rate=50,cv=4", "nhpp"),
        ("sine:mean=50,amplitude=45,period=100s", "poisson"),
    ],
)
def test_a_model_that_is_wrong_is_said_to_fit_badly(text, wrong):
    (candidate,) = fit(drawn(text), LONG_S * SECOND, models=(wrong,)).candidates
    assert candidate.p_value < 1e-4


def test_the_steps_of_a_rate_are_found_again():
    truth = [(20, 100), (80, 100), (50, 100), (10, 100)]
    levels = "+".join(f"{rate}:{length}s" for rate, length in truth)
    found = fit(drawn(f"steps:levels={levels}"), LONG_S * SECOND).best
    assert (found.model, found.name) == ("nhpp", "steps")
    rates = [rate for rate, _ in found.process.levels]
    for number, (rate, length) in enumerate(truth):
        middle = rates[len(rates) * (2 * number + 1) // 8]
        assert middle == pytest.approx(rate, abs=5 * np.sqrt(rate / length * 2))


def test_a_rate_that_swings_is_followed():
    found = fit(drawn("sine:mean=50,amplitude=45,period=100s"), LONG_S * SECOND).best
    assert found.model == "nhpp"
    times = np.arange(5, LONG_S, 10) + 0.0
    curve = found.process.curve(LONG_S)
    rates = (curve.expected(times + 5) - curve.expected(times - 5)) / 10
    swing = 50 + 45 * np.sin(2 * np.pi * times / 100)
    assert np.corrcoef(rates, swing)[0, 1] > 0.98
    assert np.abs(rates - swing).mean() < 5


def test_a_rate_that_does_not_move_is_no_model_of_its_own():
    instants = drawn("poisson:rate=50", seed=3)
    assert "nhpp" in fit(instants, LONG_S * SECOND).left_out
    assert fit(instants, LONG_S * SECOND, models=("nhpp",)).best.free == 1


def test_a_coarse_clock_shows_counts_and_allows_no_model_of_gaps():
    instants = drawn("sine:mean=50,amplitude=45,period=100s") // SECOND * SECOND
    found = fit(instants, LONG_S * SECOND)
    assert found.tick_ns == SECOND
    assert [each.model for each in found.candidates] == ["nhpp", "poisson"]
    assert "too coarse" in found.left_out["gamma"]


@pytest.mark.parametrize("tick_ns", [1_000, 100_000, 1_000_000])
def test_a_clock_that_ticks_a_little_does_not_change_what_is_found(tick_ns):
    instants = drawn("gamma:rate=50,cv=2") // tick_ns * tick_ns
    best = fit(instants, LONG_S * SECOND).best
    assert best.model == "gamma"
    assert best.process.cv() == pytest.approx(2, rel=0.06)


def test_the_report_names_the_best_and_all_others():
    lines = fit(drawn("gamma:rate=50,cv=3"), LONG_S * SECOND).describe()
    assert any("gamma" in line for line in lines)
    assert any("weibull" in line for line in lines)


def test_a_trace_of_events_will_do_as_well():
    instants = drawn("poisson:rate=20", 100)
    events = Events.of(instants, 100 * SECOND)
    assert fit(events).best.name == fit(instants, 100 * SECOND).best.name


@pytest.mark.parametrize("instants", [[], [5], [5, 7]])
def test_too_few_arrivals_are_refused(instants):
    with pytest.raises(UsageError):
        fit(np.array(instants, np.int64), SECOND)


def test_a_model_that_is_none_is_refused():
    with pytest.raises(UsageError, match="hawkes"):
        fit(drawn("poisson:rate=20", 50), 50 * SECOND, models=("hawkes",))


def test_constant_gaps_are_told_from_random_ones():
    instants = (np.arange(1000) * 20_000_000).astype(np.int64)
    assert fit(instants, 20 * SECOND).best.name == "constant"
