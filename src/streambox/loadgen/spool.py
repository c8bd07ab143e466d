"""
What a run has to show so far, on disk while it goes on: ``OUT/.outcomes/``.

A run that dies in the middle leaves it behind; ``recover`` makes the usual four files of it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.columns import ColumnFolder
from streambox.loadgen.record import INTERRUPTED, OTHER, TIMEOUT, Outcomes, Recorder
from streambox.loadgen.summary import CLOSED_LOOP
from streambox.workload.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = ".outcomes"
SCHEDULE: Final = "schedule.parquet"
_STATE: Final = "run.json"
_RECOVER: Final = "streambox load recover"


class RunState(msgspec.Struct, frozen=True):
    """What the columns do not tell of a run; its first and last part, which the figures leave out."""

    mode: str
    seed: int
    duration_ns: int
    warm_up_ns: int = 0
    cool_down_ns: int = 0
    kinds: tuple[str, ...] = ()


@contextlib.contextmanager
def recording(out: Path | None, schedule: Schedule, state: RunState) -> Iterator[Recorder]:
    """
    A recorder whose outcomes lie in *out*, and the schedule beside them; without *out* in a
    folder of their own that goes when this ends.

    Raises UsageError when it cannot be written, or has no room for them. A run that fails in
    the middle says where its outcomes lie.
    """
    with contextlib.ExitStack() as stack:
        if out is None:
            yield _in_scratch(stack, schedule)
            return
        recorder = _in_folder(out, schedule, state)
        try:
            yield recorder
        except RunFailed as error:
            if not recorder.sent:
                discard(out)
                raise
            raise RunFailed(f"{error}: make files of what came of the run: {_RECOVER} {out}") from error


def _in_scratch(stack: contextlib.ExitStack, schedule: Schedule) -> Recorder:
    try:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="streambox-"))
        return _recorder(Path(scratch), schedule)
    except OSError as error:
        raise UsageError(
            f"the temporary folder has no room for the outcomes of {len(schedule)} requests: "
            f"{error.strerror or error}: TMPDIR names another one, --out a folder to keep them in"
        ) from None


def _in_folder(out: Path, schedule: Schedule, state: RunState) -> Recorder:
    folder = out / FOLDER
    discard(out)
    try:
        schedule.to_parquet(out / SCHEDULE)
        recorder = _recorder(folder, schedule)
        _write_state(folder, msgspec.structs.replace(state, kinds=recorder.outcomes.kinds))
    except OSError as error:
        discard(out)
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None

    def on_kinds(kinds: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):  # a full disk: it is only a name, and only if we die
            _write_state(folder, msgspec.structs.replace(state, kinds=kinds))

    recorder.on_kinds = on_kinds
    return recorder


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
        outcomes = Outcomes.open(ColumnFolder(folder), schedule.intended_ns, schedule.lane, state.kinds)
        outcomes.kind[outcomes.kind >= len(state.kinds)] = state.kinds.index(OTHER)
    except FileNotFoundError:
        raise UsageError(f"{out}: no run to recover: a run that ended leaves nothing unfinished") from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"{out}: cannot be recovered: {error}") from None
    begun = np.flatnonzero(outcomes.dispatched_ns >= 0)
    outcomes = outcomes.first(int(begun[-1]) + 1 if len(begun) else 0)
    outcomes.rename(TIMEOUT, INTERRUPTED)
    outcomes.apportion_waits()
    if state.mode != CLOSED_LOOP and len(outcomes) < len(schedule):
        last_ns = int(outcomes.intended_ns.max(initial=0))
        state = msgspec.structs.replace(state, duration_ns=last_ns)
    return schedule, outcomes, state


def _recorder(folder: Path, schedule: Schedule) -> Recorder:
    return Recorder(schedule.intended_ns, schedule.lane, ColumnFolder(folder))


def _write_state(folder: Path, state: RunState) -> None:
    """In one piece: a reader finds the old one or the new one."""
    new = folder / f"{_STATE}.new"
    new.write_bytes(msgspec.json.encode(state))
    new.replace(folder / _STATE)
