"""Durations in logarithmic buckets: each value between the edges of its own, and none far from them."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.buckets import DRAWN, TOLD, Buckets


@pytest.mark.parametrize(("buckets", "width"), [(DRAWN, 1 / 256), (TOLD, 1 / 1024)])
def test_a_value_lies_between_its_buckets_edges_which_are_close_together(buckets: Buckets, width: float):
    random = np.random.default_rng(1)
    values = np.exp(random.uniform(0, np.log(2.0**47), 10_000)).astype(np.int64)
    found = buckets.of(values)
    low, high = buckets.lower_ns(found), buckets.lower_ns(found + 1)
    assert (low <= values).all()
    assert (values < high).all()
    assert (high / low).max() <= 1 + width


@pytest.mark.parametrize("buckets", [DRAWN, TOLD])
def test_buckets_are_in_the_order_of_the_values(buckets: Buckets):
    values = np.unique(np.geomspace(1, 2**50, 5000).astype(np.int64))
    assert (np.diff(buckets.of(values)) >= 0).all()


@pytest.mark.parametrize("buckets", [DRAWN, TOLD])
def test_what_is_out_of_range_is_in_the_bucket_at_that_end(buckets: Buckets):
    assert buckets.of(np.array([-5, 0, 1])).tolist() == [0, 0, 0]
    assert buckets.of(np.array([2**48 - 1, 2**48, 2**62])).tolist() == [buckets.count - 1] * 3
