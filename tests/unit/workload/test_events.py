"""What sources give."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.events import Events, superpose


def events(instants, function=None, functions=("f",), duration_ns=100):
    calls = np.zeros(len(instants), np.int32) if function is None else np.array(function, np.int32)
    return Events(np.array(instants, np.int64), calls, functions, duration_ns)


def test_counts_per_unit_cover_the_whole_duration():
    assert events([0, 9, 10, 35], duration_ns=45).counts_per_unit(10).tolist() == [2, 1, 0, 1, 0]


def test_a_unit_of_nothing_is_refused():
    with pytest.raises(UsageError, match="at least 1 ns"):
        events([0]).counts_per_unit(0)


def test_arrivals_of_one_function_end_with_the_last_where_nothing_else_is_said():
    assert Events.of(np.array([3, 8], np.int64)).duration_ns == 9
    assert Events.of(np.empty(0, np.int64)).duration_ns == 0


def test_a_functions_own_arrivals():
    assert events([1, 2, 3], [0, 1, 0], ("a", "b")).of_function(0).tolist() == [1, 3]


def test_superposed_sources_keep_their_order_and_share_their_names():
    together = superpose(
        [events([1, 5], [0, 1], ("a", "b")), events([2, 5], [0, 0], ("b",), duration_ns=200)]
    )
    assert together.instants_ns.tolist() == [1, 2, 5, 5]
    assert [together.functions[f] for f in together.function] == ["a", "b", "b", "b"]
    assert together.duration_ns == 200


def test_nothing_cannot_be_superposed():
    with pytest.raises(UsageError, match="at least one source"):
        superpose([])
