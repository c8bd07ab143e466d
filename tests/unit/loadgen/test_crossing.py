"""Where the share that misses crosses what is allowed, and how closely the segments tell."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.crossing import crossing_of
from streambox.loadgen.find_max import Segment, Trial

ALLOWED = 0.01


def trial(rate: float, *shares: float, offered: int = 4000) -> Trial:
    segments = [Segment(offered, (round(share * offered),)) for share in shares]
    return Trial(rate, segments, "holds" if np.mean(shares) <= ALLOWED else "fails", clear=True)


def bursty(seed: int, *, limit: float = 450.0, slope: float = 25.0) -> list[Trial]:
    """Segments in which misses come in bursts of 20; their share crosses 1 % at *limit*."""
    random = np.random.default_rng(seed)
    trials = []
    for rate in (423, 436, 449, 463, 477):
        odds = ALLOWED / (1 - ALLOWED) * (rate / limit) ** slope
        bursts = random.poisson(odds / (1 + odds) * 4000 / 20, 8)
        trials.append(trial(rate, *(20 * bursts / 4000)))
    return trials


def test_it_lies_where_the_share_is_what_is_allowed():
    found = crossing_of([trial(400, *[0.005] * 5), trial(440, *[0.02] * 5)], 0, ALLOWED)
    assert found.rate_per_s == pytest.approx(420, rel=0.005)


def test_its_interval_holds_as_often_as_it_says_although_misses_come_in_bursts():
    found = [crossing_of(bursty(seed), 0, ALLOWED) for seed in range(300)]
    known = [one for one in found if one is not None and one.low is not None]
    assert len(known) > 280
    assert np.mean([one.rate_per_s for one in known]) == pytest.approx(450, rel=0.01)
    assert np.mean([one.low <= 450 <= one.high for one in known]) > 0.9
    assert np.mean([one.high / one.low - 1 for one in known]) < 0.1


def test_more_segments_narrow_the_interval():
    few, many = ([trial(r, *[s, 2 * s] * n) for r, s in ((400, 0.004), (440, 0.012))] for n in (2, 20))
    widths = [one.high / one.low for one in (crossing_of(few, 0, ALLOWED), crossing_of(many, 0, ALLOWED))]
    assert widths[0] > widths[1]


def test_the_interval_is_no_narrower_than_the_gap_between_the_rates_tried():
    """Where a queue overflows nothing misses at one rate, and most at the next: nothing lies between."""
    found = crossing_of([trial(490, *[0.0] * 10), trial(505, *[0.4] * 3)], 0, ALLOWED)
    assert found.low <= 490 <= found.rate_per_s <= 505 <= found.high
    found = crossing_of([trial(400, *[0.004, 0.006] * 40), trial(440, *[0.015, 0.025] * 40)], 0, ALLOWED)
    assert found.low <= 400 < found.rate_per_s < 440 <= found.high


def test_rates_far_from_the_crossing_do_not_bend_it():
    near = [trial(440, *[0.005] * 5), trial(455, *[0.02] * 5)]
    far = [trial(100, *[0.0] * 5), trial(900, *[0.9] * 5)]
    assert crossing_of(near, 0, ALLOWED) == crossing_of([*near, *far], 0, ALLOWED)


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([], "nothing was tried"),
        ([trial(400, 0.0, 0.0)], "nothing fails"),
        ([trial(400, 0.5)], "nothing holds"),
        ([trial(400, 0.5), trial(500, 0.0)], "what holds is above what fails"),
    ],
)
def test_without_a_rate_that_holds_below_one_that_fails_there_is_none(trials, why):
    assert crossing_of(trials, 0, ALLOWED) is None, why


def test_where_the_segments_do_not_tell_the_clear_verdicts_do_and_else_nothing():
    trials = [trial(400, 0.0099, 0.0, 0.0), trial(404, 0.05, 0.0, 0.0)]
    found = crossing_of(trials, 0, ALLOWED)
    assert (found.low, found.high) == (400, 404)
    trials[1].clear = False
    assert crossing_of(trials, 0, ALLOWED)[1:] == (400, None)


def test_an_objective_that_allows_nothing_has_none():
    assert crossing_of([trial(400, 0.0), trial(500, 0.5)], 0, 0.0) is None
