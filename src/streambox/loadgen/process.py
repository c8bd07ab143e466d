"""What a process that sends requests asks of its surroundings: signals, quiet, priority, open files."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Final

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PR_SET_PDEATHSIG: Final = 1
_OTHER_FILES: Final = 64  # that are open beside the connections


@contextlib.contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call *stop*, each time; afterwards they are whose they were before."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            loop.add_signal_handler(number, stop)
    except (ValueError, RuntimeError):  # not on the main thread: whoever embeds us calls stop()
        before.clear()
    try:
        yield
    finally:
        for number, whose in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, whose)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """A collection in the middle of a burst would be send lag."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def at_priority(*, realtime: bool) -> Iterator[None]:
    """
    With *realtime* this thread runs as soon as it is due, whoever else is on its core.

    Raises UsageError where it may not.
    """
    if not realtime:
        yield
        return
    if not hasattr(os, "SCHED_FIFO"):
        raise UsageError("--realtime: this system knows no real-time priority: leave it out")
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        # What we start does not inherit it.
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        raise UsageError(
            "--realtime is not permitted: run as root, or with a limit of `ulimit -r 1`"
        ) from None
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def most_sockets() -> int:
    """How many connections this process may have open, once it has raised its limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS takes less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(1, soft - _OTHER_FILES) if soft != resource.RLIM_INFINITY else 1 << 30


def die_with_parent() -> None:
    """On Linux the kernel ends us with whoever started us; elsewhere we have to notice that they hung up."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
