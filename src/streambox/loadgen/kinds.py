"""The numbers that stand for the ways in which requests end, the same for all workers of a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OK: Final = "ok"
UNSENT: Final = "unsent"
INTERRUPTED: Final = "interrupted"
TIMEOUT: Final = "timeout"
WRONG: Final = "wrong"
BAD_RESPONSE: Final = "bad_response"
RESET: Final = "reset"
OTHER: Final = "other"
CONNECT_FAILED: Final = "connect_failed"  # and why, which makes it a kind of its own

OWN_KINDS: Final = (OK, UNSENT, INTERRUPTED, TIMEOUT, WRONG, BAD_RESPONSE, RESET, OTHER)
MOST_KINDS: Final = 255
_NAME_BYTES: Final = 128


class KindTable:
    """
    Numbers for names: our own first, then whatever comes up, at most 255; the rest are ``other``.

    With a *path* the table is that file, one record of 128 bytes per name, and processes that
    share it agree on every number: a new name is appended under a lock, which a process needs
    at most once per name. Room for all of them is taken beforehand, so that a full disk cannot hurt.

    Raises OSError, on making, when the file cannot be opened or there is no room for it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._numbers: dict[str, int] = {}
        self.names: tuple[str, ...] = ()
        self._file = -1
        if path is None:
            self._learn(OWN_KINDS)
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with self._locked():
            if os.fstat(self._file).st_size < MOST_KINDS * _NAME_BYTES:
                os.pwrite(self._file, bytes(MOST_KINDS * _NAME_BYTES), 0)
            self._read()
            self._append(OWN_KINDS[len(self.names) :])

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def number(self, name: str) -> int:
        """The number that stands for *name* from now on. Cost: one look-up, but for a new name."""
        number = self._numbers.get(name)
        return self._new(name) if number is None else number

    def refresh(self) -> tuple[str, ...]:
        """All names, those that other processes have added among them."""
        if self._file >= 0:
            self._read()
        return self.names

    def _new(self, name: str) -> int:
        kept = _fitting(name)
        if kept not in self._numbers and len(self.names) < MOST_KINDS:
            with self._locked():
                self.refresh()
                if kept not in self._numbers and len(self.names) < MOST_KINDS:
                    self._append([kept])
        return self._numbers.get(kept, self._numbers[OTHER])

    def _append(self, names: Sequence[str]) -> None:
        if self._file >= 0:
            records = b"".join(name.encode().ljust(_NAME_BYTES, b"\0") for name in names)
            os.pwrite(self._file, records, len(self.names) * _NAME_BYTES)
        self._learn(names)

    def _read(self) -> None:
        written = os.pread(self._file, MOST_KINDS * _NAME_BYTES, len(self.names) * _NAME_BYTES)
        records = (written[at : at + _NAME_BYTES].rstrip(b"\0") for at in range(0, len(written), _NAME_BYTES))
        self._learn([record.decode() for record in records if record])

    def _learn(self, names: Sequence[str]) -> None:
        for name in names:
            self._numbers[name] = len(self.names)
            self.names = (*self.names, name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._file < 0:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _fitting(name: str) -> str:
    """*name* as a record can hold it."""
    return name.replace("\0", "").encode()[:_NAME_BYTES].decode(errors="ignore")
