"""The lines of a trace file, gzip or not, with where they stand and the hash of the whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import zlib
from typing import TYPE_CHECKING, Any, Final

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

LONGEST_LINE: Final = 16 * 1024**2
_AT_ONCE: Final = 1024**2
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_UNREADABLE: Final = {
    b"PK\x03\x04": "a zip archive: unpack it",
    b"Rar!": "a rar archive: unpack it",
    b"7z\xbc\xaf": "a 7-zip archive: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"PAR1": "a Parquet file, and no trace: a schedule is replayed with load --schedule",
}


class TraceFile:
    """
    ``with TraceFile(path) as file: for line in file`` gives lines without their ends.

    ``line`` is the number of the last one. ``read_bytes`` of ``size_bytes`` (0: a pipe, nobody
    knows) is how far it has got, as the file lies on the disk. ``sha256()``, of that too,
    reads what is left. *kind*: what to call a file that is missing.

    Raises UsageError where nothing can be read, or no text.
    """

    def __init__(self, path: str, kind: str = "trace") -> None:
        self.path = path
        self.line = 0
        try:
            self._raw = _Hashed(path)
        except FileNotFoundError:
            raise UsageError(f"{path}: no such {kind}") from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
        self.size_bytes = self._raw.size_bytes

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()

    @property
    def read_bytes(self) -> int:
        return self._raw.read_bytes

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._content = self._text()  # kept: it would close the file in going
            while line := self._content.readline(LONGEST_LINE):
                self.line += 1
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    raise UsageError(f"{self.path}:{self.line}: is longer than 16 MiB: no trace")
                yield line.strip()
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{self.path}: cannot be read: {error}") from None

    def sha256(self) -> str:
        buffer = bytearray(_AT_ONCE)
        while self._raw.readinto(buffer):
            pass
        return self._raw.digest.hexdigest()

    def _text(self) -> io.BufferedReader[Any]:
        """The file's content, whose first bytes look like text."""
        content: io.BufferedReader[Any] = io.BufferedReader(self._raw, _AT_ONCE)
        if content.peek(2).startswith(_GZIP):
            content = io.BufferedReader(gzip.GzipFile(fileobj=content), _AT_ONCE)
        start = content.peek(64)
        for magic, reason in _UNREADABLE.items():
            if start.startswith(magic):
                raise UsageError(f"{self.path}: is {reason}")
        if b"\0" in start:
            raise UsageError(f"{self.path}: is no text, and so no trace")
        if start.startswith(_BOM):
            content.read(len(_BOM))
        return content


class _Hashed(io.RawIOBase):
    """A file opened for reading, which keeps count and hash of what is read."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed with this
        self.digest = hashlib.sha256()
        self.read_bytes = 0
        status = os.fstat(self._file.fileno())
        self.size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:count])
        self.read_bytes += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
