"""Formats that are comma-separated tables with a header."""

from __future__ import annotations

import csv
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from streambox.workload.traces.base import BadRow, TraceFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions


class Table(TraceFormat):
    """
    A format whose rows are told by the names of some columns, in lower case.

    Columns may stand in any order, and others beside them. A subclass ``take``s the cells of
    ``columns``, at least two, in that order.
    """

    columns: ClassVar[tuple[bytes, ...]]

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        self.has_header = True
        self.names = names_of(head[0])
        missing = [column.decode() for column in self.columns if column not in self.names]
        if missing:
            raise BadRow(f"there is no column {missing[0]!r}")
        self._wanted = itemgetter(*map(self.names.index, self.columns))

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        return set(cls.columns) <= set(names_of(head[0]))

    def row(self, line: bytes) -> None:
        self.take(self._wanted(self.cells(line)))

    def cells(self, line: bytes) -> list[bytes]:
        """All cells of a row. Raises BadRow where there are not as many as the header has."""
        cells = split(line)
        if len(cells) != len(self.names):
            raise BadRow(f"it has {len(cells)} columns, the header has {len(self.names)}")
        return cells

    def take(self, cells: tuple[bytes, ...]) -> None:
        """Adds what a row says in ``columns``. Raises BadRow, and then it has added nothing."""
        raise NotImplementedError


def names_of(header: bytes) -> list[bytes]:
    """A header's columns, in lower case; none, where it cannot be one."""
    try:
        return [cell.strip().lower() for cell in split(header)]
    except BadRow:
        return []


def split(line: bytes) -> list[bytes]:
    if b'"' not in line:
        return line.split(b",")
    try:
        (cells,) = csv.reader([line.decode("utf-8", "surrogateescape")])
    except (csv.Error, ValueError):
        raise BadRow("its quotes do not match") from None
    return [cell.encode("utf-8", "surrogateescape") for cell in cells]
