"""
A worker process of the Load Generator: sends its share of a run, and writes what comes of it into
the columns that all workers of the run map.

Run as ``python -m streambox.loadgen.worker --fd N``, N being its end of a socket pair. It ends with
whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from streambox.errors import StreamBoxError, UsageError
from streambox.loadgen.live import SilentView
from streambox.loadgen.messages import (
    MOST_LINE_BYTES,
    Assignment,
    Begin,
    Ended,
    Ready,
    Refused,
    Told,
    read_order,
    tell,
)
from streambox.loadgen.payload import payloads_of
from streambox.loadgen.process import die_with_parent
from streambox.loadgen.run import Run
from streambox.loadgen.spool import Spool

if TYPE_CHECKING:
    from streambox.loadgen.progress import Standing


class Worker:
    """Does what it is told over *reader*, and tells over *writer* what has become of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._start_ns: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> None:
        assignment = read_order(await self._reader.readline())
        assert isinstance(assignment, Assignment), "told to begin before what to do"  # noqa: S101
        try:
            run = self._prepared(assignment)
            obeying = asyncio.ensure_future(self._obey(run))
            await run.replay()
        except StreamBoxError as error:
            tell(self._writer, Refused(str(error), isinstance(error, UsageError)))
        except Exception as error:  # noqa: BLE001 - whatever it is, a line of it reaches the user, and no trace
            tell(self._writer, Refused(f"the load generator failed: {error!r}", usage=False))
        else:
            obeying.cancel()
            tell(self._writer, Ended(run.failure))

    def _prepared(self, assignment: Assignment) -> Run:
        options = assignment.options
        spool = Spool.open(Path(assignment.folder), assignment.lanes, assignment.duration_ns)
        return Run(
            spool.schedule,
            payloads_of(assignment.cargo, options.target, options.tls_context()),
            options,
            SilentView(),
            spool.recorder(assignment.share),
            share=assignment.share,
            ready=self._ready,
            report=self._report if assignment.watched else None,
            signals=False,
        )

    async def _ready(self) -> int:
        tell(self._writer, Ready())
        return await self._start_ns

    def _report(self, standing: Standing) -> None:
        tell(self._writer, Told(standing))

    async def _obey(self, run: Run) -> None:
        while line := await self._reader.readline():
            order = read_order(line)
            if isinstance(order, Begin):
                self._start_ns.set_result(order.start_ns)
            else:
                run.stop()
        os._exit(1)  # nobody is there any more who could make something of what we do


async def _serve(sock: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=sock, limit=MOST_LINE_BYTES)
    await Worker(reader, writer)()
    writer.close()
    with contextlib.suppress(ConnectionError):  # who started us has gone
        await writer.wait_closed()


def main(arguments: list[str]) -> None:
    if len(arguments) != 2 or arguments[0] != "--fd":
        sys.exit("usage: python -m streambox.loadgen.worker --fd N (started by streambox, not by hand)")
    # Whoever started us decides when we stop: a share that stops by itself would falsify the run.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    sock = socket.socket(fileno=int(arguments[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sock))


if __name__ == "__main__":
    main(sys.argv[1:])
