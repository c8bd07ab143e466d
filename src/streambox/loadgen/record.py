"""What happened to every request: preallocated arrays, one entry per request, in schedule order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
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


class Outcomes:
    """
    One entry per offered request, in schedule order. Instants are ns from the run's start.

    ``sent_ns`` and ``done_ns`` are -1 where the request was not sent, or got no whole
    response. ``kind`` indexes ``kinds``, whose first entry is ``ok``. ``batch_size`` is
    0, ``wait_ns`` and ``service_ns`` are -1 where the response does not tell.
    """

    def __init__(self, intended_ns: Int64s, kinds: tuple[str, ...] = (OK,)) -> None:
        count = len(intended_ns)
        self.intended_ns = intended_ns
        self.sent_ns: Int64s = np.full(count, _NONE, np.int64)
        self.done_ns: Int64s = np.full(count, _NONE, np.int64)
        self.kind = np.zeros(count, np.uint8)
        self.kinds = kinds
        self.status = np.zeros(count, np.int16)
        self.batch_id: Int64s = np.full(count, _NONE, np.int64)
        self.batch_size = np.zeros(count, np.int32)
        self.wait_ns: Int64s = np.full(count, _NONE, np.int64)
        self.service_ns: Int64s = np.full(count, _NONE, np.int64)

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

    def errors(self) -> dict[str, int]:
        """How many requests ended in each kind other than ok."""
        counts = np.bincount(self.kind, minlength=len(self.kinds))
        return {kind: int(counts[index]) for index, kind in enumerate(self.kinds) if index and counts[index]}

    def apportion_waits(self) -> None:
        """
        Turn each ``wait_ns`` from its batch's into the request's own.

        A reply tells how long the oldest request of its batch waited. A request that was
        sent later than the first one of the same batch waited that much less.
        """
        known = np.flatnonzero((self.batch_id >= 0) & (self.wait_ns >= 0) & self.sent)
        batches, batch = np.unique(self.batch_id[known], return_inverse=True)
        first_sent_ns = np.full(len(batches), np.iinfo(np.int64).max)
        np.minimum.at(first_sent_ns, batch, self.sent_ns[known])
        later_ns = self.sent_ns[known] - first_sent_ns[batch]
        self.wait_ns[known] = np.maximum(0, self.wait_ns[known] - later_ns)

    def first(self, count: int) -> Outcomes:
        """The entries of the first *count* requests, as views."""
        part = Outcomes(self.intended_ns[:count], self.kinds)
        for name in _COLUMNS:
            setattr(part, name, getattr(self, name)[:count])
        return part

    def grow(self, count: int) -> None:
        """Make room for *count* entries in all; a closed loop does not know how many will come."""
        for name in ("intended_ns", *_COLUMNS):
            old = getattr(self, name)
            grown = np.full(count, 0 if name in _ZERO_BASED else _NONE, old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)

    def to_parquet(self, path: Path) -> None:
        """One column per array; ``kind`` as its name."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {name: getattr(self, name) for name in ("intended_ns", *_COLUMNS)}
        columns["kind"] = pa.DictionaryArray.from_arrays(self.kind.astype(np.int32), list(self.kinds))
        pq.write_table(pa.table(columns), path)


_ZERO_BASED: Final = ("intended_ns", "kind", "status", "batch_size")
_COLUMNS: Final = (
    "sent_ns",
    "done_ns",
    "kind",
    "status",
    "batch_id",
    "batch_size",
    "wait_ns",
    "service_ns",
)


class Recorder:
    """
    Writes ``outcomes`` while the run goes on.

    A request without an end is ``unsent``, or ``timeout`` once it was sent, until its
    end is recorded. At most 255 kinds are told apart, our own always among them; the
    rest of a server's many error codes end as ``other``.
    """

    def __init__(self, intended_ns: Int64s) -> None:
        self.outcomes = Outcomes(intended_ns)
        self._kinds: dict[str, int] = {OK: 0}
        self.outcomes.kind[:] = self.kind(UNSENT)
        self._timeout = self.kind(TIMEOUT)
        for kind in (WRONG, BAD_RESPONSE, RESET, OTHER):
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
        return number

    def add(self, intended_ns: int) -> int:
        """A request that no schedule foresaw (closed loop); returns its index."""
        index = self.added
        self.added += 1
        if index == len(self.outcomes):
            self.outcomes.grow(max(1024, 2 * index))
            self.outcomes.kind[index:] = self.kind(UNSENT)
        self.outcomes.intended_ns[index] = intended_ns
        return index

    def on_sent(self, index: int, now_ns: int) -> None:
        self.sent += 1
        self.outcomes.sent_ns[index] = now_ns
        self.outcomes.kind[index] = self._timeout

    def on_response(self, index: int, now_ns: int, status: int) -> None:
        """A whole response has come; ``on_checked`` says what it was worth."""
        self.completed += 1
        self.outcomes.done_ns[index] = now_ns
        self.outcomes.status[index] = status

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
