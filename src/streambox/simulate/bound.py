"""The most that any policy could have answered in time, found by trying everything. For small cases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST_REQUESTS: Final = 12


def most_in_time(
    arrived_ns: Sequence[int],
    deadlines_ns: Sequence[int],
    service_ns: Callable[[int], float],
    max_batch_size: int,
) -> int:
    """
    How many of these requests, of one row each, one slot can answer by their deadlines, all known beforehand.

    Exact: every composition of every batch, in every order. ``free[answered]`` is the earliest instant
    at which the slot is free again after having answered just that set, each in time; a later one is
    never better, nor is a batch begun later than its last member's arrival and the slot allow, nor one
    with a member that will be late. *service_ns* is not to decrease with the size of a batch.

    Cost: 3^n steps, so at most ``MOST_REQUESTS`` requests. Raises ValueError for more.
    """
    count = len(arrived_ns)
    if count > MOST_REQUESTS:
        raise ValueError(f"{count} requests are too many to try everything: at most {MOST_REQUESTS}")
    every = (1 << count) - 1
    members = [[index for index in range(count) if batch >> index & 1] for batch in range(every + 1)]
    ready = [max((arrived_ns[index] for index in batch), default=0) for batch in members]
    due = [min((deadlines_ns[index] for index in batch), default=0) for batch in members]
    takes = [service_ns(size) for size in range(min(count, max_batch_size) + 1)]
    free = [math.inf] * (every + 1)
    free[0] = -math.inf
    for answered in range(every + 1):  # a set comes after all of its subsets
        if free[answered] == math.inf:
            continue
        for batch in _subsets(every ^ answered):
            if len(members[batch]) >= len(takes):
                continue
            ends = max(free[answered], ready[batch]) + takes[len(members[batch])]
            if ends <= due[batch]:
                free[answered | batch] = min(free[answered | batch], ends)
    return max(len(members[answered]) for answered in range(every + 1) if free[answered] < math.inf)


def _subsets(of: int) -> Iterator[int]:
    """Every subset of the set of bits *of* but the empty one."""
    subset = of
    while subset:
        yield subset
        subset = (subset - 1) & of
