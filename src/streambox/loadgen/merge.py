"""The entries of a run, in order, out of what one worker or several have written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.share import Share

    Int64s = np.ndarray[Any, np.dtype[np.int64]]


def begun(outcomes: Outcomes, lost: Collection[Share] = ()) -> Outcomes:
    """
    The entries of requests whose turn has come, in the order of their intended instants.

    The others are left out: workers that are stopped have not all got equally far, and the
    callers of a closed loop go on each at its own pace. But of the shares of workers that were
    *lost* every request counts that was due before the last one whose turn has come: it is unsent.

    Views of *outcomes* where nothing is left out; else copies, which take 24 bytes of memory an
    entry, and the rest in the folder. Call it once nobody writes any more.
    """
    outcomes = outcomes.reached()
    count, last, in_order = 0, -1, True
    before_ns = 0
    for first, some in _parts(outcomes):
        turns = np.flatnonzero(some.dispatched_ns >= 0)
        if not len(turns):
            continue
        instants_ns = some.intended_ns[turns]
        in_order &= before_ns <= instants_ns[0] and bool((np.diff(instants_ns) >= 0).all())
        before_ns = instants_ns[-1]
        count, last = count + len(turns), first + int(turns[-1])
    if in_order and count == last + 1:
        return outcomes.first(count)
    rows = _rows(outcomes.first(last + 1), lost)
    return outcomes.gather(rows if in_order else rows[np.argsort(outcomes.intended_ns[rows], kind="stable")])


def _rows(outcomes: Outcomes, lost: Collection[Share]) -> Int64s:
    found: list[Int64s] = []
    for first, some in _parts(outcomes):
        counts = some.dispatched_ns >= 0
        for share in lost:
            counts[(share.number - first) % share.of :: share.of] = True
        found.append(np.flatnonzero(counts) + first)
    return np.concatenate(found)


def _parts(outcomes: Outcomes) -> Iterator[tuple[int, Outcomes]]:
    """With the row at which each begins."""
    row = 0
    for some in outcomes.in_parts():
        yield row, some
        row += len(some)
