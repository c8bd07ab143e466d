"""Arrival processes by name, from parameters as people write them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import msgspec
import numpy as np

from streambox import units
from streambox.errors import UsageError
from streambox.workload.arrivals import NS_PER_S
from streambox.workload.processes.hawkes import Hawkes
from streambox.workload.processes.modulated import Mmpp2, OnOff
from streambox.workload.processes.rate_curves import Diurnal, Ramp, Sine, Spike, Steps, Weekly
from streambox.workload.processes.renewal import Constant, Gamma, Hyperexponential, Poisson, Weibull

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streambox.workload.processes.base import Process

    Parameter = float | str | Sequence[Any]

_CLASSES: Final[tuple[type[Process], ...]] = (
    *(Constant, Poisson, Gamma, Weibull, Hyperexponential),
    *(Diurnal, Weekly, Sine, Ramp, Steps, Spike),
    *(Mmpp2, OnOff, Hawkes),
)
PROCESSES: Final[Mapping[str, type[Process]]] = {each.name: each for each in _CLASSES}

_EXAMPLE: Final = "gamma:rate=100,cv=3"


def make_process(name: str, parameters: Mapping[str, Parameter]) -> Process:
    """
    The process *name* with *parameters*.

    A number is per second where the parameter is a rate, and seconds where it is a time; text
    may have a unit (``500/s``, ``10s``, ``5ms``), and a time written as text needs one.

    Raises UsageError for an unknown process, a parameter that it does not take, one that is
    missing, or a value that it cannot have.
    """
    made = PROCESSES.get(name)
    if made is None:
        raise UsageError(f"no arrival process {name!r}: {_nearest(name, PROCESSES)}")
    fields = {each.encode_name: each for each in msgspec.structs.fields(made)}
    for parameter in parameters:
        if parameter not in fields:
            problem = f"{name} takes no parameter {parameter!r}"
            raise UsageError(f"{problem}: it takes {_parameters_of(fields.values())}")
    missing = [each.encode_name for each in fields.values() if each.required]
    missing = [parameter for parameter in missing if parameter not in parameters]
    if missing:
        takes = _parameters_of(fields.values())
        raise UsageError(f"{name}: {' and '.join(missing)} missing: it takes {takes}")
    values = {fields[key].name: _value(name, fields[key], value) for key, value in parameters.items()}
    return made(**values)


def parse_process(text: str) -> Process:
    """
    ``name:parameter=value,…``, such as ``gamma:rate=100,cv=3`` or ``onoff:on=50/s,on_time=2s,off_time=1m``.

    A list's items are joined by ``+``, the parts of an item by ``:``, as in
    ``steps:levels=10/s:30s+100/s:5s``. Raises UsageError; see ``make_process``.
    """
    name, _, rest = text.strip().partition(":")
    parameters: dict[str, Parameter] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (side.strip() for side in part.partition("="))
        if not equals or not key or not value:
            raise UsageError(f"{part!r} in {text!r} is not parameter=value: write {_EXAMPLE}")
        if key in parameters:
            raise UsageError(f"{key!r} is in {text!r} twice")
        parameters[key] = value
    return make_process(name.strip(), parameters)


def parameters_of(process: Process) -> dict[str, Parameter]:
    """What ``make_process`` makes the same *process* of: numbers in seconds and per second."""
    given: dict[str, Parameter] = msgspec.to_builtins(process)
    return {key: value for key, value in given.items() if value is not None}


def format_process(process: Process, digits: int | None = None) -> str:
    """
    The text that ``parse_process`` reads as *process*; what is as the default is left out.

    *digits*: of each number; None: all, though times are read to the nanosecond.
    """
    parts = []
    for each in msgspec.structs.fields(type(process)):
        value = getattr(process, each.name)
        if each.required or value != each.default:
            parts.append(f"{each.encode_name}={_text(each.name, value, digits)}")
    return f"{process.name}:{','.join(parts)}"


# ---- values --------------------------------------------------------------------------------------


def _value(process: str, each: msgspec.structs.FieldInfo, given: Parameter) -> Any:
    """*given* as the field takes it."""
    origin = get_origin(each.type)
    try:
        if origin is Literal:
            return _choice(given, get_args(each.type))
        if origin is tuple:
            pairs = get_origin(get_args(each.type)[0]) is tuple
            return tuple(_level(item) if pairs else _number(item) for item in _items(given, "+"))
        return _quantity(each.name, given)
    except UsageError as error:
        raise UsageError(f"{process}: {each.encode_name}: {error}") from None


def _quantity(name: str, given: Parameter) -> float:
    """By the unit that the field's name ends in."""
    if name.endswith("_per_s"):
        return _rate_per_s(given)
    if name.endswith("_s"):
        return _time_s(given)
    return _number(given)


def _rate_per_s(given: Parameter) -> float:
    if isinstance(given, str) and not _is_number(given):
        return units.parse_rate(given)
    return _number(given)


def _time_s(given: Parameter) -> float:
    if isinstance(given, str):
        return units.parse_duration(given) / NS_PER_S
    return _number(given)


def _level(given: Parameter) -> tuple[float, float]:
    parts = _items(given, ":")
    if len(parts) != 2:
        raise UsageError(f"{given!r} is not a rate and how long it lasts: write 10/s:30s")
    return _rate_per_s(parts[0]), _time_s(parts[1])


def _items(given: Parameter, separator: str) -> Sequence[Any]:
    if isinstance(given, str):
        return [part.strip() for part in given.split(separator)]
    if isinstance(given, list | tuple):
        return given
    raise UsageError(f"{given!r} is not a list")


def _number(given: object) -> float:
    if isinstance(given, str) and _is_number(given):
        return float(given)
    if isinstance(given, int | float | np.number) and not isinstance(given, bool):
        return float(given)
    raise UsageError(f"{given!r} is not a number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _choice(given: Parameter, choices: Sequence[str]) -> str:
    if given not in choices:
        raise UsageError(f"{given!r} is not one of {', '.join(choices)}")
    return str(given)


def _text(name: str, value: Any, digits: int | None) -> str:
    if name == "levels":
        return "+".join(f"{_digits(rate, digits)}:{_digits(time_s, digits)}s" for rate, time_s in value)
    if isinstance(value, tuple):
        return "+".join(_digits(item, digits) for item in value)
    if isinstance(value, str):
        return value
    return _digits(value, digits) + ("s" if name.endswith("_s") and not name.endswith("_per_s") else "")


def _digits(value: float, digits: int | None) -> str:
    """Without an exponent: units take none."""
    return np.format_float_positional(value, digits, fractional=False, trim="-")


# ---- messages ------------------------------------------------------------------------------------


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of {', '.join(names)}"


def _parameters_of(fields: Iterable[msgspec.structs.FieldInfo]) -> str:
    """Their names, those that may be left out in brackets."""
    return ", ".join(each.encode_name if each.required else f"[{each.encode_name}]" for each in fields)
