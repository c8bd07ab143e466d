"""Student's t: how many standard errors an interval of a mean reaches, where the values are few."""

from __future__ import annotations

from typing import Final

# Two-sided, by degrees of freedom from 1.
_T95: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145),
    *(2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048),
    *(2.045, 2.042),
)
_T99: Final = (
    *(63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977),
    *(2.947, 2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763),
    *(2.756, 2.750),
)
_NORMAL95: Final = 1.959964
_NORMAL99: Final = 2.575829


def t95(degrees: int) -> float:
    return _T95[degrees - 1] if degrees <= len(_T95) else _expanded(_NORMAL95, degrees)


def t99(degrees: int) -> float:
    return _T99[degrees - 1] if degrees <= len(_T99) else _expanded(_NORMAL99, degrees)


def _expanded(z: float, degrees: int) -> float:
    """The first terms around the normal distribution's (Abramowitz and Stegun, 26.7.5): four digits."""
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
