"""Student's t, against the tables."""

from __future__ import annotations

import pytest

from streambox.loadgen.student import t95, t99


@pytest.mark.parametrize(
    ("degrees", "wide", "wider"),
    [
        (1, 12.706, 63.657),
        (4, 2.776, 4.604),
        (30, 2.042, 2.750),
        (31, 2.0395, 2.7440),
        (60, 2.0003, 2.6603),
        (10**6, 1.96, 2.5758),
    ],
)
def test_students_t_is_that_of_the_tables(degrees, wide, wider):
    assert t95(degrees) == pytest.approx(wide, abs=4e-4)
    assert t99(degrees) == pytest.approx(wider, abs=7e-4)


def test_it_falls_with_the_degrees_of_freedom_to_the_normal_distributions():
    for t in (t95, t99):
        values = [t(degrees) for degrees in range(1, 200)]
        assert values == sorted(values, reverse=True)
