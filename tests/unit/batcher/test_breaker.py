from streambox.batcher import PendingRequest
from streambox.batcher.breaker import THRESHOLD, Breaker, BreakerState
from streambox.batcher.counters import ModelCounters

HOLD_NS = 100


def opened(at_ns=0):
    breaker = Breaker(HOLD_NS)
    for _ in range(THRESHOLD):
        breaker.failed(at_ns)
    return breaker


def accepted():
    request = PendingRequest("m", lambda _: None)
    request.accept(ModelCounters(), 0, 1000)
    return request


def test_it_opens_after_five_failures_in_a_row_and_not_before():
    breaker = Breaker(HOLD_NS)
    states = []
    for _ in range(THRESHOLD):
        breaker.failed(0)
        states.append(breaker.state.name)
    assert states == ["CLOSED"] * 4 + ["OPEN"]
    assert (breaker.opened, repr(breaker)) == (1, "<Breaker OPEN, 5 failures in a row>")


def test_a_success_in_between_starts_the_count_anew():
    breaker = Breaker(HOLD_NS)
    for _ in range(10):
        for _ in range(THRESHOLD - 1):
            breaker.failed(0)
        breaker.succeeded()
    assert breaker.closed


def test_while_it_is_open_it_says_how_long_to_stay_away():
    breaker = opened(at_ns=50)
    assert [breaker.wait_ns(now_ns) for now_ns in (50, 149, 150)] == [100, 1, 0]


def test_one_request_may_try_and_all_others_wait_for_its_verdict():
    breaker = opened()
    breaker.probe_with(accepted())
    assert breaker.state is BreakerState.PROBING
    assert breaker.wait_ns(500) == HOLD_NS
    breaker.succeeded()
    assert (breaker.state, breaker.wait_ns(500)) == (BreakerState.CLOSED, 0)


def test_a_probe_that_fails_opens_it_for_as_long_again():
    breaker = opened()
    breaker.probe_with(accepted())
    breaker.failed(200)
    assert (breaker.state, breaker.opened) == (BreakerState.OPEN, 2)
    assert [breaker.wait_ns(now_ns) for now_ns in (200, 300)] == [100, 0]


def test_failures_of_what_still_ran_when_it_opened_are_not_further_openings():
    breaker = opened()
    breaker.failed(50)
    assert (breaker.opened, breaker.wait_ns(100)) == (1, 50)


def test_a_probe_whose_caller_left_makes_room_for_the_next():
    breaker = opened()
    probe = accepted()
    breaker.probe_with(probe)
    probe.cancel()
    assert breaker.wait_ns(500) == 0


def test_a_probe_that_was_not_accepted_after_all_makes_room_too():
    breaker = opened()
    breaker.probe_with(PendingRequest("m", lambda _: None))
    assert breaker.wait_ns(500) == 0
