"""What makes requests leave: a schedule (open loop), or callers who wait for their answers (closed loop)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from streambox.clock import WakeUp
from streambox.loadgen.pacer import NEVER_NS, Pacer

if TYPE_CHECKING:
    import asyncio

    import numpy as np

    from streambox.loadgen.record import Recorder
    from streambox.loadgen.sender import Sender
    from streambox.loadgen.share import Share

_SENDS_AT_ONCE: Final = 64  # then responses get their turn, however late the schedule is


class SendingLoop(Protocol):
    """Makes a sender send, from an instant of the monotonic clock on, until it is over or stopped."""

    def begin(self, start_ns: int) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    @property
    def over(self) -> bool:
        """Whether nothing more will be sent that is not waiting already."""


class OpenLoop:
    """Sends the requests of a share of a schedule at their instants, whatever the server does."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sender: Sender,
        intended_ns: np.ndarray[Any, np.dtype[np.int64]],
        share: Share,
    ) -> None:
        self._sender = sender
        self._pacer = Pacer(intended_ns, share)
        self._wake_up = WakeUp(loop, self._wake)
        self._start_ns = 0

    def begin(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._sender.on_due = self._send_due
        self._sleep()

    def stop(self) -> None:
        self._pacer.stop()
        self._sender.next_due_ns = NEVER_NS
        self._wake_up.never()

    def close(self) -> None:
        self._wake_up.close()

    @property
    def over(self) -> bool:
        return self._pacer.next_ns == NEVER_NS

    def _wake(self) -> None:
        now_ns = self._send_due()
        self._sleep()
        self._sender.check_in_slack(now_ns)

    def _send_due(self) -> int:
        """What is due, up to so many; the instant at which that was done."""
        pacer, sender, start_ns = self._pacer, self._sender, self._start_ns
        now_ns = time.monotonic_ns() - start_ns
        for _ in range(_SENDS_AT_ONCE):
            if not pacer.due(now_ns):
                break
            now_ns = sender.send(pacer.take(), now_ns)
        sender.next_due_ns = pacer.next_ns
        return now_ns

    def _sleep(self) -> None:
        next_ns = self._pacer.next_ns
        if next_ns == NEVER_NS:
            self._wake_up.never()
        else:
            self._wake_up.at(self._start_ns + next_ns)


class ClosedLoop:
    """So many callers: each sends when its last answer has come, for *duration_ns*."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sender: Sender,
        recorder: Recorder,
        callers: int,
        duration_ns: int,
    ) -> None:
        self._sender = sender
        self._recorder = recorder
        self._callers = callers
        self._duration_ns = duration_ns
        self._wake_up = WakeUp(loop, self._admit)
        self._start_ns = self._end_ns = 0

    def begin(self, start_ns: int) -> None:
        self._start_ns, self._end_ns = start_ns, start_ns + self._duration_ns
        self._wake_up.at(start_ns)

    def stop(self) -> None:
        self._end_ns = 0
        self._wake_up.never()

    def close(self) -> None:
        self._wake_up.close()

    @property
    def over(self) -> bool:
        return time.monotonic_ns() >= self._end_ns

    def _admit(self) -> None:
        self._wake_up.never()
        self._sender.on_ended = self._send_next
        for _ in range(self._callers):
            self._send_next()

    def _send_next(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns < self._end_ns:
            since_ns = now_ns - self._start_ns
            self._sender.send(self._recorder.add(since_ns), since_ns)
