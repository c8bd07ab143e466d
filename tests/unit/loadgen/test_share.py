"""How a schedule is shared: evenly, whatever part of it one looks at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streambox.loadgen.share import WHOLE, Share


@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 60))
def test_of_any_requests_in_a_row_every_share_has_as_many_give_or_take_one(of, first, count):
    burst = range(first, first + count)
    shares = [sum(index % of == number for index in burst) for number in range(of)]
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 9), st.integers(0, 60))
def test_the_parts_of_a_total_add_up_and_are_the_indices_that_the_shares_have(of, total):
    shares = [Share(number, of) for number in range(of)]
    assert sum(share.part_of(total) for share in shares) == total
    indices = [share.index(position) for share in shares for position in range(share.part_of(total))]
    assert sorted(indices) == list(range(total))


@given(st.integers(1, 5), st.integers(0, 9), st.integers(0, 9))
def test_rows_are_the_indices_of_so_many_requests(of, first, more):
    for number in range(of):
        share = Share(number, of)
        rows = range(200)[share.rows(first, first + more)]
        assert list(rows) == [share.index(position) for position in range(first, first + more)]


def test_the_whole_is_a_share_too():
    assert (WHOLE.index(5), WHOLE.part_of(5), WHOLE.rows(1, 3)) == (5, 5, slice(1, 3, 1))
