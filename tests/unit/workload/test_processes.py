"""
Arrival processes: their figures are those of the formulas.

Each is drawn in independent replications. What is compared is the mean over them, and the tolerance is
five standard errors of that mean, measured from the replications themselves, plus a percent or two for
the bias of a finite window: a right process fails one such comparison in about two million.
"""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.processes import PROCESSES, format_process, make_process, parse_process
from streambox.workload.processes.rate_curves import DAYS, HOURS

SECOND = 1_000_000_000
REPLICATIONS = 40

STATIONARY = [
    ("constant:rate=50/s", 200, "a metronome"),
    ("poisson:rate=50/s", 200, "independent gaps"),
    ("gamma:rate=50/s,cv=3", 400, "bursty renewal"),
    ("gamma:rate=50/s,cv=0.3", 200, "smoother than Poisson"),
    ("weibull:rate=50/s,cv=2", 400, "heavy gaps"),
    ("hyperexponential:rate=50/s,cv=3", 400, "two kinds of gaps"),
    ("hawkes:mu=10,alpha=0.5,beta=1", 600, "arrivals that bring arrivals"),
    ("onoff:on=100/s,on_time=1s,off_time=1s", 600, "exponential on and off times"),
    ("weibull:rate=50,shape=2", 200, "regular gaps, by their shape"),
    ("mmpp2:rate1=90,rate2=10,switch12=0.5,switch21=1", 600, "a rate that jumps between two"),
    ("onoff:on=90,off=10,on_time=2s,off_time=1s", 600, "the same, by how long it stays"),
    ("onoff:on=100,on_time=1s,off_time=0.5s,times=constant", 600, "a square wave"),
    ("onoff:on=100,off=20,on_time=1.1s,off_time=0.6s,times=constant", 600, "one that is never silent"),
    # Windows of 1 and 5 s begin equally often at 8 places of this period.
    ("sine:mean=50,amplitude=30,period=8s", 400, "whole periods of a sine"),
]


def draws(text: str, seconds: int) -> list[np.ndarray]:
    process = parse_process(text)
    return [
        process.arrivals(seconds * SECOND, np.random.default_rng([7, number]))
        for number in range(REPLICATIONS)
    ]


