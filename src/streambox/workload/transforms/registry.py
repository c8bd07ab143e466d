"""Transforms by name, from text: ``scale:2``, ``cut:from=1h,to=2h``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.workload.parameters import Family
from streambox.workload.transforms.amount import Copies, Scale, Superpose, Thin
from streambox.workload.transforms.reshape import GapCv, Thumbnail
from streambox.workload.transforms.timing import Cut, Lap, Length, Warp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streambox.workload.transforms.base import Transform

_CLASSES: Final[tuple[type[Transform], ...]] = (
    *(Scale, Thin, Copies, Superpose),
    *(Warp, Cut, Length, Lap),
    *(Thumbnail, GapCv),
)
_FAMILY: Final[Family[Transform]] = Family("transform", _CLASSES, "lap:gap=20s,lap=80s", bare=True)
TRANSFORMS: Final = _FAMILY.members


def parse_transform(text: str) -> Transform:
    """
    ``name:parameter=value,…``; the first parameter may go without its name. Raises UsageError.

    ``scale:2``, ``warp:10``, ``cut:from=1h,to=2h``, ``len:300s``, ``lap:gap=20s,lap=80s``, ``thin:0.1``,
    ``copies:3,shift=10s``, ``superpose:other-load.txt``, ``thumbnail:10m,rate=50/s``, ``cv:3``.
    """
    return _FAMILY.parse(text)


def parse_transforms(texts: Iterable[str]) -> tuple[Transform, ...]:
    """In the order in which they are to be applied. Raises UsageError."""
    return tuple(parse_transform(text) for text in texts)


def format_transform(transform: Transform) -> str:
    """The text that ``parse_transform`` reads as *transform*; what is as the default is left out."""
    return _FAMILY.format(transform)
