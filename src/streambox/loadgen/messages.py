"""
What a run and its worker processes tell each other: a line of JSON each, over a socket pair.

Requests and their outcomes are not among it: those lie in the columns that all of them map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streambox.loadgen.payload import LaneSending
from streambox.loadgen.progress import Standing
from streambox.loadgen.run import RunOptions
from streambox.loadgen.share import Share
from streambox.workload.schedule import Lane

if TYPE_CHECKING:
    import asyncio

MOST_LINE_BYTES = 1 << 24


class Assignment(msgspec.Struct, frozen=True, tag=True):
    """
    The first message to a worker: its *share* of the run whose records lie in *folder*.

    *cargo*: what each of the *lanes* sends. *watched*: it is to tell where it stands. Headers
    with keys in them travel here, so that they are in no argument list and in no file.
    """

    folder: str
    share: Share
    options: RunOptions
    cargo: list[LaneSending]
    lanes: tuple[Lane, ...]
    duration_ns: int
    watched: bool


class Begin(msgspec.Struct, frozen=True, tag=True):
    """At this instant of the monotonic clock, which all processes of a machine share."""

    start_ns: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Once: send nothing more and collect what is in flight. Twice: end now."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Payloads are made and connections open."""


class Told(msgspec.Struct, frozen=True, tag=True):
    """Where the worker stands."""

    standing: Standing


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Its part of the run is over: all is in the columns. *failure*: why it ended early."""

    failure: str | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It cannot do it, and why. *usage*: the options are to blame."""

    message: str
    usage: bool


Order = Assignment | Begin | Stop
Report = Ready | Told | Ended | Refused

read_order = msgspec.json.Decoder(Order).decode
read_report = msgspec.json.Decoder(Report).decode
_encode = msgspec.json.Encoder().encode


def tell(writer: asyncio.StreamWriter, message: Order | Report) -> None:
    """Now, as far as the socket takes it; the rest as it drains. To one who has hung up: nothing."""
    if not writer.is_closing():
        writer.write(_encode(message) + b"\n")
