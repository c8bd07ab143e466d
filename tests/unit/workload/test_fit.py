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
    ("poisson:rate=50", "poisson", {"rate": 50}),
    ("gamma:rate=50,cv=3", "gamma", {"rate": 50, "cv": 3}),
    ("gamma:rate=50,cv=0.4", "gamma", {"rate": 50, "cv": 0.4}),
    ("weibull:rate=50,cv=2", "weibull", {"rate": 50, "cv": 2}),
    ("hyperexponential:rate=50,cv=4", "hyperexponential", {"rate": 50, "cv": 4}),
]


def drawn(text, seconds=LONG_S, seed=11):
    return parse_process(text).arrivals(seconds * SECOND, np.random.default_rng(seed))


def parameters(candidate):
    made = make_process(candidate.name, candidate.parameters)
    return {"rate": made.mean_rate_per_s(LONG_S * SECOND), "cv": made.cv()}


@pytest.mark.parametrize(("text", "name", "truth"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_the_family_and_its_parameters_are_found_again(text, name, truth):
    found = fit(drawn(text), LONG_S * SECOND)
    assert found.best.name == name
    estimated = parameters(found.best)
    for parameter, value in truth.items():
        # 20,000 gaps: the rate is known to cv / sqrt(n), 3 % at cv 4; the cv itself less well.
        assert estimated[parameter] == pytest.approx(value, rel=0.12)


def test_a_rate_that_swings_is_found_to_be_no_renewal_process():
    found = fit(drawn("sine:mean=50,amplitude=45,period=100s"), LONG_S * SECOND)
    assert found.best.name in ("steps", "nhpp")


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
