"""When to send: absolute instants, each request once, in order, never early, nothing re-anchored."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streambox.loadgen.pacer import NEVER_NS, Pacer
from streambox.loadgen.share import WHOLE, Share


def pacer_of(*instants_ns: int, share: Share = WHOLE) -> Pacer:
    return Pacer(np.array(instants_ns, np.int64), share)


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
    assert pacer.next_ns == NEVER_NS
    assert not pacer.due(10**18)


def test_an_empty_schedule_has_nothing_due():
    assert pacer_of().next_ns == NEVER_NS


def test_a_stopped_pacer_gives_nothing_more_but_remembers_how_far_it_was():
    pacer = pacer_of(0, 1, 2)
    pacer.take()
    pacer.stop()
    assert not pacer.due(10)
    assert pacer.index == 1


def test_a_share_is_every_so_manieth_request_and_goes_out_at_its_own_instant():
    pacer = pacer_of(0, 10, 20, 30, 40, share=Share(1, 3))
    assert not pacer.due(9)
    assert take_due(pacer, 10) == [1]
    assert pacer.next_ns == 40
    assert take_due(pacer, 100) == [4]


@given(
    st.lists(st.integers(0, 1000), max_size=60).map(sorted),
    st.lists(st.integers(0, 300), max_size=60),
    st.integers(1, 7),
)
def test_whatever_the_delays_each_goes_out_once_in_order_and_as_soon_as_the_clock_allows(
    instants, delays, workers
):
    """A virtual clock that wakes late by *delays*, once for each of the workers that share the schedule."""
    on_time = {}
    for number in range(workers):
        pacer = pacer_of(*instants, share=Share(number, workers))
        sent, now, late = [], 0, iter(delays)
        while pacer.next_ns != NEVER_NS:
            now = max(now, pacer.next_ns) + next(late, 0)
            sent += [(index, now) for index in take_due(pacer, now)]
        assert [index for index, _ in sent] == list(range(number, len(instants), workers))
        on_time |= dict(sent)
        wakes = sorted({sent_at for _, sent_at in sent})
        for index, sent_at in sent:  # no earlier wake-up had passed it by
            assert not any(instants[index] <= wake < sent_at for wake in wakes)
    assert sorted(on_time) == list(range(len(instants)))
    assert all(sent_at >= instants[index] for index, sent_at in on_time.items())
