"""What happened to every request: arrays made beforehand, one entry per request, in schedule order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streambox.loadgen.columns import ColumnFolder

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    UInt8s = np.ndarray[Any, np.dtype[np.uint8]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

OK: Final = "ok"
WRONG: Final = "wrong"
TIMEOUT: Final = "timeout"
RESET: Final = "reset"
UNSENT: Final = "unsent"
INTERRUPTED: Final = "interrupted"
CONNECT_FAILED: Final = "connect_failed"
BAD_RESPONSE: Final = "bad_response"
OTHER: Final = "other"

_NONE: Final = -1
_NEVER_NS: Final = 1 << 62
_ROWS_AT_ONCE: Final = 1 << 20


class Outcomes:
    """
    One entry per offered request, in schedule order. Instants are ns from the run's start.

    ``dispatched_ns`` is when the request's turn came, ``sent_ns`` when it was written to a
    connection, ``first_byte_ns`` and ``done_ns`` when its response began and was whole: -1
    where that never was. ``kind`` indexes ``kinds``, whose first entry is ``ok``; ``lane``
    says whose request it was. ``batch_size`` is 0, ``batch_id``, ``wait_ns`` and
    ``service_ns`` are -1 where the response does not tell.

    With a *folder* the entries live in its files rather than in memory. Raises OSError
    when there is no room for them.
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

    def __init__(
        self,
        intended_ns: Int64s,
        kinds: tuple[str, ...] = (OK,),
        lane: UInt8s | None = None,
        folder: ColumnFolder | None = None,
    ) -> None:
        count = len(intended_ns)
        self.intended_ns = intended_ns
        self.lane = np.zeros(count, np.uint8) if lane is None else lane[:count]
        self.kinds = kinds
        self._folder = folder
        for name, (dtype, none) in _COLUMNS.items():
            column = (
                np.full(count, none, dtype) if folder is None else folder.create(name, count, dtype, none)
            )
            setattr(self, name, column)

    @classmethod
    def open(
        cls, folder: ColumnFolder, intended_ns: Int64s, lane: UInt8s, kinds: tuple[str, ...]
    ) -> Outcomes:
        """
        Those that an earlier run has left in *folder*. Raises OSError when they are not there.

        *intended_ns* empty: a closed loop's, which are in the folder, too.
        """
        outcomes = cls(np.empty(0, np.int64), kinds)
        columns = {name: folder.open(name, dtype) for name, (dtype, _) in _COLUMNS.items()}
        if not len(intended_ns):
            intended_ns = folder.open("intended_ns", "<i8")
            # It may have died, or met the end of the disk, while it made room for more.
            intended_ns = intended_ns[: min(map(len, columns.values()))]
            lane = np.zeros(len(intended_ns), np.uint8)
        outcomes.intended_ns, outcomes.lane = intended_ns, lane
        for name, column in columns.items():
            if len(column) < len(intended_ns):
                raise OSError(f"{name} has {len(column)} of {len(intended_ns)} entries")
            setattr(outcomes, name, column[: len(intended_ns)])
        return outcomes

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
        counts = np.bincount(self.kind, minlength=len(self.kinds))
        return {kind: int(counts[index]) for index, kind in enumerate(self.kinds) if index and counts[index]}

    def apportion_waits(self) -> None:
        """
        Replace ``wait_ns``, its batch's, by the request's own.

        A reply tells how long the oldest request of its batch waited. A request that was
        sent later than the first one of the same batch waited that much less.
        """
        found = self._first_sent()
        if found is None:
            return
        lowest, first_sent_ns = found
        self.wait_ns = self.wait_ns.copy()  # what is in the folder stays as it was told
        for part in self._parts():
            known = self._known_waits(part)
            rows = np.flatnonzero(known) + part.start
            later_ns = self.sent_ns[rows] - first_sent_ns[self.batch_id[rows] - lowest]
            self.wait_ns[rows] = np.maximum(0, self.wait_ns[rows] - later_ns)

    def _first_sent(self) -> tuple[int, Int64s] | None:
        """
        The lowest batch id, and for each id from there on when the first of its requests was sent.

        None where ids are no running numbers, as a Batcher's are: they would need too much room.
        """
        lowest, highest = _NEVER_NS, -1
        for part in self._parts():
            ids = self.batch_id[part][self._known_waits(part)]
            lowest = min(lowest, int(ids.min(initial=_NEVER_NS)))
            highest = max(highest, int(ids.max(initial=-1)))
        if highest - lowest > 4 * len(self) + _ROWS_AT_ONCE:
            return None
        first_sent_ns = np.full(max(0, highest - lowest + 1), _NEVER_NS)
        for part in self._parts():
            known = self._known_waits(part)
            np.minimum.at(first_sent_ns, self.batch_id[part][known] - lowest, self.sent_ns[part][known])
        return lowest, first_sent_ns

    def _known_waits(self, part: slice) -> Mask:
        known: Mask = (self.batch_id[part] >= 0) & (self.wait_ns[part] >= 0) & (self.sent_ns[part] >= 0)
        return known

    def _parts(self) -> Iterator[slice]:
        """All entries, so many at a time that what is made of them stays small."""
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield slice(start, start + _ROWS_AT_ONCE)

    def first(self, count: int) -> Outcomes:
        """The entries of the first *count* requests, as views."""
        return self._of(slice(count))

    def between(self, start_ns: int, end_ns: int) -> Outcomes:
        """The entries of requests intended in [start, end), as views."""
        first, last = np.searchsorted(self.intended_ns, (start_ns, end_ns))
        return self._of(slice(int(first), int(last)))

    def of_lanes(self, wanted: Mask) -> Outcomes:
        """The entries of the lanes for which *wanted*, by their number, is True; copied."""
        return self._of(wanted[self.lane])

    def _of(self, which: slice | Mask) -> Outcomes:
        part = Outcomes(np.empty(0, np.int64), self.kinds)
        for name in ("intended_ns", "lane", *_COLUMNS):
            setattr(part, name, getattr(self, name)[which])
        return part

    def grow(self, count: int) -> None:
        """
        Make room for *count* entries in all; a closed loop does not know how many will come.

        Raises OSError, and changes nothing, when there is no room for them.
        """
        fills = {"intended_ns": 0, **{name: none for name, (_, none) in _COLUMNS.items()}}
        grown = {name: self._grown(name, count, fill) for name, fill in fills.items()}
        self.lane = np.append(self.lane, np.zeros(count - len(self), np.uint8))
        for name, column in grown.items():
            setattr(self, name, column)

    def _grown(self, name: str, count: int, fill: int) -> np.ndarray[Any, np.dtype[Any]]:
        column: np.ndarray[Any, np.dtype[Any]] = getattr(self, name)
        if self._folder is not None:
            return self._folder.grow(name, column, count, fill)
        return np.append(column, np.full(count - len(column), fill, column.dtype))

    def rename(self, kind: str, new: str) -> None:
        """What ended as *kind* has ended as *new*."""
        if new not in self.kinds:
            self.kinds = tuple(new if name == kind else name for name in self.kinds)
        elif kind in self.kinds:
            self.kind[self.kind == self.kinds.index(kind)] = self.kinds.index(new)

    def trim(self) -> None:
        """Keep in memory only what is in use; the rest is in the folder's files."""
        if self._folder is not None:
            self._folder.trim()

    def to_parquet(self, path: Path) -> None:
        """One column per array; ``kind`` as its name."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = ("intended_ns", "lane", *_COLUMNS)
        kinds = pa.array(list(self.kinds))
        fields = [(name, getattr(self, name)) for name in names]
        schema = pa.schema(
            [
                (
                    name,
                    pa.dictionary(pa.int8(), pa.string()) if name == "kind" else pa.from_numpy_dtype(c.dtype),
                )
                for name, c in fields
            ]
        )
        with pq.ParquetWriter(path, schema) as writer:
            for part in self._parts():
                columns: dict[str, Any] = {name: column[part] for name, column in fields}
                columns["kind"] = pa.DictionaryArray.from_arrays(columns["kind"].astype(np.uint8), kinds)
                writer.write_table(pa.table(columns).cast(schema))


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
}


class Recorder:
    """
    Writes ``outcomes`` while the run goes on.

    A request without an end is ``unsent``, or ``timeout`` once it was sent, until its
    end is recorded. At most 255 kinds are told apart, our own always among them; the
    rest of a server's many error codes end as ``other``. ``on_kinds`` is told of new ones.
    """

    def __init__(
        self,
        intended_ns: Int64s,
        lane: UInt8s | None = None,
        folder: ColumnFolder | None = None,
    ) -> None:
        self.on_kinds: Callable[[tuple[str, ...]], None] | None = None
        self.outcomes = Outcomes(intended_ns, lane=lane, folder=folder)
        self._kinds: dict[str, int] = {OK: 0}
        self.outcomes.kind[:] = self.kind(UNSENT)
        self._timeout = self.kind(TIMEOUT)
        for kind in (WRONG, BAD_RESPONSE, RESET, INTERRUPTED, OTHER):
            self.kind(kind)
        self.added = 0
        self.sent = 0
        self.completed = 0
        self.ended = 0
        self.ok = 0
        self.errors: dict[str, int] = {}
        self.batch_rows = 0
        self.batch_replies = 0

    def kind(self, name: str) -> int:
        """The number that stands for *name* from now on."""
        number = self._kinds.get(name)
        if number is None:
            if len(self._kinds) == _MOST_KINDS:
                return self._kinds[OTHER]
            number = self._kinds[name] = len(self._kinds)
            self.outcomes.kinds = tuple(self._kinds)
            if self.on_kinds is not None:
                self.on_kinds(self.outcomes.kinds)
        return number

    def add(self, intended_ns: int) -> int:
        """
        A request that no schedule foresaw (closed loop); returns its index.

        Raises RunFailed when the disk has no room for its outcome.
        """
        index = self.added
        if index == len(self.outcomes):
            try:
                self.outcomes.grow(max(1024, 2 * index))
            except OSError as error:
                where = error.filename or "memory"
                raise RunFailed(f"{where}: no room for more outcomes: {error.strerror}") from None
            self.outcomes.kind[index:] = self.kind(UNSENT)
        self.added += 1
        self.outcomes.intended_ns[index] = intended_ns
        return index

    def on_dispatched(self, index: int, now_ns: int) -> None:
        """Its turn has come; it is written as soon as there is a connection for it."""
        self.outcomes.dispatched_ns[index] = now_ns

    def on_sent(self, index: int, now_ns: int) -> None:
        self.sent += 1
        self.outcomes.sent_ns[index] = now_ns
        self.outcomes.kind[index] = self._timeout

    def on_response(self, index: int, first_byte_ns: int, now_ns: int, status: int) -> None:
        """A whole response has come; ``on_end`` says what it was worth."""
        self.completed += 1
        outcomes = self.outcomes
        outcomes.first_byte_ns[index] = first_byte_ns
        outcomes.done_ns[index] = now_ns
        outcomes.status[index] = status

    def on_end(self, index: int, kind: str) -> None:
        self.ended += 1
        number = self.outcomes.kind[index] = self.kind(kind)
        if number == 0:
            self.ok += 1
        else:
            name = self.outcomes.kinds[number]
            self.errors[name] = self.errors.get(name, 0) + 1

    def on_batch(self, index: int, batch_id: int, size: int, wait_ns: int, service_ns: int) -> None:
        self.batch_rows += size
        self.batch_replies += 1
        outcomes = self.outcomes
        outcomes.batch_id[index] = batch_id
        outcomes.batch_size[index] = size
        outcomes.wait_ns[index] = wait_ns
        outcomes.service_ns[index] = service_ns


_MOST_KINDS: Final = 255
