"""How long each request itself waited, from what its batch's reply tells and when it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from streambox.loadgen.columns import ColumnFolder
    from streambox.loadgen.record import Outcomes

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

_NEVER_NS: Final = 1 << 62
_SPARE_IDS: Final = 1 << 20


def apportion(outcomes: Outcomes, folder: ColumnFolder | None = None) -> None:
    """
    Replace ``wait_ns``, its batch's, by the request's own.

    A reply tells how long the oldest request of its batch waited. A request that was
    sent later than the first one of the same batch waited that much less. What this takes
    by way of memory lies in the *folder*, if there is one.
    """
    bounds = _ids(outcomes)
    if bounds is None:
        return
    lowest, highest = bounds
    first_sent_ns = _column(folder, "first_sent_ns", highest - lowest + 1)
    for some in outcomes.in_parts():
        known = _known(some)
        ids, sent_ns = some.batch_id[known] - lowest, some.sent_ns[known]
        np.maximum.at(first_sent_ns, ids, _NEVER_NS - sent_ns)  # so that 0 stands for none yet
    own_ns = _column(folder, "own_wait_ns", len(outcomes))
    row = 0
    for some in outcomes.in_parts():
        known = _known(some)
        later_ns = some.sent_ns[known] - (_NEVER_NS - first_sent_ns[some.batch_id[known] - lowest])
        waits_ns = own_ns[row : row + len(some)]
        waits_ns[:] = some.wait_ns
        waits_ns[known] = np.maximum(0, waits_ns[known] - later_ns)
        row += len(some)
    outcomes.wait_ns = own_ns


def _ids(outcomes: Outcomes) -> tuple[int, int] | None:
    """
    The lowest and the highest batch id.

    None where no response tells, or ids are no running numbers, as a Batcher's are: they
    would need too much room.
    """
    lowest, highest = _NEVER_NS, -1
    for some in outcomes.in_parts():
        ids = some.batch_id[_known(some)]
        lowest = min(lowest, int(ids.min(initial=_NEVER_NS)))
        highest = max(highest, int(ids.max(initial=-1)))
    if highest < lowest or highest - lowest > 4 * len(outcomes) + _SPARE_IDS:
        return None
    return lowest, highest


def _known(some: Outcomes) -> Mask:
    known: Mask = (some.batch_id >= 0) & (some.wait_ns >= 0) & (some.sent_ns >= 0)
    return known


def _column(folder: ColumnFolder | None, name: str, count: int) -> Int64s:
    return np.zeros(count, np.int64) if folder is None else folder.create(name, count, "<i8")
