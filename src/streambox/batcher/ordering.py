"""
Answers in the order in which the requests were accepted (``preserve_ordering``). Pure.

Slots overtake one another, parts of a failed batch run again, some requests fail at once: so they
end in another order than they came. A ``Line`` holds back what its callers are told. It does
not hold back the ends themselves: those are counted when they happen.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import structlog

from streambox.batcher.request import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.batcher.request import PendingRequest

log = structlog.get_logger(__name__)


class Line:
    """
    One model's accepted requests, in order, until their callers have been told.

    Nobody is held back for longer than those before it may take: until the last of their deadlines.
    A caller who has gone leaves the line.

    Cost: O(1) per request.
    """

    __slots__ = ("_calling", "_on_done")

    def __init__(self) -> None:
        self._on_done: OrderedDict[PendingRequest, Callable[[Any], None]] = OrderedDict()
        self._calling = False

    def __len__(self) -> int:
        return len(self._on_done)

    def __contains__(self, request: PendingRequest) -> bool:
        return request in self._on_done

    def enter(self, request: PendingRequest) -> None:
        """*request*, accepted just now, is told of its end when all before it have been."""
        self._on_done[request] = request.on_done
        request.on_done = self._ended

    def leave(self, request: PendingRequest) -> None:
        """The caller of *request* has gone, or it was not accepted after all. Idempotent."""
        on_done = self._on_done.pop(request, None)
        if on_done is not None:
            request.on_done = on_done
            self._call()

    def _ended(self, _: PendingRequest) -> None:
        self._call()

    def _call(self) -> None:
        """
        Tell everyone whose turn has come.

        Who is told may submit the next request at once, and that may end at once: it is for the loop
        here, so that nothing recurses.
        """
        if self._calling:
            return
        self._calling = True
        while self._on_done and (first := next(iter(self._on_done))).done:
            on_done = self._on_done.pop(first)
            if first.state is CANCELLED:
                continue
            try:
                on_done(first)
            except Exception:  # its caller's fault must not keep those behind it from their answers
                log.exception("on_done raised", model=first.model, request_id=first.request_id)
        self._calling = False
