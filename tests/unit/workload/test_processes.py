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
    ("sine:mean=50,amplitude=30,period=10s", 400, "whole periods of a sine"),
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


VARYING = [
    ("ramp:from=10,to=90", 100, [30, 70]),
    ("steps:levels=10/s:50s+90/s:50s", 100, [10, 90]),
    ("spike:base=10,spike=100,at=50s,width=50s", 100, [10, 100]),
]


@pytest.mark.parametrize(("text", "seconds", "halves"), VARYING, ids=[row[0] for row in VARYING])
def test_a_rate_that_varies_is_followed(text, seconds, halves):
    try:
        drawn = draws(text, seconds)
    except UsageError as error:  # pragma: no cover - says how the parameters are called
        pytest.fail(str(error))
    middle = seconds * SECOND // 2
    for half, rate in enumerate(halves):
        counts = [int(((instants >= middle) == bool(half)).sum()) for instants in drawn]
        assert_mean([count / (seconds / 2) for count in counts], rate, 0.01)


ALL = [row[0] for row in STATIONARY] + [row[0] for row in VARYING]


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
def test_a_day_and_a_week_have_their_mean_and_their_shape(text, period_s):
    process = parse_process(text)
    instants = process.arrivals(period_s * SECOND, np.random.default_rng(3))
    assert len(instants) / period_s == pytest.approx(20, rel=0.01)
    hours = np.bincount(instants // (3600 * SECOND), minlength=period_s // 3600)
    assert hours.max() > 1.3 * hours.min()
