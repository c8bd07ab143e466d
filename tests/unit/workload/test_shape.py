"""The shape of a rate, told from chance, taken out and put back."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.workload.events import Events
from streambox.workload.processes import parse_process
from streambox.workload.shape import Shape, best_unit_ns, local_dispersion

SECOND = 1_000_000_000


def drawn(text: str, seconds: int = 400, seed: int = 1) -> Events:
    duration_ns = seconds * SECOND
    return Events.of(parse_process(text).arrivals(duration_ns, np.random.default_rng(seed)), duration_ns)


def test_there_and_back_is_where_it_was():
    events = drawn("sine:mean=50,amplitude=45,period=100s")
    shape = Shape.of(events, 7 * SECOND)  # the last unit is cut short
    back = shape.instants_ns(shape.expected(events.instants_ns))
    assert np.abs(back - events.instants_ns).max() <= 1000
    assert shape.expected(np.array([0, events.duration_ns])).tolist() == [0, len(events)]


def test_with_the_shape_taken_out_the_rate_is_constant():
    events = drawn("steps:levels=10/s:200s+90/s:200s")
    expected = Shape.of(events, 20 * SECOND).expected(events.instants_ns)
    gaps = np.diff(expected)
    half = len(gaps) // 2
    assert gaps[:half].mean() == pytest.approx(gaps[half:].mean(), rel=0.01)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03)


def test_a_stretch_without_arrivals_is_passed_over():
    events = Events.of(np.array([1, 2, 25, 26], np.int64), 30)
    shape = Shape.of(events, 10)
    assert shape.expected(np.array([10, 15, 20])).tolist() == [2, 2, 2]
    assert shape.instants_ns(np.array([1.0, 3.0])).tolist() == [5, 25]


CHANCE = [
    ("poisson:rate=50", "chance alone"),
    ("gamma:rate=50,cv=3", "clusters of a renewal process"),
    ("gamma:rate=50,cv=0.3", "regularity"),
    ("constant:rate=50", "a metronome"),
]


@pytest.mark.parametrize(("text", "why"), CHANCE, ids=[row[1] for row in CHANCE])
def test_a_rate_that_does_not_move_has_no_fine_shape(text, why):
    assert best_unit_ns(drawn(text)) >= 100 * SECOND


MOVING = [
    ("sine:mean=50,amplitude=45,period=100s", 1, 20, "a slow swing"),
    ("sine:mean=500,amplitude=450,period=4s", 0.05, 0.8, "a fast one"),
]


@pytest.mark.parametrize(("text", "low_s", "high_s", "why"), MOVING, ids=[row[3] for row in MOVING])
def test_a_rate_that_moves_is_told_in_units_shorter_than_its_movement(text, low_s, high_s, why):
    assert low_s <= best_unit_ns(drawn(text)) / SECOND <= high_s


@pytest.mark.parametrize("instants", [[], [5], [5, 9], [5, 5, 5]])
def test_too_few_arrivals_are_taken_for_chance(instants):
    events = Events.of(np.array(instants, np.int64), 100)
    assert local_dispersion(events.instants_ns) == 1
    assert best_unit_ns(events) == 100


@pytest.mark.parametrize(("cv", "expected"), [(3, 9), (1, 1), (0.5, 0.25)])
def test_local_dispersion_is_that_of_gamma_gaps_even_where_the_rate_moves(cv, expected):
    steady = drawn(f"gamma:rate=500,cv={cv}")
    assert local_dispersion(steady.instants_ns) == pytest.approx(expected, rel=0.05)
    moving = (steady.instants_ns / SECOND) ** 2 * SECOND  # a rate that falls as 1/√t
    assert local_dispersion(moving.astype(np.int64)) == pytest.approx(expected, rel=0.05)
