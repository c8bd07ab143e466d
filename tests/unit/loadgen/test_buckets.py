"""Durations in logarithmic buckets: each value between the edges of its own, and none far from them."""

from __future__ import annotations

import numpy as np

from streambox.loadgen.buckets import BUCKETS, bucket_of, lower_ns


def test_a_value_lies_between_its_buckets_edges_which_are_close_together():
    random = np.random.default_rng(1)
    values = np.exp(random.uniform(0, np.log(2.0**47), 10_000)).astype(np.int64)
    buckets = bucket_of(values)
    low, high = lower_ns(buckets), lower_ns(buckets + 1)
    assert (low <= values).all()
    assert (values < high).all()
    assert (high / low).max() <= 1 + 1 / 256


def test_buckets_are_in_the_order_of_the_values():
    values = np.unique(np.geomspace(1, 2**50, 5000).astype(np.int64))
    assert (np.diff(bucket_of(values)) >= 0).all()


def test_what_is_out_of_range_is_in_the_bucket_at_that_end():
    assert bucket_of(np.array([-5, 0, 1])).tolist() == [0, 0, 0]
    assert bucket_of(np.array([2**48 - 1, 2**48, 2**62])).tolist() == [BUCKETS - 1] * 3
