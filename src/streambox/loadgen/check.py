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
    from streambox.workload.schedule import Int32s

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

    ``cheap``: a check takes no longer than putting it off.
    """

    def __init__(self, recorder: Recorder, payloads: PayloadSet, payload: Int32s, level: CheckLevel) -> None:
        self._recorder = recorder
        self._payload = payload
        self._level = level
        self.cheap = level == "none"
        self._read = READERS[payloads.api]
        full = level == "full"
        self._expected = payloads.expected.tolist() if full and payloads.expected is not None else None
        self._labels = payloads.labels.tolist() if full and payloads.labels is not None else None

    def check(self, index: int, status: int, body: bytes) -> None:
        """Record how request *index* ended. Cost: one or two small decodes."""
        if not 200 <= status < 300:
            self._recorder.on_end(index, _http_error(status, body))
        elif self._level == "none":
            self._recorder.on_end(index, OK)
        else:
            self._recorder.on_end(index, self._judge(index, body))

    def _judge(self, index: int, body: bytes) -> str:
        try:
            answer = self._read(body)
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
            if self._expected is None and self._labels is None:
                return OK
            payload = self._payload[index % len(self._payload)]
            return OK if self._is_right(payload, answer.row()) else WRONG
        except UNREADABLE:
            return BAD_RESPONSE

    def _is_right(self, payload: int, row: list[float]) -> bool:
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
