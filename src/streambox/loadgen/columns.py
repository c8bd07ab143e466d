"""Arrays whose memory is a file each: they outlive the process, and need not stay in memory."""

from __future__ import annotations

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
        self._maps: dict[str, mmap.mmap] = {}

    def create(self, name: str, count: int, dtype: str, fill: int) -> Array:
        """A new column of *count* entries, all *fill*."""
        column = self._map(name, count, np.dtype(dtype), os.O_CREAT | os.O_TRUNC)
        column[:] = fill
        return column

    def open(self, name: str, dtype: str) -> Array:
        """A column that exists. Raises OSError when it does not."""
        count = (self.path / name).stat().st_size // np.dtype(dtype).itemsize
        return self._map(name, count, np.dtype(dtype), 0)

    def grow(self, name: str, column: Array, count: int, fill: int) -> Array:
        """
        *column* with room for *count* entries; the old array is not to be used any more.

        Raises OSError, and leaves the old one as it was, when there is no room.
        """
        before = len(column)
        grown = self._map(name, count, column.dtype, os.O_CREAT)
        grown[before:] = fill
        return grown

    def trim(self) -> None:
        """Let go of the memory: it is read from the file again where it is needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self, name: str, count: int, dtype: np.dtype[Any], flags: int) -> Array:
        size_bytes = count * dtype.itemsize
        if not size_bytes:
            return np.empty(0, dtype)
        file = os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
        try:
            if flags:
                self._take_room(file, size_bytes)
            mapped = self._maps[name] = mmap.mmap(file, size_bytes)
        finally:
            os.close(file)
        return np.frombuffer(mapped, dtype)

    def _take_room(self, file: int, size_bytes: int) -> None:
        before_bytes = os.fstat(file).st_size
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, size_bytes)
            else:  # macOS
                os.ftruncate(file, size_bytes)
        except OSError as error:
            os.ftruncate(file, before_bytes)  # some file systems keep what they could get
            raise OSError(error.errno, error.strerror, str(self.path)) from None
