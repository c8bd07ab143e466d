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
    """``rate_per_s`` is certified for send lag p99 <= ``budget_ns``, on this machine and version."""

    rate_per_s: float
    budget_ns: int
    machine: str


def machine() -> str:
    """What a calibration holds for."""
    versions = f"python={platform.python_version()} streambox={__version__}"
    return f"{platform.node()} {platform.machine()} cpus={os.cpu_count()} {versions}"


def _path() -> Path:
    return cache_folder() / "calibration.json"


def keep(calibration: Calibration) -> Path:
    """Raises OSError when the cache folder cannot be written."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(calibration))
    return path


def kept() -> Calibration | None:
    """This machine's calibration; None where there is none, or one of other versions."""
    try:
        calibration = msgspec.json.decode(_path().read_bytes(), type=Calibration)
    except (OSError, msgspec.DecodeError):
        return None
    return calibration if calibration.machine == machine() else None


def warning(schedule: Schedule, workers: int = 1) -> str | None:
    """What to say before a run whose busiest second is beyond what was certified; None: nothing."""
    calibration = kept()
    if calibration is None or not len(schedule):
        return None
    busiest = schedule.busiest_second
    certified = calibration.rate_per_s * workers
    if busiest <= certified:
        return None
    return (
        f"the busiest second asks for {busiest:,} requests, and this machine was certified for "
        f"{certified:,.0f}/s with a send lag p99 of {calibration.budget_ns / 1e6:g} ms: the figures may "
        "speak of the generator"
    )
