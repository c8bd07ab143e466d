"""
A server that stalls, as arithmetic: when it answers, and so what its users wait.

It has one slot and works by an absolute timetable, so that its own lateness does not add up.
``stalling_server.py`` runs by this very arithmetic on a real clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Int64s = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Stall:
    """
    Each request takes *service_ns*, one after the other, in the order of arrival.

    No answer goes out in [*begin_ns*, *end_ns*), counted from the first arrival, while requests
    are accepted all the same: work that would not be through before it begins anew at its end.
    After it the server drains 1e9 / *service_ns* requests per second.
    """

    service_ns: int
    begin_ns: int
    end_ns: int

    def answer_ns(self, arrived_ns: int, free_ns: int) -> int:
        """When the request is answered that arrives at *arrived_ns*; the one before it is at *free_ns*."""
        begin_ns = max(arrived_ns, free_ns)
        if begin_ns < self.end_ns and begin_ns + self.service_ns > self.begin_ns:
            begin_ns = self.end_ns
        return begin_ns + self.service_ns


def responses_ns(intended_ns: Sequence[int] | Int64s, stall: Stall) -> Int64s:
    """
    What each user waits, exactly, whose requests arrive at *intended_ns*, sorted: from there to the answer.

    What a load generator measures on top of this is its own lag, and the way there and back.
    """
    answers: list[int] = []
    first_ns = int(intended_ns[0])
    free_ns = 0
    for instant_ns in np.asarray(intended_ns).tolist():
        free_ns = stall.answer_ns(instant_ns - first_ns, free_ns)
        answers.append(first_ns + free_ns)
    return np.array(answers, np.int64) - np.asarray(intended_ns)
