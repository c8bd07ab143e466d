"""The search for the highest rate, on queues simulated in virtual time."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.find_max import FEWEST_SEGMENTS, Search, Segment

SERVICE_S = 0.002
LIMIT_S = 0.05


def queue(rate: float, seconds: float, seed: int, *, poisson: bool) -> np.ndarray:
    """Response times of a server that takes 2 ms for each, by Lindley's recursion, less the first fifth."""
    random = np.random.default_rng(seed)
    count = int(rate * seconds)
    gaps = random.exponential(1 / rate, count) if poisson else np.full(count, 1 / rate)
    # W[n+1] = max(0, W[n] + S - T[n]) is the walk less its running minimum.
    walk = np.concatenate([[0.0], np.cumsum(SERVICE_S - gaps[1:])])
    waits = walk - np.minimum.accumulate(walk)
    return waits[count // 5 :] + SERVICE_S


def search(**changes) -> Search:
    options = {"start_per_s": 50, "lowest_per_s": 1, "highest_per_s": 100_000, "precision": 0.01}
    return Search([0.01], **{**options, "most_segments": 40, **changes})


def run(a_search: Search, *, poisson: bool, seconds: float = 20) -> int:
    """How many segments it took."""
    segments = 0
    while (rate := a_search.rate_per_s) is not None:
        responses = queue(rate, seconds, segments, poisson=poisson)
        a_search.add(Segment(len(responses), (int((responses > LIMIT_S).sum()),)))
        segments += 1
    return segments


def test_constant_arrivals_are_held_up_to_the_servers_capacity():
    one = search()
    run(one, poisson=False)
    assert one.found().rate_per_s == pytest.approx(1 / SERVICE_S, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_poisson_arrivals_are_held_up_to_the_rate_of_the_theory(seed):
    """M/D/1 with 2 ms: p99 of the response time is 50 ms at about 457/s."""
    one = search(precision=0.02)
    segments = 0
    while (rate := one.rate_per_s) is not None:
        responses = queue(rate, 60, 1000 * seed + segments, poisson=True)
        one.add(Segment(len(responses), (int((responses > LIMIT_S).sum()),)))
        segments += 1
    found = one.found()
    assert found.rate_per_s == pytest.approx(457, rel=0.03)
    assert found.low <= 457 * 1.01
    assert found.high >= 457 * 0.99


def test_a_hopeless_rate_takes_one_segment_and_an_easy_one_the_fewest():
    one = search(start_per_s=5000)
    one.add(Segment(1000, (900,)))
    assert one.rate_per_s == 2500
    for _ in range(FEWEST_SEGMENTS):
        assert one.rate_per_s == 2500
        one.add(Segment(1000, (0,)))
    assert one.rate_per_s == pytest.approx((5000 * 2500) ** 0.5)


def test_nothing_missed_in_too_few_requests_shows_nothing():
    """With 0.1 % allowed, none missed in 300 requests is no evidence."""
    one = Search([0.001], start_per_s=10, lowest_per_s=1, highest_per_s=100, precision=0.1, most_segments=50)
    for _ in range(29):
        one.add(Segment(100, (0,)))
        assert one.rate_per_s == 10
    one.add(Segment(100, (0,)))
    assert one.rate_per_s == 20


def test_a_rate_on_the_edge_is_decided_by_the_mean_in_the_end_and_said_not_to_be_clear():
    one = search(start_per_s=100, most_segments=6)
    for missed in (0, 25, 0, 25, 0, 4):  # 0.9 % of 6000
        one.add(Segment(1000, (missed,)))
    (trial,) = one.found().trials
    assert (trial.verdict, trial.clear, len(trial.segments)) == ("holds", False, 6)
    assert one.found().low is None


def test_one_objective_that_fails_fails_the_rate():
    one = Search(
        [0.01, 0.5], start_per_s=100, lowest_per_s=1, highest_per_s=400, precision=0.1, most_segments=9
    )
    for _ in range(3):
        one.add(Segment(1000, (30, 0)))
    assert one.found().trials[0].verdict == "fails"


def test_three_lucky_segments_do_not_end_the_search():
    """The two rates that are left are tried again, and what turns out otherwise moves the search."""
    one = search(start_per_s=100, precision=0.5, segments_in_the_end=6, most_segments=9)
    asked = []
    while (rate := one.rate_per_s) is not None:
        asked.append(round(rate))
        lucky = rate < 90 or (asked.count(100) <= 3 and rate == 100)
        one.add(Segment(1000, (900 if rate > 150 else 0 if lucky else 40,)))
    assert asked == [100] * 3 + [200] + [141] * 3 + [100] * 6 + [50] * 3 + [71] * 6
    trials = {round(trial.rate_per_s): trial.verdict for trial in one.found().trials}
    assert trials == {50: "holds", 71: "holds", 100: "fails", 141: "fails", 200: "fails"}


def test_a_hopeless_rate_is_not_tried_again():
    one = search(start_per_s=100, precision=0.5, segments_in_the_end=10)
    while (rate := one.rate_per_s) is not None:
        one.add(Segment(1000, (900 if rate > 120 else 0,)))
    tried = {round(trial.rate_per_s): len(trial.segments) for trial in one.found().trials}
    assert tried == {100: 10, 200: 1, 141: 1}


def test_a_rate_that_holds_above_one_that_fails_is_not_what_was_found():
    one = search(start_per_s=100, highest_per_s=200)
    for _ in range(3):
        one.add(Segment(1000, (0,)))
    for _ in range(3):
        one.add(Segment(1000, (0,)))
    assert one.found().rate_per_s == 200
    next(trial for trial in one.found().trials if trial.rate_per_s == 100).verdict = "fails"
    assert one.found().rate_per_s is None


def test_it_does_not_go_beyond_the_highest_rate():
    one = search(start_per_s=60, highest_per_s=100)
    rates = []
    while one.rate_per_s is not None:
        rates.append(one.rate_per_s)
        one.add(Segment(1000, (0,)))
    assert sorted(set(rates)) == [60, 100]
    assert one.found().rate_per_s == 100
    assert one.found().high is None


def test_a_server_that_holds_nothing_is_found_out():
    one = search(start_per_s=8, lowest_per_s=1)
    while one.rate_per_s is not None:
        one.add(Segment(100, (100,)))
    assert one.found().rate_per_s is None
    assert [trial.rate_per_s for trial in one.found().trials] == [1, 2, 4, 8]


def test_the_share_that_missed_is_of_the_requests_that_the_objective_is_about():
    """90 of a tenant's 100 missed it, beside 900 requests of others."""
    one = search(start_per_s=10, highest_per_s=10, lowest_per_s=10)
    one.add(Segment(1000, (90,), concerned=(100,)))
    (trial,) = one.found().trials
    assert (trial.share(0), trial.verdict) == (0.9, "fails")


def test_nothing_missed_by_a_tenant_with_few_requests_shows_nothing():
    one = search(start_per_s=10)
    for _ in range(3):
        one.add(Segment(1000, (0,), concerned=(50,)))
    assert one.rate_per_s == 10


def test_giving_up_keeps_what_is_known():
    one = search(start_per_s=10)
    for _ in range(3):
        one.add(Segment(1000, (0,)))
    one.give_up()
    assert one.rate_per_s is None
    assert one.found().rate_per_s == 10
    assert not one.found().interrupted


def test_an_interrupted_search_tells_what_is_known_and_that_it_was_interrupted():
    one = search(start_per_s=10)
    for _ in range(3):
        one.add(Segment(1000, (0,)))
    one.interrupt()
    assert one.rate_per_s is None
    assert (one.found().rate_per_s, one.found().interrupted) == (10, True)
