"""A few of the storms of ``make simulate``."""

from __future__ import annotations

import pytest
import structlog

from storm import EVENTS, Storm

SEEDS = 120


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_every_law_holds_in_every_storm(first):
    with structlog.testing.capture_logs():
        for seed in range(first, first + 20):
            storm = Storm(seed)
            storm.run()
            assert storm.events >= EVENTS
            assert storm.bench.ended or storm.answers


def test_a_broken_law_is_seen():
    storm = Storm(5)
    served = storm.bench.served[storm.models[0]]
    served.running += 1
    with structlog.testing.capture_logs(), pytest.raises(AssertionError, match="leaked"):
        storm.run()
