"""Whether a response is the right one: its status, its request id, and the answer to that very input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from streambox.loadgen.payload import request_id
from streambox.loadgen.record import BAD_RESPONSE, OK, WRONG

if TYPE_CHECKING:
    from streambox.loadgen.payload import PayloadSet
    from streambox.loadgen.record import Recorder
    from streambox.workload.schedule import Int32s

CheckLevel = Literal["none", "id", "full"]
_TOLERANCE: Final = 1e-3
_NS_PER_MS: Final = 1_000_000
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# What the records have room for: a reply with more is none of a Batcher.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class _BatchFacts(msgspec.Struct):
    id: _Id
    size: _Count
    wait_ms: _Milliseconds
    service_ms: _Milliseconds


class _Reply(msgspec.Struct):
    request_id: str
    output: msgspec.Raw = msgspec.Raw(b"")
    batch: _BatchFacts | None = None


class _Error(msgspec.Struct):
    code: str


class _ErrorReply(msgspec.Struct):
    error: _Error


_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_row = msgspec.json.Decoder(list[float]).decode
_decode_error = msgspec.json.Decoder(_ErrorReply).decode


class Checker:
    """
    Judges responses and records what their batches did.

    ``none``: the status alone. ``id``: the request id too. ``full``: also the answer,
    within 1e-3 of the one the model gives off-line for the same input, where that is
    known. A crossed row, somebody else's answer, is ``wrong`` even when it names the
    same class.
    """

    def __init__(self, recorder: Recorder, payloads: PayloadSet, payload: Int32s, level: CheckLevel) -> None:
        self._recorder = recorder
        self._payload = payload
        self._level = level
        expected = payloads.expected if level == "full" else None
        self._expected: list[list[float]] | None = None if expected is None else expected.tolist()

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
            reply = _decode_reply(body)
            facts = reply.batch
            if facts is not None:
                self._recorder.on_batch(
                    index,
                    facts.id,
                    facts.size,
                    round(facts.wait_ms * _NS_PER_MS),
                    round(facts.service_ms * _NS_PER_MS),
                )
            if reply.request_id != request_id(index):
                return WRONG
            return OK if self._expected is None else self._compare(index, _decode_row(reply.output))
        except _UNREADABLE:
            return BAD_RESPONSE

    def _compare(self, index: int, row: list[float]) -> str:
        assert self._expected is not None  # noqa: S101 - the caller has looked
        wanted = self._expected[self._payload[index % len(self._payload)]]
        if len(row) != len(wanted):
            return WRONG
        near = all(abs(given - right) <= _TOLERANCE for given, right in zip(row, wanted, strict=True))
        same_class = row.index(max(row)) == wanted.index(max(wanted))
        return OK if near and same_class else WRONG


def _http_error(status: int, body: bytes) -> str:
    """``http_503:queue_full`` where the body tells the code, else ``http_503``."""
    try:
        return f"http_{status}:{_decode_error(body).error.code[:40]}"
    except _UNREADABLE:
        return f"http_{status}"
