"""
Whether a recorded core, told the same again, decides the same: on the same build it does, byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streambox.batcher.streambox import StreamBoxBatcher
from streambox.simulate.record import DECISIONS, Facts, Record, decode, facts_of, whole_lines
from streambox.simulate.retold import Diverged, RecordEnds, RetoldCore, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from streambox.simulate.retold import MakeBatcher

    BatcherOf = Callable[[Facts], MakeBatcher]

_END: Final = b'["end"]\n'
_DECIDED: Final = tuple(f'["{kind}"'.encode() for kind in sorted(DECISIONS))


class Verdict(msgspec.Struct, frozen=True):
    """
    What came of holding a core against its record.

    ``same``: so many decisions are. ``whole`` is False where the record ends before its server did.
    ``difference`` names the first decision that is another one now; "" where there is none.
    """

    facts: Facts
    same: int
    whole: bool
    difference: str = ""


def verify(path: Path, batcher_of: BatcherOf = lambda _: StreamBoxBatcher) -> Verdict:
    """
    Have a new core decide again what *path* has a record of.

    In a room that what is in flight at once bounds, however long the record. *batcher_of* finds the
    class that the record names. Raises UsageError for what is no record, and OSError.
    """
    with path.open("rb") as told, path.open("rb") as recorded:
        facts = facts_of(decode(1, told.readline()))
        told.seek(0)
        check = _Check(whole_lines(recorded))
        try:
            decide_again(whole_lines(told), check.write, batcher_of)
            check.finish()
        except _Differs as difference:
            return Verdict(facts, check.same, check.whole, str(difference))
        except Diverged as difference:
            return Verdict(facts, check.same, check.whole, check.named(str(difference)))
        except RecordEnds:
            pass
        return Verdict(facts, check.same, check.whole)


def decide_again(
    lines: Iterable[bytes],
    write: Callable[[bytes], object],
    batcher_of: BatcherOf = lambda _: StreamBoxBatcher,
) -> None:
    """
    Tell a new core what *lines* say that one was told; *write* gets the whole record of that.

    Raises UsageError where *lines* are no record, and Diverged where the core asks for what they
    do not have: it has decided something else before.
    """
    told = Told(lines)
    facts = facts_of(told.take())
    core = RetoldCore(Record(write, facts), told, batcher_of(facts))
    try:
        while True:
            core.tell(told.take())
    except RecordEnds:
        return


class _Differs(BaseException):
    """The core has decided another thing than it did. As ``Diverged``, none of its own to handle."""


class _Check:
    """Holds the lines that a core writes against those *recorded*, as they come."""

    def __init__(self, recorded: Iterator[bytes]) -> None:
        self._recorded = enumerate(recorded, 1)
        self.same = 0
        self.whole = False

    def write(self, line: bytes) -> None:
        number, wanted = next(self._recorded, (0, b""))
        if not wanted:
            raise RecordEnds
        if wanted != line:
            raise _Differs(f"{self._decision(number)}recorded {_shown(wanted)}, now {_shown(line)}")
        self.same += line.startswith(_DECIDED)
        self.whole = line == _END

    def finish(self) -> None:
        """The core has been told everything: nothing that was decided may be left over."""
        for number, wanted in self._recorded:
            raise _Differs(f"{self._decision(number)}recorded {_shown(wanted)}, now nothing")

    def named(self, why: str) -> str:
        """The next recorded decision, where the core went another way before it came to it."""
        for number, wanted in self._recorded:
            if wanted.startswith(_DECIDED):
                return f"{self._decision(number)}recorded {_shown(wanted)}, now {why}"
        return f"after the last decision: {why}"

    def _decision(self, number: int) -> str:
        return f"decision {self.same + 1} (line {number}): "


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return text if len(text) <= 200 else f"{text[:200]}…"
