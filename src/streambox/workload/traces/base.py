"""What a trace format is: how a file of it is told from others, and what a row of it adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from streambox.units import format_duration
from streambox.workload.events import Events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from streambox.workload.traces.arrivals import Calls, Counts

    Progress = Callable[[int, int], None]
    """Told how many bytes of how many have been read; of 0 where nobody knows how many there are."""


class BadRow(Exception):
    """A row that cannot be used; says why. Whoever reads the file adds where it stands."""


class TraceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which trace, and how to read it.

    ``format`` None: the one that its first lines look like. ``failures``: what becomes of
    requests that the trace says failed. ``unit_ns``: what a count covers, where the format leaves
    that open. ``from_ns`` and ``to_ns`` cut a part out, counted from the trace's start, and each
    request is kept with probability ``thin``.
    """

    path: str
    format: str | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"
    failures: Literal["keep", "drop"] = "keep"
    unit_ns: int | None = None
    from_ns: int = 0
    to_ns: int | None = None
    thin: float = 1.0


class Trace(msgspec.Struct, frozen=True):
    """
    What a file held.

    ``unit_ns``: the file has counts per unit of so long, within which the arrivals were drawn;
    None: it has an instant for each. ``rows`` are those read, blank lines and a header left out,
    ``skipped`` those of them that could not be used, ``reasons`` why the first few could not.
    """

    events: Events
    format: str
    sha256: str
    rows: int
    skipped: int
    reasons: tuple[str, ...]
    unit_ns: int | None
    notes: tuple[str, ...]


class TraceFormat:
    """
    Reads a file of one format, a row at a time.

    ``arrivals`` takes what the rows say. ``head``: the first few lines that are not blank, as
    bytes without their line ends, the header among them; it is for whoever has to look before
    the first row. ``takes`` names the options that not every format has a use for. Where a
    format ``names_lanes`` its functions are called MODEL/TENANT, after whom they are for; where it
    ``has_durations``, a file beside it tells how long its functions ran, see ``read_durations``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    takes: ClassVar[frozenset[str]] = frozenset()
    names_lanes: ClassVar[bool] = False
    has_durations: ClassVar[bool] = False

    has_header: bool = False
    arrivals: Calls | Counts

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        """Raises BadRow where *head* cannot be of this format."""
        raise NotImplementedError

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        raise NotImplementedError

    def row(self, line: bytes) -> None:
        """Adds what *line*, not blank, says. Raises BadRow, and then it has added nothing."""
        raise NotImplementedError

    def moment(self, ns: int) -> str:
        """An instant of the trace's own time, as the trace would write it."""
        return format_duration(ns)

    def notes(self) -> list[str]:
        """What a reader of the trace should know of it, once all rows are read."""
        return []
