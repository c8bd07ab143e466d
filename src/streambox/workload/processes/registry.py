"""Arrival processes by name, from parameters as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streambox.workload.parameters import Family
from streambox.workload.processes.hawkes import Hawkes
from streambox.workload.processes.modulated import Mmpp2, OnOff
from streambox.workload.processes.rate_curves import Diurnal, Ramp, Sine, Spike, Steps, Weekly
from streambox.workload.processes.renewal import Constant, Gamma, Hyperexponential, Poisson, Weibull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.workload.parameters import Parameter
    from streambox.workload.processes.base import Process

_CLASSES: Final[tuple[type[Process], ...]] = (
    *(Constant, Poisson, Gamma, Weibull, Hyperexponential),
    *(Diurnal, Weekly, Sine, Ramp, Steps, Spike),
    *(Mmpp2, OnOff, Hawkes),
)
_FAMILY: Final[Family[Process]] = Family("arrival process", _CLASSES, "gamma:rate=100,cv=3")
PROCESSES: Final = _FAMILY.members


def make_process(name: str, parameters: Mapping[str, Parameter]) -> Process:
    """The process *name* with *parameters*. Raises UsageError; see ``Family.make``."""
    return _FAMILY.make(name, parameters)


def parse_process(text: str) -> Process:
    """
    ``name:parameter=value,…``, such as ``gamma:rate=100,cv=3`` or ``onoff:on=50/s,on_time=2s,off_time=1m``.

    A list's items are joined by ``+``, the parts of an item by ``:``, as in
    ``steps:levels=10/s:30s+100/s:5s``. Raises UsageError.
    """
    return _FAMILY.parse(text)


def parameters_of(process: Process) -> dict[str, Parameter]:
    """What ``make_process`` makes the same *process* of: numbers in seconds and per second."""
    given: dict[str, Parameter] = msgspec.to_builtins(process)
    return {key: value for key, value in given.items() if value is not None}


def format_process(process: Process, digits: int | None = None) -> str:
    """
    The text that ``parse_process`` reads as *process*; what is as the default is left out.

    *digits*: of each number; None: all, though times are read to the nanosecond.
    """
    return _FAMILY.format(process, digits)
