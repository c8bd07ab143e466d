"""One number for each way in which requests end, the same for all who share the file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streambox.loadgen.kinds import MOST_KINDS, OTHER, OWN_KINDS, KindTable


@pytest.fixture(params=[False, True], ids=["in memory", "in a file"])
def table(request, tmp_path):
    return KindTable(tmp_path / "kinds" if request.param else None)


def test_our_own_kinds_come_first_and_a_new_one_gets_the_next_number(table):
    assert table.names == OWN_KINDS
    assert table.number("ok") == 0
    assert table.number("http_500") == table.number("http_500") == len(OWN_KINDS)
    assert table.names[-1] == "http_500"


def test_beyond_the_most_kinds_every_new_one_is_the_other(table):
    for number in range(MOST_KINDS + 5):
        table.number(f"http_500:{number}")
    assert len(table.names) == MOST_KINDS
    assert table.number("http_599") == OWN_KINDS.index(OTHER)
    assert table.number("http_500:0") == len(OWN_KINDS)


def test_two_who_share_a_file_agree_on_every_number(tmp_path):
    ours, theirs = KindTable(tmp_path / "kinds"), KindTable(tmp_path / "kinds")
    assert ours.number("http_500") == theirs.number("http_500")
    assert theirs.number("http_503") == ours.number("http_503")
    assert ours.names == theirs.names == (*OWN_KINDS, "http_500", "http_503")


def test_who_comes_later_finds_what_there_is(tmp_path):
    KindTable(tmp_path / "kinds").number("http_500:größe")
    assert KindTable(tmp_path / "kinds").names[-1] == "http_500:größe"


def test_processes_that_find_new_kinds_at_once_agree(tmp_path):
    script = (
        "import sys; from pathlib import Path; from streambox.loadgen.kinds import KindTable\n"
        "table = KindTable(Path(sys.argv[1]))\n"
        "print(*[table.number(f'http_{n}') for n in range(int(sys.argv[2]), 100)])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "kinds")]
    processes = [
        subprocess.Popen([*command, str(first)], stdout=subprocess.PIPE, text=True) for first in (0, 50)
    ]
    all_of_them, half_of_them = (process.communicate()[0].split() for process in processes)
    assert all_of_them[50:] == half_of_them
    assert len(set(all_of_them)) == 100
    assert len(KindTable(tmp_path / "kinds").names) == len(OWN_KINDS) + 100


def test_a_name_that_no_record_can_hold_is_cut_and_stays_one_kind(tmp_path):
    ours, theirs = KindTable(tmp_path / "kinds"), KindTable(tmp_path / "kinds")
    for name in ("ä" * 100, "nul\0nul", "end\0"):
        assert ours.number(name) == theirs.number(name)
    assert len(ours.names) == len(OWN_KINDS) + 3


def test_room_for_all_of_them_is_taken_beforehand(tmp_path):
    table = KindTable(tmp_path / "kinds")
    size = (tmp_path / "kinds").stat().st_size
    for number in range(300):
        table.number(f"http_500:{number}")
    assert (tmp_path / "kinds").stat().st_size == size
