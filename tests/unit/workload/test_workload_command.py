"""``streambox workload generate|plot``."""

from __future__ import annotations

import pytest

from commands import call_workload as call
from streambox.errors import UsageError
from streambox.workload import generate, get_workload, read_counts


def test_a_generated_file_is_the_seeded_pattern_in_the_references_format(tmp_path):
    printed = call("generate", "--type", "bursty", "--seed", 4, "--out", tmp_path / "bursty-load.txt")
    counts = generate("bursty", 1440, 4)
    assert read_counts(tmp_path / "bursty-load.txt") == counts
    assert get_workload(1, 1440, 2000, 0, "bursty", tmp_path) == counts
    assert "1,440 time units" in printed
    assert f"{sum(counts):,} requests" in printed


def test_a_generated_file_takes_the_references_parameters(tmp_path):
    path = tmp_path / "x.txt"
    call("generate", "--type", "periodic", "--len", 30, "--gap-time", 10, "--lap-time", 5, "--out", path)
    assert len(read_counts(path)) == 45
    call("generate", "--type", "periodic", "--len", 30, "--multipile", 0.5, "--out", path)
    assert read_counts(path) == [int(count * 0.5) for count in generate("periodic", 30, 0)]


def test_a_file_after_its_parameters_is_the_references_list(tmp_path):
    (tmp_path / "bursty-load.txt").write_text(" ".join(map(str, generate("bursty", 400, 2))))
    options = ["--multipile", 0.3, "--len", 300, "--gap-time", 20, "--lap-time", 80]
    printed = call("generate", tmp_path / "bursty-load.txt", *options)
    assert [int(count) for count in printed.split()] == get_workload(0.3, 300, 20, 80, "bursty", tmp_path)


def test_a_file_and_a_built_in_pattern_are_drawn(tmp_path):
    (tmp_path / "x.txt").write_text("0 5 0 9")
    call("plot", tmp_path / "x.txt", "--out", tmp_path / "file.html")
    call("plot", "--type", "sporadic", "--len", 50, "--out", tmp_path / "built-in.html")
    for name in ("file.html", "built-in.html"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>")
        assert "Plotly" in page


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["generate", "--out", "x"], "--type"),
        (["generate", "here.txt", "--type", "bursty"], "either"),
        (["generate", "no-such.txt"], "no such workload file"),
        (["plot", "--out", "x"], "either"),
        (["plot", "here.txt", "--type", "bursty", "--out", "x"], "either"),
        (["plot", "no-such.txt", "--out", "x"], "no such workload file"),
        (["generate", "--type", "bursty", "--gap-time", "0", "--out", "x"], "gap_time"),
        (["generate", "--type", "bursty", "--out", "/dev/null/x"], "cannot be written"),
        (["plot", "--type", "bursty", "--len", "5", "--out", "/dev/null/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=named) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_len_past_the_end_of_a_file_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("1 2 3")
    with pytest.raises(UsageError, match="only 3 time units"):
        call("plot", tmp_path / "x.txt", "--len", 4, "--out", tmp_path / "x.html")


def test_without_out_the_pattern_goes_to_the_standard_output():
    printed = call("generate", "--type", "periodic", "--len", 20, "--seed", 3)
    assert printed == " ".join(map(str, generate("periodic", 20, 3))) + "\n"
