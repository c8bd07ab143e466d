"""Arrays whose memory is a file each: they outlive the process, and need not stay in memory."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, np.dtype[Any]]


class ColumnFolder:
    """
    One file per column in *path*, mapped into memory and shared with whoever maps it too.

    The kernel has what was written the moment it is written, so that the death of this
    process, however sudden, loses nothing of it. Room on the disk is taken beforehand: a
    disk that fills up later cannot hurt.

    Raises OSError, on making, when there is no room.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._mapped: dict[str, tuple[mmap.mmap, Array]] = {}

    def create(self, name: str, count: int, dtype: str) -> Array:
        """
        A new column of *count* entries, all 0. Nothing is written: it takes no time, however long.

        Who has mapped an old one of that name keeps it.
        """
        (self.path / name).unlink(missing_ok=True)
        return self._map(name, count, np.dtype(dtype), os.O_CREAT)

    def open(self, name: str, dtype: str) -> Array:
        """A column that exists, mapped once however often it is opened. Raises OSError when it does not."""
        count = (self.path / name).stat().st_size // np.dtype(dtype).itemsize
        _, known = self._mapped.get(name, (None, None))
        if known is not None and len(known) == count and known.dtype == dtype:
            return known
        return self._map(name, count, np.dtype(dtype), 0)

    def grow(self, name: str, column: Array, count: int) -> Array:
        """
        *column* with room for *count* entries, the new ones 0; the old array is not to be used any more.

        Who shares the file may have grown it already: it never becomes shorter.
        """
        return self._map(name, count, column.dtype, os.O_CREAT)

    def trim(self) -> None:
        """Let go of the memory: it is read from the file again where it is needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped, _ in self._mapped.values():
                mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self, name: str, count: int, dtype: np.dtype[Any], flags: int) -> Array:
        size_bytes = count * dtype.itemsize
        file = os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
        try:
            if not size_bytes:
                return np.empty(0, dtype)
            if flags:
                _take_room(file, size_bytes)
            mapped = mmap.mmap(file, size_bytes)
        finally:
            os.close(file)
        column = np.frombuffer(mapped, dtype)
        self._mapped[name] = mapped, column
        return column


def _take_room(file: int, size_bytes: int) -> None:
    """Up to *size_bytes*; a file that is longer, as another process may just have made it, stays so."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        has_bytes = os.fstat(file).st_size
        if size_bytes <= has_bytes:
            return
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, has_bytes, size_bytes - has_bytes)
        else:  # macOS
            os.ftruncate(file, size_bytes)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # the map would go on holding it
