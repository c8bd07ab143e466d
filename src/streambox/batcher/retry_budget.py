"""How many requests may run again for no fault of their own. Pure."""

from __future__ import annotations

from typing import Final

RESERVE: Final = 100
_PER_RETRY: Final = 10  # accepted requests that pay for one retried


class RetryBudget:
    """
    One request in ten, and ``RESERVE`` to begin with: a token bucket filled by traffic, not by time.

    So retries add at most a tenth to the load, however long the trouble lasts; what a good time
    has saved up pays for ``RESERVE`` of them at once, and no more.
    """

    __slots__ = ("_seen", "_tenths", "denied", "spent")

    def __init__(self) -> None:
        self._tenths = RESERVE * _PER_RETRY
        self._seen = 0
        self.spent = 0
        self.denied = 0

    def __repr__(self) -> str:
        return f"<RetryBudget {self._tenths // _PER_RETRY} left, {self.spent} spent>"

    def spend(self, requests: int, accepted: int) -> bool:
        """Pay for *requests* retries, *accepted* having come so far; False: there is not enough for all."""
        self._tenths = min(RESERVE * _PER_RETRY, self._tenths + accepted - self._seen)
        self._seen = accepted
        if requests * _PER_RETRY > self._tenths:
            self.denied += requests
            return False
        self._tenths -= requests * _PER_RETRY
        self.spent += requests
        return True
