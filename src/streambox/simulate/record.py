"""
A record of what the core was told and what it decided: JSON arrays, one a line, and the file they go to.

The first entry of a line says what it is:

    version                             the first line: the format, and the facts of the build
    model, tenant, door                 what there is, before it first matters: settings and limits
    submit, cancel, set, timer, ended,  what happened to the core, in order
    ready, failed, fail_all, drain
    inside                              the same, while a request's caller was told of its end
    now, stacked, digest                what the core asked for: each clock sample, which rows are unfit,
                                        what stands for an input
    batch, refused, done                what it decided
    end                                 the last line, of a record that is whole
"""

from __future__ import annotations

import platform
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from streambox import __version__
from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

log = structlog.get_logger("streambox.record")

VERSION: Final = 4
DECISIONS: Final = frozenset(("batch", "refused", "done"))

_BLOCK_BYTES: Final = 1 << 16

Line = list[Any]
encode = msgspec.json.Encoder(
    enc_hook=int
).encode  # a Duration of the configuration is an int of its own kind


class Facts(msgspec.Struct, frozen=True):
    """What a record has to be read with. The same decisions are promised of the same build alone."""

    streambox: str
    python: str
    batcher: str
    shared: bool

    @classmethod
    def of_this_build(
        cls, batcher: str = "streambox.batcher:StreamBoxBatcher", *, shared: bool = False
    ) -> Facts:
        return cls(__version__, platform.python_version(), batcher, shared)


class Record:
    """Writes lines by *write*, which takes bytes; the first one at once."""

    def __init__(self, write: Callable[[bytes], object], facts: Facts | None = None) -> None:
        self._write = write
        self.facts = facts or Facts.of_this_build()
        self.line("version", VERSION, self.facts)

    def line(self, *fields: Any) -> None:
        self._write(encode(fields) + b"\n")


class RecordFile:
    """
    A new file at *path*, written in blocks; ``flush`` writes what has come since the last one.

    What cannot be written, on a full disk, ends the record and nothing else: the server goes on.
    Raises UsageError where there can be no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise UsageError(f"{path}: no record can be written there: {error.strerror or error}") from None
        self._lines: list[bytes] = []
        self._bytes = 0
        self.broken = False

    def write(self, line: bytes) -> None:
        if self.broken:
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= _BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        left = memoryview(b"".join(self._lines))
        self._lines.clear()
        self._bytes = 0
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            self.broken = True
            log.error("decisions are recorded no longer", file=str(self._path), cause=error.strerror)

    def close(self) -> None:
        """The record is whole."""
        self.write(encode(("end",)) + b"\n")
        self.flush()
        self._file.close()


def whole_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """*lines* up to the one in whose midst the writer was killed."""
    return takewhile(lambda line: line.endswith(b"\n"), lines)


def decode(number: int, line: bytes) -> Line:
    """Raises UsageError for what is no line of a record."""
    try:
        fields: Line = msgspec.json.decode(line, type=list)
    except msgspec.DecodeError:
        fields = []
    if not fields or not isinstance(fields[0], str):
        raise UsageError(f"line {number} is no line of a record of decisions")
    return fields


def facts_of(first: Line) -> Facts:
    """Raises UsageError where *first* is not the first line of a record that can be read."""
    if first[:1] != ["version"]:
        raise UsageError("no record of decisions: write one with 'streambox serve --record-decisions'")
    if first[1:2] != [VERSION]:
        raise UsageError(f"a record of another format, {first[1:2]}: this release reads {VERSION}")
    try:
        return msgspec.convert(first[2], Facts)
    except (msgspec.ValidationError, IndexError) as error:
        raise UsageError(f"the first line of the record is damaged: {error}") from None
