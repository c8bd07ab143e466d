"""
How long the functions of Azure Functions 2019 ran: the file that is published beside each day's counts.

``HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,…,100``, in ms. The
percentiles are of averages over 30 s each, weighted by their executions, not of single executions.
"""

from __future__ import annotations

import re
from array import array
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.counts import MOST_PER_UNIT
from streambox.workload.traces.arrivals import Functions
from streambox.workload.traces.azure_functions_2019 import AzureFunctions2019
from streambox.workload.traces.base import BadRow
from streambox.workload.traces.file import TraceFile
from streambox.workload.traces.numbers import MILLISECONDS, shown, whole_count, whole_ns
from streambox.workload.traces.rows import about, numbered, read_rows
from streambox.workload.traces.table import names_of, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.traces.rows import OnBadRow

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_NS_PER_MS: Final = 1e6
_COLUMNS: Final = (
    *(b"hashowner", b"hashapp", b"hashfunction"),
    *(b"count", b"average", b"minimum", b"maximum"),
)
_PERCENTILE: Final = re.compile(rb"percentile_average_(100|[0-9]{1,2})")
_UNRECORDED: Final = (b"", b"nan", b"null")
_ROUNDED_MS: Final = 1.0  # what a time may lack, or have too much, where it was rounded
_ASKED_FOR: Final = "give --durations the function_durations_percentiles file of that day"


class Durations(msgspec.Struct, frozen=True):
    """
    How long functions ran, in ms.

    ``row_of[name]`` is a function's row of the others: ``mean_ms``, ``minimum_ms`` and
    ``maximum_ms`` (NaN where they were not recorded), and ``percentiles_ms``, shape (functions,
    ``len(percents)``). ``rows`` are those read, ``skipped`` those of them that could not be used,
    ``reasons`` why the first few could not.
    """

    path: str
    sha256: str
    rows: int
    skipped: int
    reasons: tuple[str, ...]
    row_of: dict[str, int]
    mean_ms: Floats
    minimum_ms: Floats
    maximum_ms: Floats
    percents: tuple[int, ...]
    percentiles_ms: Floats

    def notes(self) -> list[str]:
        """What a reader of the figures should know."""
        notes = [f"{self.path}: {reason}" for reason in self.reasons]
        unrecorded = np.count_nonzero(np.isnan(self.minimum_ms))
        if unrecorded:
            notes.append(f"{self.path}: without minimum and maximum: {unrecorded:,} functions")
        return notes


def read_durations(path: str, on_bad_row: OnBadRow = "fail") -> Durations:
    """
    What a file of durations holds, read in one pass.

    Several rows of one function, as of several days, are averaged, weighted by their ``Count``.

    Raises UsageError, with file, line and reason, for a file that is missing, or no such file; for a
    row that is malformed, unless these are skipped; and where no row tells a duration.

    Cost: some 10 µs per row, and 1 kB of memory while it is read, most of it for the names.
    """
    with TraceFile(path, "file of durations") as file:
        lines = numbered(file)
        with about(file):
            table = _Table(next(lines, (0, b""))[1])
        rows = read_rows(file, lines, table.take, on_bad_row)
        with about(file):
            if not any(table.counts):
                first = f"; the first row skipped, {rows.reasons[0]}" if rows.reasons else ""
                raise UsageError(f"none of its {rows.read} rows tells a duration{first}")
        return Durations(path, file.sha256(), *rows, **table.per_function())


