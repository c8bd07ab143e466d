"""Files that commands write, whole or not at all, and what they say of them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streambox.workload.schedule import Schedule

_MOST_LANES_SHOWN: Final = 20


@contextmanager
def written_whole(out: Path, *sources: Path) -> Iterator[Path]:
    """
    A file to write to, which becomes *out* once all has gone well; a device is written to itself.

    Raises UsageError at once where none can be written there, or it is one of *sources*; RunFailed
    where it cannot be finished.
    """
    if out.exists() and any(source.exists() and out.samefile(source) for source in sources):
        raise UsageError(f"{out}: is what is to be read: name another file to write")
    out = Path(os.path.realpath(out))
    if out.exists() and not out.is_file():
        yield out
        return
    part = out.with_name(f".{out.name}.part")
    try:
        part.touch()
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    try:
        yield part
        os.replace(part, out)
    except OSError as error:
        raise RunFailed(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def facts_of(out: Path, schedule: Schedule) -> Iterator[str]:
    """What to tell of a *schedule* that is in *out* now, line by line."""
    duration_s = schedule.duration_ns / 1e9
    rate = len(schedule) / duration_s
    yield f"{out}: {len(schedule):,} requests in {duration_s:,.6g} s, {rate:,.6g}/s on average"
    yield f"sha256 {schedule.sha256}"
    requests = np.bincount(schedule.lane, minlength=len(schedule.lanes)).tolist()
    for lane, count in list(zip(schedule.lanes, requests, strict=True))[:_MOST_LANES_SHOWN]:
        yield f"{count:>14,}  {lane}"
    if len(schedule.lanes) > _MOST_LANES_SHOWN:
        yield f"{'':>14}  … and {len(schedule.lanes) - _MOST_LANES_SHOWN} more models and tenants"
