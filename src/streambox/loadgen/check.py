"""Whether a response is the right one: its status, its request id, and the answer to that very input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streambox.loadgen.answers import READERS, UNREADABLE
from streambox.loadgen.payload import request_id
from streambox.loadgen.record import BAD_RESPONSE, OK, WRONG

if TYPE_CHECKING:
    from streambox.loadgen.payload import PayloadSet
    from streambox.loadgen.record import Recorder
    from streambox.loadgen.repertoire import Repertoire

CheckLevel = Literal["none", "id", "full"]
_TOLERANCE: Final = 1e-3
_NS_PER_MS: Final = 1_000_000


class _Error(msgspec.Struct):
    code: str


class _ErrorReply(msgspec.Struct):
    error: _Error


_decode_error = msgspec.json.Decoder(_ErrorReply).decode


class Checker:
    """
    Judges responses and records what their batches did.

    ``none``: the status alone. ``id``: the request id too. ``full``: also the answer,
    within 1e-3 of the one the model gives off-line for the same input, where that is
    known. A crossed row, somebody else's answer, is ``wrong`` even when it names the
    same class.
    """

    def __init__(self, recorder: Recorder, repertoire: Repertoire, level: CheckLevel) -> None:
        self._recorder = recorder
        self._level = level
        self._slots, self._turns = repertoire.slots, repertoire.turns
        # An entry per payload: what an answer is held against is one index away, whatever its lane.
        self._keys: list[_AnswerKey] = []
        for payloads in repertoire.sets:
            key = _AnswerKey(payloads, len(self._keys), full=level == "full")
            self._keys += [key] * len(payloads)

    def check(self, index: int, status: int, body: bytes) -> None:
        """Record how request *index* ended. Cost: one or two small decodes."""
        if not 200 <= status < 300:
            self._recorder.on_end(index, _http_error(status, body))
        elif self._level == "none":
            self._recorder.on_end(index, OK)
        else:
            self._recorder.on_end(index, self._judge(index, body))

    def _judge(self, index: int, body: bytes) -> str:
        slot = self._slots[index % self._turns]
        key = self._keys[slot]
        try:
            answer = key.read(body)
            facts = answer.batch
            if facts is not None:
                self._recorder.on_batch(
                    index,
                    facts.id,
                    facts.size,
                    round(facts.wait_ms * _NS_PER_MS),
                    round(facts.service_ms * _NS_PER_MS),
                )
            if answer.request_id != request_id(index):
                return WRONG
            return OK if not key.knows or key.is_right(slot, answer.row()) else WRONG
        except UNREADABLE:
            return BAD_RESPONSE


class _AnswerKey:
    """How to read the answers of one lane, and the right ones; its payloads begin at slot *first*."""

    __slots__ = ("_expected", "_first", "_labels", "knows", "read")

    def __init__(self, payloads: PayloadSet, first: int, *, full: bool) -> None:
        self.read = READERS[payloads.api]
        self._first = first
        self._expected = payloads.expected.tolist() if full and payloads.expected is not None else None
        self._labels = payloads.labels.tolist() if full and payloads.labels is not None else None
        self.knows = self._expected is not None or self._labels is not None

    def is_right(self, slot: int, row: list[float]) -> bool:
        """Whether *row* answers the payload in *slot*; only where the key ``knows``."""
        payload = slot - self._first
        if self._labels is not None and not 0 <= self._labels[payload] == _class_of(row):
            return False
        if self._expected is None:
            return True
        wanted = self._expected[payload]
        if len(row) != len(wanted) or _class_of(row) != _class_of(wanted):
            return False
        return all(abs(given - right) <= _TOLERANCE for given, right in zip(row, wanted, strict=True))


def _class_of(row: list[float]) -> int:
    return row.index(max(row))


def _http_error(status: int, body: bytes) -> str:
    """``http_503:queue_full`` where the body tells the code, else ``http_503``."""
    try:
        return f"http_{status}:{_decode_error(body).error.code[:40]}"
    except UNREADABLE:
        return f"http_{status}"