class _Table:
    """The rows of a file with this *header*. Raises UsageError where it is another one's."""

    def __init__(self, header: bytes) -> None:
        names = names_of(header)
        _check(header, names)
        found = ((_PERCENTILE.fullmatch(name), column) for column, name in enumerate(names))
        percentiles = sorted((int(match[1]), column) for match, column in found if match)
        self.percents = tuple(percent for percent, _ in percentiles)
        self.counts = array("q")
        self._columns = len(names)
        self._wanted = itemgetter(*map(names.index, _COLUMNS), *(column for _, column in percentiles))
        self._functions = Functions()
        self._numbers = array("q")
        self._values = array("d")

    def take(self, line: bytes) -> None:
        cells = split(line)
        if len(cells) != self._columns:
            raise BadRow(f"it has {len(cells)} columns, the header has {self._columns}")
        owner, app, function, count, average, least, most, *percentiles = self._wanted(cells)
        executions = whole_count(count, "Count", MOST_PER_UNIT)
        mean_ms = _ms(average, "Average")
        extremes_ms = _extremes_ms(least, most, mean_ms)
        named = zip(percentiles, self.percents, strict=True)
        percentiles_ms = [_ms(cell, f"percentile_Average_{percent}") for cell, percent in named]
        self._numbers.append(self._functions.number(b"/".join((owner, app, function))))
        self.counts.append(executions)
        self._values.extend((mean_ms, *extremes_ms, *percentiles_ms))

    def per_function(self) -> dict[str, Any]:
        """What ``Durations`` says of functions; one that never was executed is none."""
        number, count = np.frombuffer(self._numbers, np.int64), np.frombuffer(self.counts, np.int64)
        values = np.frombuffer(self._values, np.float64).reshape(len(number), -1)
        timed = count > 0
        names = self._functions.names()
        known, row = np.unique(number[timed], return_inverse=True)
        values, weights = values[timed], count[timed].astype(np.float64)
        means = averaged(row, weights, values[:, [0, *range(3, values.shape[1])]], len(known))
        minimum_ms, maximum_ms = extremes(row, values[:, 1], values[:, 2], len(known))
        return {
            "row_of": {names[function]: index for index, function in enumerate(known.tolist())},
            "mean_ms": means[:, 0],
            "minimum_ms": minimum_ms,
            "maximum_ms": maximum_ms,
            "percents": self.percents,
            "percentiles_ms": means[:, 1:],
        }


def averaged(group: Any, weights: Floats, values: Floats, groups: int) -> Floats:
    """
    The mean of *values* (n, columns) in each of *groups*, weighted: shape (groups, columns).

    Value i is in ``group[i]``. NaN where a group has no weight.
    """
    total = np.bincount(group, weights, groups)
    sums = [np.bincount(group, weights * column, groups) for column in values.T]
    with np.errstate(invalid="ignore"):
        return np.column_stack(sums) / total[:, np.newaxis]


def extremes(group: Any, minimum: Floats, maximum: Floats, groups: int) -> tuple[Floats, Floats]:
    """The least *minimum* and the largest *maximum* of each of *groups*; NaN where all of them are."""
    least, most = np.full(groups, np.nan), np.full(groups, np.nan)
    np.fmin.at(least, group, minimum)
    np.fmax.at(most, group, maximum)
    return least, most


def _check(header: bytes, names: Sequence[bytes]) -> None:
    if not header:
        raise UsageError(f"is empty: {_ASKED_FOR}")
    if set(AzureFunctions2019.columns) <= set(names):
        raise UsageError(
            f"tells how often functions were called, not how long they ran: it is a trace; {_ASKED_FOR}"
        )
    missing = [column.decode() for column in _COLUMNS if column not in names]
    if len(missing) > len(_COLUMNS) // 2:
        raise UsageError(f"begins with {shown(header)}, which is no header of durations: {_ASKED_FOR}")
    if missing:
        raise UsageError(f"there is no column {missing[0]!r}: {_ASKED_FOR}")


def _ms(text: bytes, what: str) -> float:
    return whole_ns(text, MILLISECONDS, what) / _NS_PER_MS


def _extremes_ms(least: bytes, most: bytes, mean_ms: float) -> tuple[float, float]:
    """
    The two of a row; NaN where they were not recorded, which happened to a few functions.

    So it did, too, where the mean is not between them.
    """
    if least.strip().lower() in _UNRECORDED or most.strip().lower() in _UNRECORDED:
        return np.nan, np.nan
    minimum_ms, maximum_ms = _ms(least, "Minimum"), _ms(most, "Maximum")
    between = minimum_ms - _ROUNDED_MS <= mean_ms <= maximum_ms + _ROUNDED_MS
    return (minimum_ms, maximum_ms) if between else (np.nan, np.nan)
