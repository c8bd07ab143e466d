import pytest

from streambox.batcher.counters import DURATION_BOUNDS_NS, SIZE_BOUNDS, Histogram, ModelCounters

BUCKETS = [
    (0, 0, "below the first bound"),
    (1, 0, "on a bound: in its bucket"),
    (2, 1, "just above it: in the next"),
    (10, 1, "on the last bound"),
    (11, 2, "beyond the last: the rest"),
]


@pytest.mark.parametrize(("value", "bucket", "why"), BUCKETS, ids=[row[-1] for row in BUCKETS])
def test_a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed(value, bucket, why):
    histogram = Histogram((1, 10))
    histogram.observe(value)
    assert histogram.counts == [int(index == bucket) for index in range(3)]


def test_observing_what_has_passed_since_each_is_observing_each():
    one_by_one, at_once = Histogram(SIZE_BOUNDS), Histogram(SIZE_BOUNDS)
    values = [1, 3, 32, 32, 1000]
    for value in values:
        one_by_one.observe(value)
    at_once.observe_since([5000 - value for value in values], 5000)
    assert (at_once.counts, at_once.total) == (one_by_one.counts, one_by_one.total) == (at_once.counts, 1068)


@pytest.mark.parametrize("bounds", [SIZE_BOUNDS, DURATION_BOUNDS_NS])
def test_bounds_ascend(bounds):
    assert list(bounds) == sorted(set(bounds))


LAWS = [
    ({}, 0, "nothing has happened"),
    ({"received": 1, "refused": 1}, 0, "one refused"),
    ({"received": 1, "accepted": 1, "in_flight": 1, "queued": 1}, 0, "one waits"),
    ({"received": 1, "accepted": 1, "in_flight": 1}, 0, "one runs"),
    (
        {"received": 4, "accepted": 4, "completed": 1, "failed": 1, "expired": 1, "cancelled": 1},
        0,
        "each kind of end",
    ),
    ({"received": 1}, 1, "one has got lost at the door"),
    ({"received": 1, "accepted": 1}, 1, "one has got lost inside"),
    ({"completed": 1}, 1, "one has ended that never came"),
    ({"queued": 1}, 1, "one waits that is not in flight"),
    ({"received": 1, "accepted": 1, "in_flight": 1, "queued": -1}, 1, "one was dequeued twice"),
]


@pytest.mark.parametrize(("counts", "broken", "why"), LAWS, ids=[row[-1] for row in LAWS])
def test_violations_name_what_does_not_add_up(counts, broken, why):
    counters = ModelCounters()
    for name, count in counts.items():
        setattr(counters, name, count)
    assert len(counters.violations()) == broken
