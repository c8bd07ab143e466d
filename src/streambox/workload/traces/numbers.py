"""Times and counts as traces write them, read exactly: whole nanoseconds, by decimal arithmetic."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from streambox.workload.traces.base import BadRow

MOST_NS: Final = 2**62
_MOST_DIGITS: Final = 19
_NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1)  # UTC, as is all that it is compared with
_DAY_S: Final = 86_400
_DATE_TIME: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}")
_OFFSET: Final = re.compile(rb"[+-][0-9]{2}:[0-5][0-9]")

SECONDS: Final = 9  # decimal places between the unit and the nanosecond
MILLISECONDS: Final = 6
MICROSECONDS: Final = 3


def whole_ns(text: bytes, places: int, what: str) -> int:
    """
    The decimal *text* × 10^*places*, exactly, what is below a nanosecond cut off.

    Raises BadRow, naming it as *what*, for anything but a number from 0 to MOST_NS.
    """
    whole, _, fraction = text.partition(b".")
    plain = whole.isdigit() and (fraction.isdigit() or text == whole)
    if not plain or len(whole) > _MOST_DIGITS:
        return _unusual_ns(text, places, what)
    value = int(whole + fraction[:places].ljust(places, b"0"))
    if value > MOST_NS:
        raise BadRow(f"{what} is {shown(text)}: too large for a time")
    return value


def _unusual_ns(text: bytes, places: int, what: str) -> int:
    """Signs, blanks, exponents, and what is no number at all."""
    value = _decimal(text)
    if value is None:
        raise BadRow(f"{what} is {shown(text)}: expected a number")
    if value < 0:
        raise BadRow(f"{what} is {shown(text)}: negative")
    # Of a huge exponent the digits are not even to be written out.
    if value and (value.adjusted() > _MOST_DIGITS or (value := value.scaleb(places)) > MOST_NS):
        raise BadRow(f"{what} is {shown(text)}: too large for a time")
    return int(value)


def date_time_ns(text: bytes) -> int:
    """
    ``2024-05-10 00:00:00.009930+00:00`` as ns from 1970 on; T for the blank, Z for the offset.

    Without an offset it is UTC. What is below a nanosecond is cut off. Raises BadRow.
    """
    fraction, offset_s = _split_offset(text[19:])
    if fraction and not (fraction.startswith(b".") and fraction[1:].isdigit()):
        raise _no_date(text)
    ns = (_seconds(text[:19]) - offset_s) * _NS_PER_S + int(fraction[1:10].ljust(9, b"0"))
    if abs(ns) > MOST_NS:
        raise BadRow(f"the timestamp is {shown(text)}: more than a century from 1970")
    return ns


@lru_cache(maxsize=256)
def _seconds(text: bytes) -> int:
    """Since 1970; neighbouring rows are often of the same second."""
    try:
        if not _DATE_TIME.fullmatch(text):
            raise _no_date(text)
        passed = datetime.fromisoformat(text.decode()) - _EPOCH
    except ValueError:
        raise _no_date(text) from None
    return passed.days * _DAY_S + passed.seconds


def _split_offset(rest: bytes) -> tuple[bytes, int]:
    """What stands behind the seconds, without the offset from UTC, and that in s."""
    if rest.endswith(b"Z"):
        return rest[:-1], 0
    if rest[-6:-5] in (b"+", b"-"):
        return rest[:-6], _offset_s(rest[-6:])
    return rest, 0


@lru_cache(maxsize=64)
def _offset_s(text: bytes) -> int:
    if not _OFFSET.fullmatch(text):
        raise BadRow(f"the offset {shown(text)} is not like +00:00")
    offset_s = int(text[1:3]) * 3600 + int(text[4:6]) * 60
    return -offset_s if text.startswith(b"-") else offset_s


def _no_date(text: bytes) -> BadRow:
    return BadRow(f"the timestamp is {shown(text)}: expected one like 2024-05-10 00:00:00.0099300")


def date_time(ns: int) -> str:
    """What ``date_time_ns`` reads as *ns*."""
    seconds, fraction = divmod(ns, _NS_PER_S)
    moment = _EPOCH + timedelta(seconds=seconds)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{digits}"


def whole_count(text: bytes, what: str, most: int) -> int:
    """A count from 0 to *most*, which may be written ``12.0``. Raises BadRow."""
    plain = text.isdigit() and len(text) <= _MOST_DIGITS
    count = int(text) if plain else _unusual_count(text, what)
    if count > most:
        raise BadRow(f"{what} is {shown(text)}: the most is {most:.0e}")
    return count


def _unusual_count(text: bytes, what: str) -> int:
    value = _decimal(text)
    if value is None or value < 0 or value != value.to_integral_value():
        raise BadRow(f"{what} is {shown(text)}: expected a whole number from 0")
    return int(value) if value.adjusted() <= _MOST_DIGITS else 10**_MOST_DIGITS


def _decimal(text: bytes) -> Decimal | None:
    """None: no number, or not a finite one."""
    try:
        value = Decimal(text.replace(b"_", b"?").decode("ascii"))  # 1_000 is Python's own
    except (InvalidOperation, UnicodeDecodeError):
        return None
    return value if value.is_finite() else None


def shown(text: bytes) -> str:
    """*text* as a message may show it: on one line, and not at length."""
    line = text.decode("utf-8", "backslashreplace")
    return repr(line if len(line) <= 40 else f"{line[:37]}…")