def assert_mean(values, formula: float, bias: float) -> None:
    """That the mean of *values* is *formula*, as far as they can tell."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(formula, abs=5 * error + bias * abs(formula) + 1e-9)


@pytest.mark.parametrize(("text", "seconds", "why"), STATIONARY, ids=[row[0] for row in STATIONARY])
def test_rate_variation_and_dispersion_are_the_formulas(text, seconds, why):
    process, drawn = parse_process(text), draws(text, seconds)
    assert_mean(
        [len(instants) / seconds for instants in drawn], process.mean_rate_per_s(seconds * SECOND), 0.005
    )
    cv = process.cv()
    if cv is not None:
        gaps = [np.diff(instants) for instants in drawn]
        assert_mean([gap.std() / gap.mean() for gap in gaps], cv, 0.02)
    for tau_s in (1, 5):
        idc = process.idc(tau_s)
        if idc is not None:
            counts = [np.bincount(i // (tau_s * SECOND), minlength=seconds // tau_s) for i in drawn]
            # The variance about the known mean, so that few windows bring no bias.
            mean = process.mean_rate_per_s(seconds * SECOND) * tau_s
            assert_mean([((count - mean) ** 2).mean() / mean for count in counts], idc, 0.03)


# ---- rates that vary -----------------------------------------------------------------------------


def linear_between(times, rates):
    """Λ of a rate that is linear between *times*."""
    fine = np.linspace(0, times[-1], 200_001)
    middle = np.interp((fine[1:] + fine[:-1]) / 2, times, rates)
    sums = np.concatenate(([0], np.cumsum(middle * np.diff(fine))))
    return lambda t: np.interp(t, fine, sums)


def week(t):
    levels = np.outer(DAYS, HOURS).ravel()
    shape = linear_between(np.arange(169) * 0.6, [*levels, levels[0]])
    return 40 * shape(t) / levels.mean()


def day(t):
    shape = linear_between(np.arange(73) * 100 / 24, [*HOURS * 3, HOURS[0]])
    return 40 * (shape(t + 25) - shape(25)) / np.mean(HOURS)


def spike(t):
    later = np.maximum(t - 50, 0)
    return 10 * t + 90 * np.clip(t - 40, 0, 10) + 90 * 5 * (1 - np.exp(-later / 5))


CURVES = [
    ("ramp:from=10,to=90", lambda t: 10 * t + 0.4 * t**2),
    (
        "ramp:from=90,to=10,over=50s",
        lambda t: 90 * t - 0.8 * np.minimum(t, 50) ** 2 - 80 * np.maximum(t - 50, 0),
    ),
    ("steps:levels=10/s:50s+90/s:10s+0:20s", lambda t: 10 * np.minimum(t, 50) + 90 * np.clip(t - 50, 0, 10)),
    ("spike:base=10,spike=100,at=40s,width=10s,decay=5s", spike),
    ("spike:base=10,spike=100,at=40s,width=20s", lambda t: 10 * t + 90 * np.clip(t - 40, 0, 20)),
    (
        "sine:mean=50,amplitude=50,period=30s",
        lambda t: 50 * t + 50 * 30 / (2 * np.pi) * (1 - np.cos(2 * np.pi * t / 30)),
    ),
    ("diurnal:rate=40,start=25s,day=100s", day),
    ("weekly:rate=40,day=14.4s", week),
]


@pytest.mark.parametrize(("text", "expected"), CURVES, ids=[row[0] for row in CURVES])
def test_where_the_rate_varies_the_counts_of_windows_are_poisson_with_its_mean(text, expected):
    """Mean Λ(b) − Λ(a), and index of dispersion 1, in every window."""
    seconds, window_s = 100, 5
    drawn = np.array([np.bincount(i // (window_s * SECOND), minlength=20) for i in draws(text, seconds)])
    means = np.diff(expected(np.arange(0, seconds + 1, window_s)))
    total = parse_process(text).mean_rate_per_s(seconds * SECOND) * seconds
    assert total == pytest.approx(means.sum(), rel=1e-4)
    for window, mean in zip(drawn.T, means, strict=True):
        assert window.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / REPLICATIONS) + 1e-3 * mean + 1e-9)
    some = means > 1e-6
    squares = (drawn[:, some] - means[some]) ** 2 / means[some]
    assert_mean(squares.mean(axis=1), 1, 0.01)


@pytest.mark.parametrize(("text", "expected"), CURVES, ids=[row[0] for row in CURVES])
def test_on_the_axis_of_expected_counts_gaps_are_exponential(text, expected):
    """The time-rescaling theorem: mean 1, CV 1, and no relation between neighbours."""
    gaps = [np.diff(expected(instants / SECOND)) for instants in draws(text, 100)]
    assert_mean([gap.mean() for gap in gaps], 1, 0.01)
    assert_mean([gap.std() / gap.mean() for gap in gaps], 1, 0.01)
    assert_mean([np.corrcoef(gap[1:], gap[:-1])[0, 1] for gap in gaps], 0, 0)


ALL = [row[0] for row in STATIONARY] + [row[0] for row in CURVES]


@pytest.mark.parametrize("text", ALL)
def test_instants_are_sorted_within_the_duration_and_the_seeds_own(text):
    process = parse_process(text)
    first, again, other = (process.arrivals(20 * SECOND, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.int64
    assert (np.diff(first) >= 0).all()
    assert first[0] >= 0
    assert first[-1] < 20 * SECOND
    assert first.tolist() == again.tolist()
    assert text.startswith("constant") or first.tolist() != other.tolist()


@pytest.mark.parametrize("text", ALL)
def test_what_is_written_is_read_back(text):
    process = parse_process(text)
    assert parse_process(format_process(process)) == process


BAD = [
    ("gama:rate=5,cv=2", r"no arrival process 'gama': .*gamma"),
    ("", "no arrival process"),
    ("gamma:rate=5", "cv missing"),
    ("gamma:rate=5,cv=2,x=1", "takes no parameter 'x'"),
    ("gamma:rate=5,rate=6,cv=1", "twice"),
    ("gamma:rate,cv=2", "not parameter=value"),
    ("gamma:rate=-5,cv=2", "rate is -5"),
    ("gamma:rate=nan,cv=2", "rate"),
    ("gamma:rate=5,cv=0", "cv is 0"),
    ("hyperexponential:rate=5,cv=0.5", "cv is 0.5"),
    ("hawkes:mu=1,alpha=2,beta=1", "alpha"),
    ("poisson:rate=5ms", "rate"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[0] or "empty" for row in BAD])
def test_a_process_that_cannot_be_is_refused_by_its_parameters_name(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_process(text)


def test_more_than_can_be_replayed_is_refused_before_it_is_drawn():
    with pytest.raises(UsageError, match="the most is"):
        parse_process("poisson:rate=1000000").arrivals(3600 * SECOND, np.random.default_rng(0))


@pytest.mark.parametrize("duration_ns", [0, -1, 2**63])
def test_a_duration_that_no_run_has_is_refused(duration_ns):
    with pytest.raises(UsageError, match="duration"):
        parse_process("poisson:rate=1").arrivals(duration_ns, np.random.default_rng(0))


def test_every_process_says_what_it_is():
    for name, process in PROCESSES.items():
        assert process.name == name
        assert process.__doc__
        with pytest.raises(UsageError, match=r"missing|poisson|takes"):
            make_process(name, {"nonsense": 1.0})


@pytest.mark.parametrize(("text", "period_s"), [("diurnal:rate=20", 86400), ("weekly:rate=20", 7 * 86400)])
def test_a_day_and_a_week_of_full_length_have_their_mean(text, period_s):
    instants = parse_process(text).arrivals(period_s * SECOND, np.random.default_rng(3))
    assert len(instants) / period_s == pytest.approx(20, abs=5 * np.sqrt(20 / period_s))


def test_every_process_is_compared_with_its_formulas():
    assert {text.partition(":")[0] for text in ALL} == set(PROCESSES)
