import pytest
import structlog

from streambox.batcher import PendingRequest, State
from streambox.batcher.counters import ModelCounters
from streambox.errors import BadRequest, DeadlineExceeded, RowFailed

ENDS = [
    (None, "COMPLETED", "completed", "no error: it was answered"),
    (RowFailed("no"), "FAILED", "failed", "the model refused its row"),
    (BadRequest("NaN"), "FAILED", "failed", "what it sent turned out unusable"),
    (DeadlineExceeded("late"), "EXPIRED", "expired", "its deadline passed"),
]


class Box:
    """Stands for a queue; keeps what left it."""

    def __init__(self):
        self.left = []

    def discard(self, request):
        self.left.append(request)


@pytest.fixture
def counters():
    return ModelCounters()


@pytest.fixture
def calls():
    return []


@pytest.fixture
def request_(counters, calls):
    made = PendingRequest("m", calls.append, "a", vector=[1.0])
    counters.received += 1
    made.accept(counters, now_ns=1000, timeout_ns=500)
    return made


@pytest.mark.parametrize(("error", "state", "counter", "why"), ENDS, ids=[row[-1] for row in ENDS])
def test_finish_ends_it_in_the_state_and_under_the_counter_of_its_error(
    request_, counters, calls, error, state, counter, why
):
    assert request_.finish(error)

    assert (request_.state.name, request_.error, calls) == (state, error, [request_])
    assert (getattr(counters, counter), counters.in_flight, counters.queued) == (1, 0, 0)
    assert counters.violations() == []


@pytest.mark.parametrize("first", ["finish", "cancel"])
@pytest.mark.parametrize("second", ["finish", "cancel"])
def test_only_the_first_end_counts(request_, counters, calls, first, second):
    getattr(request_, first)()
    before = (request_.state, list(calls))

    assert getattr(request_, second)() is False

    assert (request_.state, calls) == before
    assert counters.completed + counters.cancelled == 1
    assert counters.violations() == []


def test_a_cancelled_request_calls_nobody(request_, calls):
    assert request_.cancel()
    assert (request_.state, calls) == (State.CANCELLED, [])


def test_one_that_ends_in_a_queue_tells_the_queue(request_):
    request_.queue = box = Box()
    request_.cancel()
    assert box.left == [request_]


def test_one_that_ends_while_it_runs_is_no_longer_in_any_queue(request_, counters):
    request_.queue = box = Box()
    request_.state = State.DISPATCHED
    counters.queued -= 1
    request_.finish()
    assert (box.left, counters.queued) == ([], 0)


TIMEOUTS = [
    (None, 1500, "it brought none: the model's"),
    (200, 1200, "its own is shorter: its own"),
    (9000, 1500, "its own is longer: the model's, which bounds all"),
    (0, 1000, "it does not want to wait at all"),
]


@pytest.mark.parametrize(("own_ns", "deadline_ns", "why"), TIMEOUTS, ids=[row[-1] for row in TIMEOUTS])
def test_deadline_is_the_earlier_of_its_own_and_the_models(counters, own_ns, deadline_ns, why):
    request = PendingRequest("m", lambda _: None)
    request.timeout_ns = own_ns
    request.accept(counters, now_ns=1000, timeout_ns=500)
    assert (request.enqueued_ns, request.deadline_ns) == (1000, deadline_ns)


def test_a_callback_that_raises_is_logged_and_harms_nobody(counters):
    def broken(_):
        raise ZeroDivisionError

    request = PendingRequest("m", broken, "a")
    request.accept(counters, 0, 1)
    with structlog.testing.capture_logs() as logs:
        assert request.finish()
    assert (request.done, logs[0]["event"], logs[0]["request_id"]) == (True, "on_done raised", "a")


def test_repr_says_which_request_it_is_and_how_far_it_came(request_):
    assert repr(request_) == "<PendingRequest 'a' m rows=1 QUEUED>"
