"""When to send: absolute instants, each request once, in order, never early, nothing re-anchored."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streambox.loadgen import pacer as pacer_module
from streambox.loadgen.pacer import Pacer


def pacer_of(*instants_ns: int) -> Pacer:
    return Pacer(np.array(instants_ns, np.int64))


def take_due(pacer: Pacer, elapsed_ns: int) -> list[int]:
    taken = []
    while pacer.due(elapsed_ns):
        taken.append(pacer.take())
    return taken


def test_nothing_is_due_before_its_instant_and_everything_at_it():
    pacer = pacer_of(10, 20)
    assert not pacer.due(9)
    assert pacer.due(10)
    assert pacer.next_ns == 10


def test_all_that_is_due_goes_out_and_the_next_is_waited_for():
    pacer = pacer_of(0, 10, 10, 30)
    assert take_due(pacer, 15) == [0, 1, 2]
    assert (pacer.index, pacer.next_ns) == (3, 30)


def test_a_late_request_does_not_delay_the_next_one():
    pacer = pacer_of(0, 10, 20)
    assert take_due(pacer, 1_000) == [0, 1, 2]


def test_after_the_last_nothing_is_ever_due():
    pacer = pacer_of(1)
    take_due(pacer, 1)
    assert pacer.next_ns is None
    assert not pacer.due(10**18)


def test_an_empty_schedule_has_nothing_due():
    assert pacer_of().next_ns is None


def test_a_stopped_pacer_gives_nothing_more_but_remembers_how_far_it_was():
    pacer = pacer_of(0, 1, 2)
    pacer.take()
    pacer.stop()
    assert not pacer.due(10)
    assert pacer.index == 1


@given(
    st.lists(st.integers(0, 1000), max_size=60).map(sorted),
    st.lists(st.integers(0, 300), max_size=60),
    st.integers(1, 7),
)
def test_whatever_the_delays_each_goes_out_once_in_order_and_as_soon_as_the_clock_allows(
    instants, delays, chunk
):
    """A virtual clock that wakes late by *delays*; the schedule is read in chunks of any size."""
    whole = pacer_module._CHUNK
    pacer_module._CHUNK = chunk
    try:
        pacer = Pacer(np.array(instants, np.int64))
        sent, now, late = [], 0, iter(delays)
        while pacer.next_ns is not None:
            now = max(now, pacer.next_ns) + next(late, 0)
            sent += [(index, now) for index in take_due(pacer, now)]
    finally:
        pacer_module._CHUNK = whole
    assert [index for index, _ in sent] == list(range(len(instants)))
    for index, sent_at in sent:
        assert sent_at >= instants[index]
    on_time = dict(sent)
    wakes = sorted(set(on_time.values()))
    for index, sent_at in sent:  # no earlier wake-up had passed it by
        assert not any(instants[index] <= wake < sent_at for wake in wakes)
