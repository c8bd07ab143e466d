"""A reply tells its batch's longest wait; a request's own follows from when it was sent."""

from __future__ import annotations

import numpy as np

from streambox.loadgen.record import Outcomes


def test_a_request_sent_later_than_its_batchs_first_waited_that_much_less() -> None:
    outcomes = Outcomes(np.arange(4, dtype=np.int64))
    outcomes.sent_ns[:] = [1000, 1300, 1700, 9000]
    outcomes.batch_id[:] = [7, 7, 7, 8]
    outcomes.wait_ns[:] = [500, 500, 500, 40]
    outcomes.apportion_waits()
    assert outcomes.wait_ns.tolist() == [500, 200, 0, 40]


def test_what_no_reply_told_stays_unknown() -> None:
    outcomes = Outcomes(np.arange(3, dtype=np.int64))
    outcomes.sent_ns[:] = [10, -1, 30]
    outcomes.batch_id[:] = [1, -1, -1]
    outcomes.wait_ns[:] = [5, -1, -1]
    outcomes.apportion_waits()
    assert outcomes.wait_ns.tolist() == [5, -1, -1]
