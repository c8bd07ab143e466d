"""What happened to every request: arrays made beforehand, one entry per request, in schedule order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.errors import RunFailed
from streambox.loadgen.kinds import (
    BAD_RESPONSE,
    CONNECT_FAILED,
    INTERRUPTED,
    OK,
    OTHER,
    OWN_KINDS,
    RESET,
    TIMEOUT,
    UNSENT,
    WRONG,
    KindTable,
)
from streambox.loadgen.share import WHOLE, Share
from streambox.loadgen.waits import apportion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streambox.loadgen.columns import ColumnFolder

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    UInt8s = np.ndarray[Any, np.dtype[np.uint8]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

__all__ = [
    "BAD_RESPONSE",
    "CONNECT_FAILED",
    "INTERRUPTED",
    "OK",
    "OTHER",
    "REASONS",
    "RESET",
    "TIMEOUT",
    "UNSENT",
    "WRONG",
    "Outcomes",
    "Recorder",
]

# Why a batch left its queue, by the code that stands for it: untold, a Batcher's reasons, any other.
REASONS: Final = ("", "batchsize", "timewindow", "deadline", "slotfree", "drain", "retry", OTHER)
_REASON_CODE: Final = {reason: code for code, reason in enumerate(REASONS)}
_OTHER_REASON: Final = REASONS.index(OTHER)

_UNSENT: Final = OWN_KINDS.index(UNSENT)
_INTERRUPTED: Final = OWN_KINDS.index(INTERRUPTED)
_NONE: Final = -1
_NEVER: Final = 1 << 62
_ROWS_AT_ONCE: Final = 65_536
_CLEARED_AT_ONCE: Final = 1024  # entries: some 30 µs, which a request that is due meanwhile is late
_GROWN_AT_ONCE: Final = 1 << 18


class Outcomes:
    """
    One entry per offered request, in schedule order. Instants are ns from the run's start.

    ``dispatched_ns`` is when the request's turn came, ``sent_ns`` when it was written to a
    connection, ``first_byte_ns`` and ``done_ns`` when its response began and was whole: -1
    where that never was. ``kind`` indexes ``kinds``, whose first entry is ``ok``; ``lane``
    says whose request it was. ``batch_size`` is 0, ``batch_id``, ``wait_ns`` and
    ``service_ns`` are -1 where the response does not tell; ``reason`` indexes ``REASONS``.

    Those of a run that goes on lie in the files of a folder: ``create`` makes them, ``open`` maps
    them, and they hold nothing until they are cleared. Else they are in memory.
    """

    # Declared for the type checker; made from _COLUMNS.
    dispatched_ns: Int64s
    sent_ns: Int64s
    first_byte_ns: Int64s
    done_ns: Int64s
    kind: np.ndarray[Any, np.dtype[np.uint8]]
    status: np.ndarray[Any, np.dtype[np.int16]]
    batch_id: Int64s
    batch_size: np.ndarray[Any, np.dtype[np.int32]]
    wait_ns: Int64s
    service_ns: Int64s
    reason: UInt8s

    def __init__(
        self, intended_ns: Int64s, kinds: tuple[str, ...] = (OK,), lane: UInt8s | None = None
    ) -> None:
        count = len(intended_ns)
        self.intended_ns = intended_ns
        # Whose the entries are in turn: a closed loop has more entries than turns, and begins with none.
        self._turns = np.zeros(1, np.uint8) if lane is None or not len(lane) else lane
        self.lane = self._lanes(count)
        self.kinds = kinds
        self._folder: ColumnFolder | None = None
        for name, (dtype, none) in _COLUMNS.items():
            setattr(self, name, np.full(count, none, dtype))

    @classmethod
    def create(cls, folder: ColumnFolder, count: int, shares: int = 1) -> None:
        """
        The files for *count* entries, and room on the disk: *folder* has their ``intended_ns``.

        Raises OSError when there is no room for them.
        """
        for name, (dtype, _) in _COLUMNS.items():
            folder.create(name, count, dtype)
        folder.create(_READY, shares, "<i8")

    @classmethod
    def open(cls, folder: ColumnFolder, lane: UInt8s | None = None) -> Outcomes:
        """Those in *folder*, whoever else writes there. Raises OSError when they are not there."""
        outcomes = cls(np.empty(0, np.int64), open_kinds(folder).names, lane)
        outcomes._folder = folder
        intended_ns = outcomes.intended_ns = folder.open("intended_ns", "<i8")
        count = len(intended_ns)
        outcomes.lane = outcomes._lanes(count)
        for name, (dtype, _) in _COLUMNS.items():
            column = folder.open(name, dtype)
            if len(column) < count:
                raise OSError(f"{name} has {len(column)} of {count} entries")
            setattr(outcomes, name, column[:count])
        return outcomes

    def clear(self, rows: slice) -> None:
        """Make these entries those of requests to which nothing has happened yet."""
        for name, (_, none) in _COLUMNS.items():
            getattr(self, name)[rows] = none
        self.kind[rows] = _UNSENT

    def reached(self) -> Outcomes:
        """
        Up to the last entry that any worker has cleared; what another had not got to there is cleared.

        Call it once nobody writes any more, whichever way that came about.
        """
        if self._folder is None:
            return self
        ready = self._folder.open(_READY, "<i8").tolist()
        shares = [Share(number, len(ready)) for number in range(len(ready))]
        ends = [share.index(rows - 1) + 1 for share, rows in zip(shares, ready, strict=True) if rows]
        reached = self.first(max(ends, default=0))
        for share, rows in zip(shares, ready, strict=True):
            reached.clear(share.rows(rows, max(rows, share.part_of(len(reached)))))
        return reached

    def __len__(self) -> int:
        return len(self.intended_ns)

    @property
    def sent(self) -> Mask:
        mask: Mask = self.sent_ns >= 0
        return mask

    @property
    def completed(self) -> Mask:
        """A whole response came, of whatever status."""
        mask: Mask = self.done_ns >= 0
        return mask

    @property
    def ok(self) -> Mask:
        mask: Mask = self.kind == 0
        return mask

    @property
    def response_ns(self) -> Int64s:
        """From the intended instant to the end of the response, of the completed ones."""
        return self.done_ns[self.completed] - self.intended_ns[self.completed]

    @property
    def lag_ns(self) -> Int64s:
        """From the intended instant to the sending, of the sent ones."""
        return self.sent_ns[self.sent] - self.intended_ns[self.sent]

    def since_sent_ns(self, instants_ns: Int64s) -> Int64s:
        """From the sending to *instants_ns*, of those that have both."""
        known = self.sent & (instants_ns >= 0)
        return instants_ns[known] - self.sent_ns[known]

    def errors(self) -> dict[str, int]:
        """How many requests ended in each kind other than ok."""
        counts = np.zeros(256, np.int64)
        for part in self._parts():
            counts += np.bincount(self.kind[part], minlength=256)
        return {kind: int(counts[index]) for index, kind in enumerate(self.kinds) if index and counts[index]}

    def apportion_waits(self) -> None:
        """Replace ``wait_ns``, its batch's, by the request's own; the folder keeps what was told."""
        apportion(self, self._folder)

    def in_parts(self) -> Iterator[Outcomes]:
        """All entries in turn, as views of so many at a time that what is made of them stays small."""
        for part in self._parts():
            yield self._of(part)

    def _parts(self) -> Iterator[slice]:
        """All entries, so many at a time that what is made of them stays small."""
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield slice(start, start + _ROWS_AT_ONCE)
            self.trim()

    def first(self, count: int) -> Outcomes:
        """The entries of the first *count* requests, as views."""
        return self._of(slice(count))

    def between(self, start_ns: int, end_ns: int) -> Outcomes:
        """The entries of requests intended in [start, end), as views."""
        first, last = np.searchsorted(self.intended_ns, (start_ns, end_ns))
        return self._of(slice(int(first), int(last)))

    def gather(self, rows: Int64s) -> Outcomes:
        """The entries *rows*, in that order; copied, in the folder where there is one."""
        taken = Outcomes(np.empty(0, np.int64), self.kinds)
        taken._folder = folder = self._folder
        for name in ("intended_ns", "lane", *_COLUMNS):
            old = getattr(self, name)
            new = np.empty(len(rows), old.dtype)
            if folder is not None:
                new = folder.create(f"gathered_{name}", len(rows), old.dtype.str)
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                new[part] = old[rows[part]]
                self.trim()
            setattr(taken, name, new)
        return taken

    def of_lanes(self, wanted: Mask) -> Outcomes:
        """The entries of the lanes for which *wanted*, by their number, is True; copied."""
        return self._of(wanted[self.lane])

    def _of(self, which: slice | Mask) -> Outcomes:
        part = Outcomes(np.empty(0, np.int64), self.kinds)
        for name in ("intended_ns", "lane", *_COLUMNS):
            setattr(part, name, getattr(self, name)[which])
        part._folder = self._folder if isinstance(which, slice) else None
        return part

    def grow(self, count: int) -> None:
        """
        Make room for *count* entries in all; a closed loop does not know how many will come.

        Raises OSError when there is none.
        """
        more = count - len(self)
        for name, (dtype, none) in _COLUMNS.items():
            old = getattr(self, name)
            if self._folder is not None:
                grown = self._folder.grow(name, old, count)
            else:
                grown = np.append(old, np.full(more, none, dtype))
            setattr(self, name, grown)
        # Last: where there is no room for one of the others there are as many entries as before.
        if self._folder is not None:
            self.intended_ns = self._folder.grow("intended_ns", self.intended_ns, count)
        else:
            self.intended_ns = np.append(self.intended_ns, np.zeros(more, np.int64))
        self.lane = self._lanes(count)

    def _lanes(self, count: int) -> UInt8s:
        """Of the first *count* entries."""
        return self._turns[:count] if count <= len(self._turns) else np.resize(self._turns, count)

    def trim(self) -> None:
        """Keep in memory only what is in use; the rest is in the folder's files."""
        if self._folder is not None:
            self._folder.trim()

    def to_parquet(self, path: Path) -> None:
        """One column per array; ``kind`` and ``reason`` as their names."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = {"kind": pa.array(list(self.kinds)), "reason": pa.array(REASONS)}
        fields = [(name, getattr(self, name)) for name in ("intended_ns", "lane", *_COLUMNS)]
        text = pa.dictionary(pa.uint8(), pa.string())
        types = [(name, text if name in names else pa.from_numpy_dtype(c.dtype)) for name, c in fields]
        schema = pa.schema(types)
        with pq.ParquetWriter(path, schema) as writer:
            for part in self._parts():
                columns: dict[str, Any] = {name: column[part] for name, column in fields}
                for name, values in names.items():
                    columns[name] = pa.DictionaryArray.from_arrays(columns[name], values)
                writer.write_table(pa.table(columns, schema=schema))


# Name: type, and the entry of a request to which it has not come (yet).
_COLUMNS: Final[dict[str, tuple[str, int]]] = {
    "dispatched_ns": ("<i8", _NONE),
    "sent_ns": ("<i8", _NONE),
    "first_byte_ns": ("<i8", _NONE),
    "done_ns": ("<i8", _NONE),
    "kind": ("u1", 0),
    "status": ("<i2", 0),
    "batch_id": ("<i8", _NONE),
    "batch_size": ("<i4", 0),
    "wait_ns": ("<i8", _NONE),
    "service_ns": ("<i8", _NONE),
    "reason": ("u1", 0),
}


_READY: Final = "ready"  # of each share the number of its entries that have been cleared


def open_kinds(folder: ColumnFolder) -> KindTable:
    """The kinds of the run whose outcomes lie in *folder*. Raises OSError."""
    return KindTable(folder.path / "kinds")


class Recorder:
    """
    Writes ``outcomes`` while the run goes on: all of them, or those of a *share*.

    With a *folder* they are the ones that ``Outcomes.create`` has made room for there, and
    other processes may write theirs beside ours. *intended_ns* empty: a closed loop's, which
    ``add`` makes.

    A request without an end is ``unsent``, or ``interrupted`` once it was sent, until its
    end is recorded. At most 255 kinds are told apart, our own always among them; the
    rest of a server's many error codes end as ``other``.

    It writes through memoryviews of the columns: that costs half of what indexing arrays does.
    """

    def __init__(
        self,
        intended_ns: Int64s,
        lane: UInt8s | None = None,
        folder: ColumnFolder | None = None,
        share: Share = WHOLE,
    ) -> None:
        self._share = share
        if folder is None:
            self._kinds = KindTable()
            self.outcomes = Outcomes(intended_ns, self._kinds.names, lane)
            self.outcomes.kind[:] = _UNSENT
            self._cleared = _NEVER
        else:
            self._kinds = open_kinds(folder)
            self.outcomes = Outcomes.open(folder, lane)
            self._ready = folder.open(_READY, "<i8")
            self._cleared = share.index(int(self._ready[share.number]))
        self._look()
        self.added = 0
        self.dispatched = 0
        self.sent = 0
        self.completed = 0
        self.ended = 0
        self.ok = 0
        self.errors: dict[str, int] = {}
        self.batch_rows = 0
        self.batch_replies = 0

    def kind(self, name: str) -> int:
        """The number that stands for *name* from now on."""
        number = self._kinds.number(name)
        if number >= len(self.outcomes.kinds):
            self.outcomes.kinds = self._kinds.names
        return number

    def add(self, intended_ns: int) -> int:
        """
        A request that no schedule foresaw (closed loop); returns its index.

        Raises RunFailed when there is no room for it.
        """
        index = self._share.index(self.added)
        if index >= len(self.outcomes):
            self._grow(index)
        self.added += 1
        self.intended_ns[index] = intended_ns
        return index

    def on_dispatched(self, index: int, now_ns: int) -> None:
        """Its turn has come; it is written as soon as there is a connection for it."""
        if index >= self._cleared:
            self._clear(index)
        self.dispatched += 1
        self.dispatched_ns[index] = now_ns

    def on_sent(self, index: int, now_ns: int) -> None:
        self.sent += 1
        self._sent_ns[index] = now_ns
        self._kind[index] = _INTERRUPTED

    def on_response(self, index: int, first_byte_ns: int, now_ns: int, status: int) -> None:
        """A whole response has come; ``on_end`` says what it was worth."""
        self.completed += 1
        self._first_byte_ns[index] = first_byte_ns
        self._done_ns[index] = now_ns
        self._status[index] = status

    def on_end(self, index: int, kind: str) -> None:
        self.ended += 1
        if kind == OK:
            self._kind[index] = 0
            self.ok += 1
            return
        number = self._kind[index] = self.kind(kind)
        name = self.outcomes.kinds[number]
        self.errors[name] = self.errors.get(name, 0) + 1

    def on_batch(
        self, index: int, batch_id: int, size: int, wait_ns: int, service_ns: int, reason: str = ""
    ) -> None:
        self.batch_rows += size
        self.batch_replies += 1
        self._batch_id[index] = batch_id
        self._batch_size[index] = size
        self._wait_ns[index] = wait_ns
        self._service_ns[index] = service_ns
        self._reason[index] = _REASON_CODE.get(reason, _OTHER_REASON)

    def withdraw(self, index: int) -> None:
        """As if its turn had not come: a caller of a closed loop who was never served asked for nothing."""
        self.dispatched -= 1
        self.dispatched_ns[index] = _NONE

    def _clear(self, index: int) -> None:
        """The next of our entries, *index* among them."""
        share, ready = self._share, int(self._ready[self._share.number])
        last = max(ready + _CLEARED_AT_ONCE, (index - share.number) // share.of + 1)
        self.outcomes.clear(share.rows(ready, last))
        self._ready[share.number] = last
        self._cleared = share.index(last)

    def _grow(self, index: int) -> None:
        size = len(self.outcomes)
        try:
            self.outcomes.grow((index // _GROWN_AT_ONCE + 1) * _GROWN_AT_ONCE)
        except OSError as error:
            raise RunFailed(f"no room for the records of further requests: {error.strerror}") from None
        if self._cleared == _NEVER:
            self.outcomes.kind[size:] = _UNSENT
        self._look()

    def _look(self) -> None:
        """At the columns as they are now."""
        outcomes = self.outcomes
        self.intended_ns = outcomes.intended_ns.data
        self.dispatched_ns = outcomes.dispatched_ns.data
        self._sent_ns = outcomes.sent_ns.data
        self._first_byte_ns = outcomes.first_byte_ns.data
        self._done_ns = outcomes.done_ns.data
        self._kind = outcomes.kind.data
        self._status = outcomes.status.data
        self._batch_id = outcomes.batch_id.data
        self._batch_size = outcomes.batch_size.data
        self._wait_ns = outcomes.wait_ns.data
        self._service_ns = outcomes.service_ns.data
        self._reason = outcomes.reason.data
