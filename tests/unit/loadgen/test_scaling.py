"""A stream at another rate: as many arrivals as asked for, in the shape that they had."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.scaling import at_rate, resampled
from streambox.workload.processes import parse_process

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    "process",
    [
        "constant:rate=5",
        "gamma:rate=100,cv=3",
        "weibull:rate=100,cv=2",
        "mmpp2:rate1=100,rate2=1,switch12=1,switch21=0.5",
        "onoff:on=100,on_time=1s,off_time=2s",
        "hawkes:mu=10,alpha=1,beta=2",
        "diurnal:rate=100",
        "ramp:from=1,to=10",
        "steps:levels=10/s:30s+100/s:5s",
        "sine:mean=50,amplitude=30,period=10s",
        "spike:base=1,spike=50,at=10s,width=2s",
    ],
)
def test_a_process_is_brought_to_a_mean_rate_and_keeps_its_shape(process):
    options = at_rate(WorkloadOptions(process=process, duration_ns=MINUTE), 7.0)
    before, after = parse_process(process), parse_process(str(options.process))
    assert after.mean_rate_per_s(MINUTE) == pytest.approx(7, rel=1e-6)
    assert after.cv() == before.cv() or after.cv() is not None
    assert {key for key in vars_of(before) if vars_of(before)[key] == vars_of(after)[key]} >= {
        key for key in vars_of(before) if key.endswith("_s") and not key.endswith("_per_s")
    }


def vars_of(process) -> dict:
    return {name: getattr(process, name) for name in process.__struct_fields__}


def test_a_rate_is_replaced():
    assert at_rate(WorkloadOptions(rate_per_s=5), 7.0).rate_per_s == 7
    assert at_rate(WorkloadOptions(), 7.0).rate_per_s == 7


def test_a_process_without_arrivals_cannot_be_scaled():
    with pytest.raises(UsageError, match="no arrivals that could be scaled"):
        at_rate(WorkloadOptions(process="steps:levels=0/s:60s+1/s:1s", duration_ns=MINUTE), 7.0)


@pytest.mark.parametrize("count", [0, 1, 40, 999, 1000, 1001, 2500, 10_000])
def test_arrivals_become_as_many_as_asked_for(count):
    random = np.random.default_rng(0)
    instants_ns = np.sort(random.integers(0, MINUTE, 1000))
    found = resampled(instants_ns, count, MINUTE, random)
    assert len(found) == count
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found < MINUTE)).all()


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.6])
def test_the_profile_of_the_rate_stays(factor):
    """Nine tenths of all arrivals in the second half, before as after."""
    random = np.random.default_rng(1)
    instants_ns = np.sort(np.append(random.integers(0, 30, 1000), random.integers(30, 60, 9000))) * SECOND
    instants_ns += random.integers(0, SECOND, 10_000)
    instants_ns.sort()
    found = resampled(instants_ns, round(factor * 10_000), MINUTE, random)
    assert (found >= MINUTE // 2).mean() == pytest.approx(0.9, abs=0.02)


def test_the_same_rate_leaves_every_arrival_where_it_was():
    instants_ns = np.arange(0, MINUTE, SECOND)
    assert resampled(instants_ns, 60, MINUTE, np.random.default_rng(0)).tolist() == instants_ns.tolist()


def test_nothing_stays_nothing():
    assert len(resampled(np.empty(0, np.int64), 5, MINUTE, np.random.default_rng(0))) == 0
