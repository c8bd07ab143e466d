"""The rows of a file, one after the other: which of them could not be used, and why."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from streambox.errors import UsageError
from streambox.workload.traces.base import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streambox.workload.traces.file import TraceFile

    Lines = Iterable[tuple[int, bytes]]
    OnBadRow = Literal["fail", "skip"]

_ROWS_AT_ONCE: Final = 8192
_REASONS: Final = 5


class Rows(NamedTuple):
    """How many were read and skipped, and why the first few of these were."""

    read: int
    skipped: int
    reasons: tuple[str, ...]


def numbered(file: TraceFile) -> Iterator[tuple[int, bytes]]:
    """The lines of *file* that are not blank, with their numbers."""
    return ((file.line, line) for line in file if line)


def read_rows(
    file: TraceFile,
    lines: Lines,
    take: Callable[[bytes], None],
    on_bad_row: OnBadRow,
    pause: Callable[[int], None] | None = None,
) -> Rows:
    """
    *take* each of *lines*, which raises BadRow where it cannot, and then has taken nothing.

    *pause* is called with a line's number every few thousand rows. Raises UsageError, with file
    and line, for the first bad row, unless these are skipped.
    """
    read, skipped, reasons = 0, 0, list[str]()
    for number, line in lines:
        read += 1
        try:
            take(line)
        except BadRow as bad:
            if on_bad_row == "fail":
                raise UsageError(f"{file.path}:{number}: {bad} (--on-bad-row skip leaves it out)") from None
            skipped += 1
            if len(reasons) < _REASONS:
                reasons.append(f"line {number}: {bad}")
        if pause is not None and not read % _ROWS_AT_ONCE:
            pause(number)
    return Rows(read, skipped, tuple(reasons))


@contextlib.contextmanager
def about(file: TraceFile) -> Iterator[None]:
    """Adds to an error which file it is about."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{file.path}: {error}") from None
