import random

from streambox.batcher.retry_budget import RESERVE, RetryBudget


def test_a_reserve_is_there_to_begin_with():
    budget = RetryBudget()
    assert [budget.spend(1, 0) for _ in range(RESERVE + 1)] == [True] * RESERVE + [False]
    assert (budget.spent, budget.denied) == (RESERVE, 1)


def test_ten_requests_that_came_pay_for_one_that_runs_again():
    budget = RetryBudget()
    budget.spend(RESERVE, 0)
    assert [budget.spend(1, accepted) for accepted in (9, 10, 19, 20)] == [False, True, False, True]


def test_a_long_good_time_saves_up_no_more_than_the_reserve():
    budget = RetryBudget()
    assert budget.spend(RESERVE, 10**9)
    assert not budget.spend(1, 10**9)


def test_what_cannot_be_paid_as_a_whole_is_not_paid_in_part():
    budget = RetryBudget()
    assert not budget.spend(RESERVE + 1, 0)
    assert budget.spend(RESERVE, 0)


def test_retries_are_never_more_than_a_tenth_of_what_came_and_the_reserve():
    draw, budget, accepted = random.Random(0), RetryBudget(), 0
    for _ in range(10_000):
        accepted += draw.choice([0, 1, 50])
        budget.spend(draw.choice([1, 2, 32]), accepted)
        assert budget.spent <= RESERVE + accepted / 10
    assert budget.spent > 0.09 * accepted
