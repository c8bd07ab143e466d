"""
The worker process: loads one model, then answers batches until the front hangs up.

Run as ``python -m streambox.executor.worker --fd N``, N being its end of a socket pair. The front's
death, too, is a hang-up, and is noticed even in the middle of a long computation.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from streambox.executor import wire
from streambox.executor.base import BatchErrorKind, LoadFailed
from streambox.executor.model import Finite, Model, ModelFailed, RowsFailed, Tile, one_line, with_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from streambox.executor.options import WorkerOptions

    Array = np.ndarray[Any, np.dtype[Any]]

_EXIT_GRACE_S = 1.0  # for a user's own clean-up, once the front has gone
_SHOWN_ERRORS = 100
_PR_SET_PDEATHSIG = 1


def load_model(options: WorkerOptions) -> Model:
    """Import the runtime (only the one needed: memory, start-up time) and load. Raises LoadFailed."""
    model: Model
    if options.runtime == "python":
        from streambox.executor.python import PythonModel

        model = PythonModel(options)
    else:
        from streambox.executor.onnx import OnnxModel

        model = OnnxModel(options)
    if options.preprocess == "tile":
        model = Tile(model)
    return Finite(model) if options.finite_outputs else model


class Server:
    """Answers one front's frames, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = wire.FrameReader(sock)
        self._model: Model | None = None
        self._shown: set[object] = set()

    def serve(self) -> None:
        """Returns when the front has hung up, after a load that failed, or after a bad answer."""
        while self._answer_next():
            pass

    def _answer_next(self) -> bool:
        # The frame is local to this call: by the next one its memory may be used again.
        frame = self._next()
        if frame is None:
            return False
        message, tensors = frame
        if isinstance(message, wire.Execute) and self._model is not None:
            return self._execute(self._model, message.batch_id, tensors)
        if isinstance(message, wire.Load) and self._model is None:
            return self._load(message.options)
        raise wire.WireError(f"unexpected {type(message).__name__}")

    def _next(self) -> wire.Frame | None:
        while (frame := self._reader.take()) is None:
            if not self._reader.fill():
                return None
        return frame

    def _load(self, options: WorkerOptions) -> bool:
        try:
            self._model = load_model(options)
        except LoadFailed as refusal:
            self._send(wire.LoadRefused(one_line(refusal)))
            return False
        except Exception as error:  # noqa: BLE001 - whatever a model's code raises is its reason
            with contextlib.suppress(OSError):
                traceback.print_exc()
            self._send(wire.LoadRefused(with_type(error)))
            return False
        self._send(wire.Loaded(self._model.spec))
        return True

    def _execute(self, model: Model, batch_id: int, tensors: dict[str, Array]) -> bool:
        """False: who answers like that is to end, before it begins anything else."""
        begun_ns = time.monotonic_ns()
        try:
            outputs = model.run(tensors)
        except RowsFailed as refusal:
            self._send(wire.RowsRefused(batch_id, refusal.messages))
        except ModelFailed as failure:
            self._send(wire.Failed(batch_id, failure.kind, failure.message, failure.retryable))
            return failure.kind is not BatchErrorKind.BAD_OUTPUT
        except Exception as error:  # noqa: BLE001 - any of a model's errors fails its batch, not the worker
            self._show(error)
            self._send(wire.Failed(batch_id, BatchErrorKind.MODEL, with_type(error), retryable=True))
        else:
            service_ns = time.monotonic_ns() - begun_ns
            self._send(wire.Result(batch_id, service_ns, wire.layouts(outputs)), outputs.values())
        return True

    def _show(self, error: Exception) -> None:
        """A trace per place in the code, for the model's author: once, not once per bad request."""
        innermost = traceback.extract_tb(error.__traceback__)[-1]
        place = (type(error), innermost.filename, innermost.lineno)
        if place not in self._shown and len(self._shown) < _SHOWN_ERRORS:
            self._shown.add(place)
            with contextlib.suppress(OSError):  # nobody reads the log any more, or its disk is full
                traceback.print_exception(error)

    def _send(self, message: wire.Message, arrays: Iterable[Array] = ()) -> None:
        pieces = wire.encode(message, arrays)
        while pieces:
            pieces = wire.send(self._sock, pieces)


def _end_with_front(sock: socket.socket) -> None:
    """
    Wait for the front to hang up; then end, with every process that the model has started.

    ``poll`` without events reports hang-up alone. An idle worker notices by itself and gets the
    grace to end in order; a computing one has no other way to learn of it.
    """
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    poll.poll()
    time.sleep(_EXIT_GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _die_with_front() -> None:
    """On Linux the kernel also ends us with the front: even code that never lets a thread run."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(arguments: list[str]) -> None:
    if len(arguments) != 2 or arguments[0] != "--fd":
        sys.exit("usage: python -m streambox.executor.worker --fd N (started by streambox, not by hand)")
    # The front decides when a worker ends. A service's stop signal reaches every process of the
    # service, and batches in flight must outlive it. Functions, unlike SIG_IGN, are not inherited
    # by what the model starts.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    sock = socket.socket(fileno=int(arguments[1]))
    sock.setblocking(True)
    _die_with_front()
    threading.Thread(target=_end_with_front, args=(sock,), name="front-watch", daemon=True).start()
    try:
        Server(sock).serve()
    except (wire.WireError, ConnectionError) as error:
        sys.exit(f"streambox worker: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
