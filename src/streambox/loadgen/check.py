"""Whether a response is the right one: its status, its request id, and the answer to that very input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streambox.loadgen.answers import UNREADABLE
from streambox.loadgen.payload import request_id
from streambox.loadgen.record import BAD_RESPONSE, OK, WRONG

if TYPE_CHECKING:
    from streambox.loadgen.answer_key import AnswerKey
    from streambox.loadgen.record import Recorder
    from streambox.loadgen.repertoire import Repertoire

CheckLevel = Literal["none", "id", "full"]
_NS_PER_MS: Final = 1_000_000


class _Error(msgspec.Struct):
    code: str


class _ErrorReply(msgspec.Struct):
    error: _Error


_decode_error = msgspec.json.Decoder(_ErrorReply).decode


class Checker:
    """
    Judges responses and records what their batches did.

    ``none``: the status alone. ``id``: the request id too. ``full``: also the answer, held
    against the right one to that very input, where that is known. A crossed row, somebody
    else's answer, is ``wrong`` even when it names the same class.

    ``cheap``: a check takes no longer than putting it off.
    """

    def __init__(self, recorder: Recorder, repertoire: Repertoire, level: CheckLevel) -> None:
        self._recorder = recorder
        self._unread = self.cheap = level == "none"
        self._full = level == "full"
        self._slots, self._turns = repertoire.slots, repertoire.turns
        # An entry per payload, and where its lane's begin: one index away, whatever the lane.
        self._keys: list[tuple[AnswerKey, int]] = []
        for payloads in repertoire.sets:
            self._keys += [(payloads.key, len(self._keys))] * len(payloads)

    def check(self, index: int, status: int, body: bytes) -> None:
        """Record how request *index* ended. Cost: one or two small decodes."""
        if not 200 <= status < 300:
            self._recorder.on_end(index, _http_error(status, body))
        elif self._unread:
            self._recorder.on_end(index, OK)
        else:
            self._recorder.on_end(index, self._judge(index, body))

    def _judge(self, index: int, body: bytes) -> str:
        slot = self._slots[index % self._turns]
        key, first = self._keys[slot]
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
                    facts.reason,
                )
            if answer.request_id != request_id(index) and answer.request_id is not None:
                return WRONG
            if not self._full or not key.knows:
                return OK
            return OK if key.is_right(slot - first, answer) else WRONG
        except UNREADABLE:
            return BAD_RESPONSE


def _http_error(status: int, body: bytes) -> str:
    """``http_503:queue_full`` where the body tells the code, else ``http_503``."""
    try:
        return f"http_{status}:{_decode_error(body).error.code[:40]}"
    except UNREADABLE:
        return f"http_{status}"
