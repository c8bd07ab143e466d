"""One worker process, seen from the front: start it, talk to it, see it end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

from streambox.executor import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

_FRONT_STDERR = 2
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Channel:
    """
    A worker's socket on the event loop: frames out without blocking, frames in by callback.

    ``on_frame(frame)`` for each frame, in order; ``on_fault(reason)`` once, at the end of the
    stream (no reason) or at what is not a frame, after which nothing more is read or sent.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_frame: Callable[[wire.Frame], None],
        on_fault: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._reader = wire.FrameReader(sock)
        self._on_frame = on_frame
        self._on_fault = on_fault
        self._unsent: deque[Buffer] = deque()
        self._faulty = False
        self.closed = False
        loop.add_reader(sock.fileno(), self.receive)

    def send(self, pieces: Sequence[Buffer]) -> None:
        """Now, as far as the socket takes it; the rest (referred to, not copied) as it drains."""
        if self.closed or self._faulty:
            return
        if not self._unsent:
            pieces = self._try_send(pieces)
            if not pieces:
                return
            self._loop.add_writer(self._sock.fileno(), self._send_rest)
        self._unsent.extend(pieces)

    def receive(self) -> bool:
        """One receive; hands over the frames it completes. False when there was nothing to receive."""
        if self.closed or self._faulty:
            return False
        try:
            alive = self._reader.fill()
            while alive and (frame := self._reader.take()) is not None:
                self._on_frame(frame)
                del frame  # its memory may serve for the next
        except BlockingIOError:
            return False
        except OSError:  # as a rule: it ended with frames of ours unread
            alive = False
        except (MemoryError, wire.WireError) as error:
            self._fault(str(error) or "frame too large for our memory")
            return False
        if not alive:
            self._fault("")
        return alive

    def close(self) -> None:
        if not self.closed:
            self._stop()
            self.closed = True
            self._sock.close()

    def _try_send(self, pieces: Sequence[Buffer]) -> Sequence[Buffer]:
        try:
            return wire.send(self._sock, pieces)
        except BlockingIOError:
            return pieces
        except OSError:
            return ()  # it has hung up, which the reading side reports, in its place after the last answer

    def _send_rest(self) -> None:
        rest = self._try_send(list(self._unsent))
        self._unsent = deque(rest)
        if not rest:
            self._loop.remove_writer(self._sock.fileno())

    def _stop(self) -> None:
        if self.closed:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._unsent.clear()

    def _fault(self, reason: str) -> None:
        self._faulty = True
        self._stop()
        self._on_fault(reason)


class WorkerProcess:
    """
    A child process running ``streambox.executor.worker`` and the channel to it.

    ``on_frame(frame)`` while it lives; ``on_exit()`` once, when it has ended and everything it had
    sent has been handed over. A worker that hangs up or sends garbage is killed, which leads there.
    Its own session keeps a terminal's Ctrl-C from it; its process group is what gets killed, so
    that nothing a model has started outlives it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        threads: int,
        on_frame: Callable[[wire.Frame], None],
        on_exit: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._threads = threads
        self._on_frame = on_frame
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._pidfd: int | None = None
        self.exited = loop.create_future()
        self.fault = ""
        self.garbled = False  # it has sent what is not an answer

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Raises OSError when no process can be had."""
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", "streambox.executor.worker", "--fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=_FRONT_STDERR,
                env={**dict.fromkeys(_THREAD_VARIABLES, str(self._threads)), **os.environ},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._watch_exit(self._process)
        # A worker that hangs up is ending or is no use: killed, and without a reason of ours, so that
        # how it ended tells.
        self._channel = Channel(self._loop, ours, self._on_frame, self._hung_up)

    def send(self, pieces: Sequence[Buffer]) -> None:
        if self._channel is not None:
            self._channel.send(pieces)

    def kill(self, reason: str) -> None:
        """Idempotent; ``on_exit`` follows."""
        self.fault = self.fault or reason
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """Hang up, give it *grace_s* to end by itself, then kill. Returns when it has ended."""
        if self._process is None:
            return
        if self._channel is not None:
            self._channel.close()
        await asyncio.wait([self.exited], timeout=grace_s)
        self.kill("stopped")
        await asyncio.shield(self.exited)

    def describe_exit(self) -> str:
        """How it ended, as ``killed by SIGKILL`` or ``exit code 1``; our own reason for killing it first."""
        code = self._process.returncode if self._process else None
        if self.fault:
            return self.fault
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def _hung_up(self, fault: str) -> None:
        self.garbled = bool(fault)
        self.kill(fault)

    def _watch_exit(self, process: subprocess.Popen[bytes]) -> None:
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except (AttributeError, OSError):  # not Linux, or an old kernel
            threading.Thread(target=self._wait_in_thread, args=(process,), daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._ended)

    def _wait_in_thread(self, process: subprocess.Popen[bytes]) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13
            process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        assert self._process is not None  # noqa: S101 - it has just ended
        # Not reaped yet, so the group's number is still its own: end what the model left behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._channel is not None:
            while self._channel.receive():
                pass  # answers it sent before it ended
            self._channel.close()
        if not self.exited.done():
            self.exited.set_result(None)
            self._on_exit()
