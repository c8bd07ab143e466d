"""How many connections this process may have open at once."""

from __future__ import annotations

import contextlib
import resource


def raise_open_files_limit() -> None:
    """
    To the hard limit, where the system lets us: each connection is an open file, and many
    systems start a process with 1024 allowed. Processes that we start inherit it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS: "unlimited" is more than it allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
