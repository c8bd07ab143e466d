"""The off-line bound: cases by hand, and every schedule of small ones tried the slow way."""

from __future__ import annotations

import itertools
import random

import pytest

from streambox.simulate.bound import MOST_REQUESTS, most_in_time


def line(rows: int) -> float:
    return 4 + rows


@pytest.mark.parametrize(
    ("arrived", "deadlines", "rows", "most", "why"),
    [
        ([], [], 4, 0, "nothing asked, nothing answered"),
        ([0], [5], 4, 1, "just in time"),
        ([0], [4], 4, 0, "not even alone"),
        ([0, 0], [6, 6], 4, 2, "both in one batch"),
        ([0, 0], [6, 6], 1, 1, "one after the other takes 10"),
        ([0, 0], [5, 10], 1, 2, "the urgent one first"),
        ([0, 0], [10, 5], 1, 2, "whatever order they came in"),
        ([0, 0, 0], [6, 6, 6], 4, 2, "three together take 7: one is given up"),
        ([0, 1], [5, 9], 4, 1, "apart they end at 5 and 10, together at 7"),
        ([0, 1], [7, 7], 4, 2, "worth waiting for the second"),
        ([0, 1], [7, 7], 1, 1, "no use waiting where they cannot share"),
        ([0, 3], [5, 20], 4, 2, "not worth waiting: the second runs behind the first"),
        ([0, 0, 6, 6], [6, 6, 12, 12], 2, 4, "pair by pair"),
        ([0, 0, 5, 6], [6, 6, 11, 12], 2, 3, "the third cannot wait for the fourth"),
        ([0, 0, 0, 0], [5, 11, 11, 11], 4, 3, "three in one batch: the urgent one would end it at 12"),
    ],
)
def test_cases_by_hand(arrived, deadlines, rows, most, why):
    assert most_in_time(arrived, deadlines, line, rows) == most, why


def slowly(arrived, deadlines, rows) -> int:
    """Every sequence of batches over every order of every subset: no dynamic programming, no dominance."""
    best = 0

    def run(left: tuple[int, ...], free: float, done: int) -> None:
        nonlocal best
        best = max(best, done)
        for size in range(1, min(len(left), rows) + 1):
            for batch in itertools.combinations(left, size):
                ends = max([free, *(arrived[i] for i in batch)]) + line(size)
                in_time = sum(ends <= deadlines[i] for i in batch)
                run(tuple(i for i in left if i not in batch), ends, done + in_time)

    run(tuple(range(len(arrived))), 0, 0)
    return best


@pytest.mark.parametrize("seed", range(25))
def test_small_cases_by_trying_everything_without_a_shortcut(seed):
    draw = random.Random(seed)
    arrived = sorted(draw.randrange(20) for _ in range(5))
    deadlines = [instant + draw.randrange(4, 18) for instant in arrived]
    rows = draw.choice([1, 2, 3, 5])
    assert most_in_time(arrived, deadlines, line, rows) == slowly(arrived, deadlines, rows)


def test_more_than_can_be_tried_is_refused():
    with pytest.raises(ValueError, match="13 requests are too many"):
        most_in_time([0] * (MOST_REQUESTS + 1), [9] * (MOST_REQUESTS + 1), line, 4)
