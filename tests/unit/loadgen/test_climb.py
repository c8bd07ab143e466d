"""Rates that double until two in a row are hopeless."""

from __future__ import annotations

import pytest

from streambox.loadgen.climb import Climb
from streambox.loadgen.find_max import Segment

GOOD, BAD, HOPELESS = (Segment(1000, (missed,)) for missed in (10, 11, 250))


def climbed(*segments: Segment, highest_per_s: float = 1e6) -> Climb:
    climb = Climb(0.01, start_per_s=1000, highest_per_s=highest_per_s)
    for segment in segments:
        climb.add(segment)
    return climb


def test_rates_double_while_they_hold():
    climb = climbed(GOOD, GOOD, GOOD)
    assert climb.reached_per_s == 4000
    assert climb.rate_per_s == 8000


@pytest.mark.parametrize(
    "disturbed", [[BAD, BAD, BAD, GOOD], [GOOD, BAD, BAD, GOOD], [HOPELESS, GOOD, HOPELESS, GOOD]]
)
def test_a_while_of_noise_ends_nothing(disturbed):
    climb = climbed(*disturbed)
    assert climb.rate_per_s is not None
    assert climb.reached_per_s == 8000


def test_two_hopeless_rates_in_a_row_end_it_at_the_highest_that_held():
    climb = climbed(GOOD, GOOD, BAD, HOPELESS, HOPELESS)
    assert climb.rate_per_s is None
    assert climb.reached_per_s == 2000


def test_where_nothing_holds_the_search_begins_at_the_start():
    climb = climbed(HOPELESS, HOPELESS)
    assert climb.rate_per_s is None
    assert climb.reached_per_s == 1000


def test_it_ends_at_the_highest_rate_to_be_tried():
    climb = climbed(GOOD, GOOD, highest_per_s=1500)
    assert climb.rate_per_s is None
    assert climb.reached_per_s == 1500


def test_the_highest_rate_may_be_below_the_start():
    assert climbed(highest_per_s=500).rate_per_s == 500
