"""Whether a model's workers are worth asking at all. Pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streambox.batcher.request import PendingRequest

THRESHOLD: Final = 5
HOLD_NS: Final = 5_000_000_000


class BreakerState(enum.IntEnum):
    CLOSED = 0
    OPEN = 1
    PROBING = 2


class Breaker:
    """
    Closed until ``THRESHOLD`` failures in a row; then open for *hold_ns*; then one request may try.

    If that one's batch comes back, by whatever answer, the breaker closes; if it fails, the
    breaker is open for another *hold_ns*. A probe that ends without a verdict (its caller left)
    makes room for the next.
    """

    __slots__ = ("_probe", "_until_ns", "failures", "hold_ns", "opened")

    def __init__(self, hold_ns: int = HOLD_NS) -> None:
        self.hold_ns = hold_ns
        self.failures = 0  # in a row
        self.opened = 0
        self._until_ns = 0
        self._probe: PendingRequest | None = None

    def __repr__(self) -> str:
        return f"<Breaker {self.state.name}, {self.failures} failures in a row>"

    @property
    def closed(self) -> bool:
        return self.failures < THRESHOLD

    @property
    def state(self) -> BreakerState:
        if self.closed:
            return BreakerState.CLOSED
        return BreakerState.PROBING if self._has_probe() else BreakerState.OPEN

    def failed(self, now_ns: int) -> None:
        self.failures += 1
        if self.closed:
            return
        if self.failures == THRESHOLD or self._probe is not None:
            self.opened += 1
        self._until_ns = now_ns + self.hold_ns
        self._probe = None

    def succeeded(self) -> None:
        self.failures = 0
        self._probe = None

    def wait_ns(self, now_ns: int) -> int:
        """How long a request that comes now is to stay away; 0: it may come in."""
        if self.closed:
            return 0
        if self._has_probe():
            return self.hold_ns
        return max(0, self._until_ns - now_ns)

    def probe_with(self, request: PendingRequest) -> None:
        """*request* has been let in while we are not closed: all depends on it."""
        self._probe = request

    def _has_probe(self) -> bool:
        probe = self._probe
        return probe is not None and probe.counters is not None and not probe.done
