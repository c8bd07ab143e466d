"""Generated model files in the user's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/streambox``, by default ``~/.cache/streambox``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "streambox"


def cached(file_name: str, generate: Callable[[], bytes]) -> Path:
    """
    The file *file_name* of the cache folder, generated if it is missing or damaged.

    Safe among processes: one generates while the others wait for it, and a file appears under its
    name only when it is whole. Its digest, kept beside it, tells a damaged file.

    Raises OSError when the folder cannot be written. Cost: one read of the file, to check it.
    """
    path = cache_folder() / file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{file_name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _whole(path):
            content = generate()
            _write(path, content)
            _write(_digest_path(path), hashlib.sha256(content).hexdigest().encode())
    return path


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _whole(path: Path) -> bool:
    try:
        expected = _digest_path(path).read_text("ascii")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (OSError, UnicodeDecodeError):
        return False


def _write(path: Path, content: bytes) -> None:
    """All of *content* under *path*, or nothing: a temporary file, renamed."""
    handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
