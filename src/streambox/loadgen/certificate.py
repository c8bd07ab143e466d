"""What this machine was certified to send, kept in the user's cache folder for later runs."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

import msgspec

from streambox import __version__
from streambox.models.cache import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.workload.schedule import Schedule


class Calibration(msgspec.Struct, frozen=True):
    """
    ``rate_per_s`` is certified for send lag p99 <= ``budget_ns``, from so many workers, on this
    machine and version.
    """

    rate_per_s: float
    budget_ns: int
    machine: str
    workers: int = 1


def machine() -> str:
    """What a calibration holds for."""
    versions = f"python={platform.python_version()} streambox={__version__}"
    return f"{platform.node()} {platform.machine()} cpus={os.cpu_count()} {versions}"


def _path(workers: int) -> Path:
    return cache_folder() / ("calibration.json" if workers == 1 else f"calibration-{workers}.json")


def keep(calibration: Calibration) -> Path:
    """Raises OSError when the cache folder cannot be written."""
    path = _path(calibration.workers)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(calibration))
    return path


def kept(workers: int = 1) -> Calibration | None:
    """This machine's calibration for so many workers; None where there is none, or one of other versions."""
    try:
        calibration = msgspec.json.decode(_path(workers).read_bytes(), type=Calibration)
    except (OSError, msgspec.DecodeError):
        return None
    return calibration if calibration.machine == machine() else None


def warning(schedule: Schedule, workers: int = 1) -> str | None:
    """
    What to say before a run whose busiest second is beyond what was certified; None: nothing.

    Where nothing is known of so many workers, what fewer can do is held against it: how much
    more they can do together, if any, no figure tells.
    """
    known = (kept(count) for count in range(workers, 0, -1))
    calibration = next((one for one in known if one is not None), None)
    busiest = schedule.busiest_second
    if calibration is None or busiest <= calibration.rate_per_s:
        return None
    told = (
        f"the busiest second asks for {busiest:,} requests, and this machine was certified for "
        f"{calibration.rate_per_s:,.0f}/s with a send lag p99 of {calibration.budget_ns / 1e6:g} ms"
    )
    if calibration.workers < workers:
        return f"{told} from {calibration.workers} worker(s): see `load calibrate --workers {workers}`"
    return f"{told}: the figures may speak of the generator"
