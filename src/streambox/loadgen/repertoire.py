"""All that a run may send: the requests of every lane, one list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.loadgen.payload import PayloadSet
    from streambox.workload.schedule import Schedule

_ID: Final = b"%010d"


class Repertoire:
    """
    The payload sets of a schedule's lanes, one behind the other, so that a request is one index away.

    ``sets[k]`` belongs to lane k. ``slots[i % turns]`` says which of all payloads request i
    carries: a closed loop, whose requests outnumber its schedule, goes round.
    """

    __slots__ = ("_pieces", "sets", "slots", "turns")

    def __init__(self, schedule: Schedule, sets: Sequence[PayloadSet]) -> None:
        self.sets = tuple(sets)
        offsets = np.cumsum([0, *map(len, sets)]).astype(np.int32)
        slots = schedule.payload if len(sets) == 1 else schedule.payload + offsets[schedule.lane]
        # An entry of a memoryview costs half of one of the array.
        self.slots = np.ascontiguousarray(slots, np.int32).data
        self.turns = len(slots)
        self._pieces = [pieces for each in sets for pieces in each.pieces]

    def request(self, index: int) -> bytes:
        """The whole HTTP request number *index*. Cost: one join."""
        return (_ID % index).join(self._pieces[self.slots[index % self.turns]])
