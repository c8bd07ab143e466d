"""
What a run has to show so far, on disk while it goes on: ``OUT/.outcomes/``.

A run that dies in the middle leaves it behind; ``recover`` makes the usual four files of it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.columns import ColumnFolder
from streambox.loadgen.merge import begun
from streambox.loadgen.record import Outcomes, Recorder, open_kinds
from streambox.loadgen.share import WHOLE, Share
from streambox.loadgen.summary import CLOSED_LOOP
from streambox.workload.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streambox.loadgen.columns import Array
    from streambox.workload.schedule import Lane

FOLDER: Final = ".outcomes"
SCHEDULE: Final = "schedule.parquet"
_STATE: Final = "run.json"
_SCHEDULE_COLUMNS: Final = {"intended_ns": "<i8", "payload": "<i4", "lane": "u1"}
_ROWS_AT_ONCE: Final = 65_536


class RunState(msgspec.Struct, frozen=True):
    """What the columns do not tell of a run; its first and last part, which the figures leave out."""

    mode: str
    seed: int
    duration_ns: int
    warm_up_ns: int = 0
    cool_down_ns: int = 0
    realtime: bool = False


class Spool(NamedTuple):
    """
    Where a run keeps its records: a folder of columns, which the processes of the run share.

    ``schedule`` lies there, too, rather than in memory.
    """

    folder: ColumnFolder
    schedule: Schedule

    @classmethod
    def create(cls, path: Path, schedule: Schedule, shares: int = 1) -> Spool:
        """Raises OSError when there is no room for what *schedule* will leave."""
        folder = ColumnFolder(path)
        placed = {
            name: _place(folder, name, getattr(schedule, name), dtype)
            for name, dtype in _SCHEDULE_COLUMNS.items()
        }
        open_kinds(folder)
        Outcomes.create(folder, len(schedule), shares)
        return cls(folder, msgspec.structs.replace(schedule, **placed))

    @classmethod
    def open(cls, path: Path, lanes: tuple[Lane, ...], duration_ns: int) -> Spool:
        """What another process has created in *path*. Raises OSError when it is not there."""
        folder = ColumnFolder(path)
        columns = {name: folder.open(name, dtype) for name, dtype in _SCHEDULE_COLUMNS.items()}
        return cls(folder, Schedule(**columns, lanes=lanes, recipe={"duration_ns": duration_ns}))

    def recorder(self, share: Share = WHOLE) -> Recorder:
        return Recorder(self.schedule.intended_ns, self.schedule.lane, self.folder, share)

    def outcomes(self) -> Outcomes:
        return Outcomes.open(self.folder, self.schedule.lane)


@contextlib.contextmanager
def recording(out: Path | None, schedule: Schedule, state: RunState, shares: int = 1) -> Iterator[Spool]:
    """
    Room for the outcomes of *schedule* in *out*, and the schedule beside them; without *out* in a
    folder of their own that goes when this ends.

    Raises UsageError when it cannot be written, or has no room for them. A run that fails in
    the middle says where its outcomes lie.
    """
    if out is None:
        with contextlib.ExitStack() as stack:
            spool = _in_scratch(stack, schedule, shares)
            del schedule  # the one in the spool takes no memory
            yield spool
        return
    spool = _in_folder(out, schedule, state, shares)
    del schedule
    try:
        yield spool
    except RunFailed as error:
        if not len(begun(spool.outcomes())):
            discard(out)
            raise
        raise RunFailed(
            f"{error}: make files of what came of the run: streambox load recover {out}"
        ) from error


def _in_scratch(stack: contextlib.ExitStack, schedule: Schedule, shares: int) -> Spool:
    try:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="streambox-"))
        return Spool.create(Path(scratch), schedule, shares)
    except OSError as error:
        raise UsageError(
            f"the temporary folder has no room for the outcomes of {len(schedule)} requests: "
            f"{error.strerror or error}: TMPDIR names another one, --out a folder to keep them in"
        ) from None


def _in_folder(out: Path, schedule: Schedule, state: RunState, shares: int) -> Spool:
    folder = out / FOLDER
    discard(out)
    try:
        schedule.to_parquet(out / SCHEDULE)
        spool = Spool.create(folder, schedule, shares)
        (folder / _STATE).write_bytes(msgspec.json.encode(state))
    except OSError as error:
        discard(out)
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    return spool


def discard(out: Path) -> None:
    """All is in the usual files now."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def recover(out: Path) -> tuple[Schedule, Outcomes, RunState]:
    """
    What the run in *out* had to show when it died; what was in flight then is ``interrupted``.

    Raises UsageError when there is nothing to recover.
    """
    folder = out / FOLDER
    try:
        state = msgspec.json.decode((folder / _STATE).read_bytes(), type=RunState)
        schedule = Schedule.from_parquet(out / SCHEDULE)
        outcomes = begun(Outcomes.open(ColumnFolder(folder), schedule.lane))
    except FileNotFoundError:
        raise UsageError(f"{out}: no run to recover: a run that ended leaves nothing unfinished") from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"{out}: cannot be recovered: {error}") from None
    outcomes.apportion_waits()
    if state.mode != CLOSED_LOOP and len(outcomes) < len(schedule):
        last_ns = int(outcomes.intended_ns[-1]) if len(outcomes) else 0
        state = msgspec.structs.replace(state, duration_ns=last_ns)
    return schedule, outcomes, state


def _place(folder: ColumnFolder, name: str, column: Array, dtype: str) -> Array:
    """*column* in a file of *folder*, written a part at a time so that it need not lie in memory twice."""
    placed = folder.create(name, len(column), dtype)
    for start in range(0, len(column), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        placed[part] = column[part]
        folder.trim()
    return placed
