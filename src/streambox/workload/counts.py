"""Request counts per time unit: the reference's file format, and what its parameters do to them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_UNITS: Final = 10_000_000  # a third of a year in seconds
MOST_PER_UNIT: Final = 10**12
_MOST_DIGITS: Final = 12
_MOST_SHOWN: Final = 20


def get_workload(
    multipile: float, len: int, gap_time: int, lap_time: int, type: str, directory: str | Path
) -> list[int]:
    """
    The reference's workload list, exactly; its parameter names, sic.

    The first *len* counts of ``<directory>/<type>-load.txt``, each ``int(count * multipile)``;
    after every *gap_time* of them *lap_time* zeros, which *len* does not count.

    Raises UsageError when the file is missing or holds anything but counts.
    """
    return shape_counts(read_counts(Path(directory) / f"{type}-load.txt"), multipile, len, gap_time, lap_time)


def shape_counts(
    counts: Sequence[int],
    multiple: float = 1.0,
    length: int | None = None,
    gap_time: int | None = None,
    lap_time: int = 0,
) -> list[int]:
    """
    Scale, cut and interleave with idle time, as the reference does.

    *gap_time* None: no idle time. Raises UsageError for a negative *multiple* or
    *lap_time*, a *gap_time* or *length* below 1, or more than there is room for.
    """
    if not (multiple >= 0 and math.isfinite(multiple)):
        raise UsageError(f"multiple is {multiple}: give a number of at least 0")
    if length is not None and length < 1:
        raise UsageError(f"len is {length}: give at least 1 time unit")
    if gap_time is not None and gap_time < 1:
        raise UsageError(f"gap_time is {gap_time}: give at least 1 time unit, or leave it out")
    if lap_time < 0:
        raise UsageError(f"lap_time is {lap_time}: give at least 0 time units")
    counts = counts[:length]
    idle = len(counts) // gap_time * lap_time if gap_time is not None else 0
    if len(counts) + idle > MOST_UNITS:
        raise UsageError(f"the workload has {len(counts) + idle} time units, the most is {MOST_UNITS}")
    if max(counts, default=0) * multiple > MOST_PER_UNIT:
        raise UsageError(
            f"multiple is {multiple:g}: it makes more than {MOST_PER_UNIT:g} requests in a time unit"
        )
    shaped: list[int] = []
    for position, count in enumerate(counts, start=1):
        shaped.append(int(count * multiple))
        if gap_time is not None and position % gap_time == 0:
            shaped.extend([0] * lap_time)
    return shaped


def read_counts(path: Path) -> list[int]:
    """The counts in a pattern file: whitespace-separated whole numbers. Raises UsageError."""
    try:
        words = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such workload file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a workload: {error}") from None
    counts = [_count(path, position, word) for position, word in enumerate(words, start=1)]
    if not counts:
        raise UsageError(f"{path}: is empty: expected counts, one per time unit")
    return counts


def _count(path: Path, position: int, word: str) -> int:
    shown = word if len(word) <= _MOST_SHOWN else f"{word[:_MOST_SHOWN]}…"
    if not word.isdigit():
        raise UsageError(f"{path}: count {position} is {shown!r}: expected a whole number from 0")
    if len(word.lstrip("0")) > _MOST_DIGITS:
        raise UsageError(f"{path}: count {position} is {shown}: too large, the most is {MOST_PER_UNIT:.0e}")
    return int(word.lstrip("0") or "0")


def write_counts(path: Path, counts: Sequence[int]) -> None:
    """One line of counts separated by blanks, the reference's format. Raises UsageError."""
    try:
        path.write_text(" ".join(map(str, counts)) + "\n", encoding="ascii")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
