"""A trace file from its first line to events."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.errors import UsageError
from streambox.workload.arrivals import MOST_REQUESTS
from streambox.workload.traces.arrivals import Calls, Counts
from streambox.workload.traces.base import BadRow, Trace
from streambox.workload.traces.file import TraceFile
from streambox.workload.traces.numbers import date_time
from streambox.workload.traces.registry import find_format
from streambox.workload.traces.rows import about, numbered, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streambox.workload.traces.base import Progress, TraceFormat, TraceOptions
    from streambox.workload.traces.rows import Lines, Rows

_HEAD_LINES: Final = 100
_FIRST_DATE_NS: Final = 10**18  # September 2001: what is beyond it, in a trace, was counted from 1970 on


def read_trace(
    options: TraceOptions, random: np.random.Generator | None = None, progress: Progress | None = None
) -> Trace:
    """
    What a trace file holds, read in one pass.

    Args:
        random: Draws the arrivals of formats that have counts, and thins; None: always the same.
        progress: Called now and then.

    Raises UsageError, with file, line and reason, for a file that is missing, no text, or of
    no format that is known; for a row that is malformed, unless these are skipped; for more
    requests than can be replayed, before they are drawn; and where no request is left.

    Cost: 1 to 3 µs per row, and 12 bytes per request that has an instant of its own, four times
    that while they are put in order.
    """
    _check(options)
    random = random or np.random.default_rng(0)
    with TraceFile(options.path) as file:
        lines = numbered(file)
        head = list(islice(lines, _HEAD_LINES))
        with about(file):
            trace_format = _format([line for _, line in head], options, random)
        rest = chain(head[int(trace_format.has_header) :], lines)
        rows = _read_rows(file, rest, trace_format, options, progress)
        with about(file):
            return _trace(file, trace_format, rows)


def _check(options: TraceOptions) -> None:
    if options.unit_ns is not None and options.unit_ns < 1:
        raise UsageError("a time unit of no time holds nothing: give one such as 1m")
    if options.to_ns is not None and options.to_ns <= options.from_ns:
        raise UsageError("--to is not after --from: nothing is between them")
    if not 0 < options.thin <= 1:
        raise UsageError(f"thin is {options.thin:g}: give the share to keep, above 0 and up to 1")


def _format(head: list[bytes], options: TraceOptions, random: np.random.Generator) -> TraceFormat:
    """The format that the file is of, ready to read rows. Raises UsageError."""
    if not head:
        raise UsageError("is empty: expected a trace")
    kind = find_format(head, options.format)
    if options.unit_ns is not None and "unit_ns" not in kind.takes:
        raise UsageError(f"--unit is of no use: a file of the format {kind.name} says itself what it counts")
    if options.failures == "drop" and "failures" not in kind.takes:
        raise UsageError(f"no failure can be dropped: the format {kind.name} tells of none")
    try:
        return kind(head, options, random)
    except BadRow as bad:
        raise UsageError(f"is not of the format {kind.name}: {bad}") from None


def _read_rows(
    file: TraceFile, lines: Lines, trace_format: TraceFormat, options: TraceOptions, progress: Progress | None
) -> Rows:
    def pause(line: int) -> None:
        _settle(file, trace_format, line)
        if progress is not None:
            progress(file.read_bytes, file.size_bytes)

    rows = read_rows(file, lines, trace_format.row, options.on_bad_row, pause)
    _settle(file, trace_format, file.line)
    return rows


def _settle(file: TraceFile, trace_format: TraceFormat, line: int) -> None:
    trace_format.arrivals.settle()
    if trace_format.arrivals.total > MOST_REQUESTS:
        raise UsageError(
            f"{file.path}:{line}: more than {MOST_REQUESTS:.0e} requests up to here: read a part of the "
            "trace, by --from and --to, or thin it out, by --thin"
        )


def _trace(file: TraceFile, trace_format: TraceFormat, rows: Rows) -> Trace:
    arrivals = trace_format.arrivals
    if not arrivals.total:
        if not rows.read:
            raise UsageError("has a header, and no row below it")
        first = f"; the first row skipped, {rows.reasons[0]}" if rows.reasons else ""
        raise UsageError(f"none of its {rows.read} rows holds a request{first}")
    events = arrivals.events()
    return Trace(
        events=events,
        format=trace_format.name,
        sha256=file.sha256(),
        rows=rows.read,
        skipped=rows.skipped,
        reasons=rows.reasons,
        unit_ns=arrivals.unit_ns if isinstance(arrivals, Counts) else None,
        notes=(*trace_format.notes(), *_notes(trace_format)),
    )


def _notes(trace_format: TraceFormat) -> Iterator[str]:
    arrivals = trace_format.arrivals
    if isinstance(arrivals, Calls):
        if arrivals.late:
            yield f"sorted: {arrivals.late:,} times an arrival was earlier than the one before it"
        if arrivals.origin_ns:
            yield f"the first arrival, at {_moment(trace_format, arrivals.origin_ns)} of the trace, is at 0"


def _moment(trace_format: TraceFormat, ns: int) -> str:
    """As a person would say it: what counts from 1970 on is a date, not a duration."""
    return date_time(ns) if ns >= _FIRST_DATE_NS else trace_format.moment(ns)
