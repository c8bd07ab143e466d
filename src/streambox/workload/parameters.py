"""
Frozen structs that people write as text: ``gamma:rate=100,cv=3``, ``scale:2``.

A struct's fields are its parameters. A field's name ends in its unit, ``_per_s`` or ``_s``;
users know it by its encoded name (``rate`` for ``rate_per_s``).
"""

from __future__ import annotations

import difflib
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
)

import msgspec
import numpy as np

from streambox import units
from streambox.errors import UsageError
from streambox.workload.arrivals import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Parameter = float | str | Sequence[Any]

LONGEST_NS: Final = 2**62


class Range(NamedTuple):
    """The values a parameter may take: low < value < high, or from *low* on where it is *closed*."""

    low: float
    high: float
    unit: str = ""
    closed: bool = False

    def holds(self, value: float) -> bool:
        return (value >= self.low if self.closed else value > self.low) and value < self.high

    def __str__(self) -> str:
        least = f"of {self.low:g} or more" if self.closed else f"above {self.low:g}"
        return f"{least} and below {self.high:g}{self.unit}"


RATE: Final = Range(0, 1e9, "/s")
RATE_OR_NONE: Final = Range(0, 1e9, "/s", closed=True)
TIME: Final = Range(0, LONGEST_NS / NS_PER_S, " s")
TIME_OR_NONE: Final = Range(0, LONGEST_NS / NS_PER_S, " s", closed=True)


class Named(msgspec.Struct, frozen=True):
    """Something with a name and parameters. A constructor raises UsageError naming the parameter."""

    name: ClassVar[str] = ""

    def _check(self, allowed: Range, **values: float) -> None:
        """Raises UsageError for the first of *values*, by a parameter's name, that is outside."""
        for parameter, value in values.items():
            if not allowed.holds(value):
                raise self._wrong(parameter, f"is {value:g}{allowed.unit}: give a number {allowed}")

    def _wrong(self, parameter: str, problem: str) -> UsageError:
        # A trailing underscore keeps a parameter's name apart from Python's words: from_.
        return UsageError(f"{self.name}: {parameter.rstrip('_')} {problem}")


AnyNamed = TypeVar("AnyNamed", bound=Named)


class Family(Generic[AnyNamed]):
    """
    All the structs of one *kind*, by name, and how they are read and written.

    Args:
        kind: What one of them is, for messages: ``arrival process``.
        members: The structs.
        example: One of them as text.
        bare: Whether the first parameter may be given without its name, ``scale:2``.
    """

    def __init__(
        self, kind: str, members: Sequence[type[AnyNamed]], example: str, *, bare: bool = False
    ) -> None:
        self._kind, self._example, self._bare = kind, example, bare
        self.members: Mapping[str, type[AnyNamed]] = {each.name: each for each in members}

    def make(self, name: str, parameters: Mapping[str, Parameter]) -> AnyNamed:
        """
        The member *name* with *parameters*.

        A number is per second where the parameter is a rate, and seconds where it is a time;
        text may have a unit (``500/s``, ``10s``, ``5ms``), and a time written as text needs one.

        Raises UsageError for an unknown name, a parameter that it does not take, one that is
        missing, or a value that it cannot have.
        """
        made = self._member(name)
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

    def parse(self, text: str) -> AnyNamed:
        """
        ``name:parameter=value,…``. A list's items are joined by ``+``, the parts of an item by ``:``.

        Raises UsageError; see ``make``.
        """
        name, _, rest = text.strip().partition(":")
        name = name.strip()
        parts = [part for part in rest.split(",") if part]
        if self._bare and parts and "=" not in parts[0]:
            parts[0] = f"{self._first_parameter(name)}={parts[0]}"
        parameters: dict[str, Parameter] = {}
        for part in parts:
            key, equals, value = (side.strip() for side in part.partition("="))
            if not equals or not key or not value:
                raise UsageError(f"{part!r} in {text!r} is not parameter=value: write {self._example}")
            if key in parameters:
                raise UsageError(f"{key!r} is in {text!r} twice")
            parameters[key] = value
        return self.make(name, parameters)

    def format(self, member: AnyNamed, digits: int | None = None) -> str:
        """
        The text that ``parse`` reads as *member*; what is as the default is left out.

        *digits*: of each number; None: all, though times are read to the nanosecond.
        """
        given = [each for each in msgspec.structs.fields(type(member)) if _is_given(each, member)]
        texts = {each.encode_name: _text(each.name, getattr(member, each.name), digits) for each in given}
        parts = [f"{parameter}={text}" for parameter, text in texts.items()]
        if self._bare and list(texts) == [self._first_parameter(member.name)] and parts[0].count("=") == 1:
            parts = list(texts.values())
        return f"{member.name}:{','.join(parts)}" if parts else member.name

    def _member(self, name: str) -> type[AnyNamed]:
        if name not in self.members:
            raise UsageError(f"no {self._kind} {name!r}: {_nearest(name, self.members)}")
        return self.members[name]

    def _first_parameter(self, name: str) -> str:
        fields = msgspec.structs.fields(self._member(name))
        return fields[0].encode_name if fields else ""


def _is_given(each: msgspec.structs.FieldInfo, member: Named) -> bool:
    return each.required or getattr(member, each.name) != each.default


# ---- values --------------------------------------------------------------------------------------


def _value(member: str, each: msgspec.structs.FieldInfo, given: Parameter) -> Any:
    """*given* as the field takes it."""
    origin = get_origin(each.type)
    try:
        if origin is Literal:
            return _choice(given, get_args(each.type))
        if origin is tuple:
            pairs = get_origin(get_args(each.type)[0]) is tuple
            return tuple(_level(item) if pairs else _number(item) for item in _items(given, "+"))
        plain = get_args(each.type) or (each.type,)  # of ``float | None``, both
        if str in plain:
            return str(given)
        return _whole(given) if int in plain else _quantity(each.name, given)
    except UsageError as error:
        raise UsageError(f"{member}: {each.encode_name}: {error}") from None


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


def _whole(given: Parameter) -> int:
    number = _number(given)
    if not number.is_integer():
        raise UsageError(f"{given!r} is not a whole number")
    return int(number)


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
