"""The exact response times of a server that stalls: small cases by hand, large ones by formula."""

from __future__ import annotations

import numpy as np
import pytest
from stall import Stall, responses_ns

MS = 1_000_000
NONE = Stall(service_ns=10, begin_ns=0, end_ns=0)


@pytest.mark.parametrize(
    ("intended", "stall", "responses", "why"),
    [
        ([0, 100, 200], NONE, [10, 10, 10], "a server that is not busy takes its service time"),
        ([0, 0, 0], NONE, [10, 20, 30], "one after the other"),
        ([0, 4, 200], NONE, [10, 16, 10], "the second waits for the first"),
        ([0, 100, 200], Stall(10, 100, 150), [10, 60, 10], "held to the end of the stall, then served"),
        ([0, 100, 110, 120], Stall(10, 100, 150), [10, 60, 60, 60], "drained at the rate of service"),
        ([0, 95], Stall(10, 100, 150), [10, 65], "not through before the stall: begun anew after it"),
        ([0, 90], Stall(10, 100, 150), [10, 10], "through just as it begins"),
        ([0, 150], Stall(10, 100, 150), [10, 10], "arrived as it ends"),
        ([500, 600, 700], Stall(10, 100, 150), [10, 60, 10], "counted from the first arrival"),
    ],
)
def test_what_each_user_waits(intended, stall, responses, why):
    assert responses_ns(intended, stall).tolist() == responses, why


def test_a_stall_is_a_triangle_that_falls_by_gap_less_service():
    """
    1000/s, 2 s, drained at 10,000/s: the k-th user in the stall waits 2 s - k (1 ms - 0.1 ms) and the
    service, until the queue is empty, 2 s / 0.9 later.
    """
    intended = np.arange(20_000) * MS
    stall = Stall(MS // 10, 5000 * MS, 7000 * MS)
    waited = responses_ns(intended, stall)
    held = np.arange(int(2000 / 0.9) + 1)
    assert waited[5000 + held].tolist() == (2000 * MS - held * (9 * MS // 10) + MS // 10).tolist()
    assert set(waited[:5000]) == set(waited[5000 + len(held) :]) == {MS // 10}
