"""Lines redrawn in place, on a real pseudo-terminal where it matters."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import termios
import tty
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from streambox.loadgen.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator


def console_of(width: int = 40, height: int = 10, **options: object) -> Console:
    options = {"_environ": {"TERM": "xterm-256color"}, **options}
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    console.file.seek(0)
    console.file.truncate()
    return text


def lines(*texts: str) -> list[list[tuple[str, str]]]:
    return [[(text, "")] for text in texts]


class Glass:
    """What a terminal shows of what is written to it: as much of one as the screen needs."""

    def __init__(self, rows: int = 10) -> None:
        self.rows = [""] * rows
        self.row = self.column = 0

    def show(self, text: str) -> list[str]:
        for piece in re.findall(r"\x1b\[\??\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            self._take(piece)
        return [row.rstrip() for row in self.rows[: self.row + 1]]

    def _take(self, piece: str) -> None:
        if piece == "\r":
            self.column = 0
        elif piece == "\n":
            self.row += 1
        elif piece.startswith("\x1b["):
            self._obey(piece[2:-1], piece[-1])
        else:
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + piece + row[self.column + len(piece) :]
            self.column += len(piece)

    def _obey(self, number: str, letter: str) -> None:
        if letter == "A":
            self.row -= int(number)
            assert self.row >= 0
        elif letter == "K":
            assert number == "2"
            self.rows[self.row] = ""
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            self.rows[self.row + 1 :] = [""] * (len(self.rows) - self.row - 1)
        else:
            assert letter in "mhl"


def test_what_is_drawn_is_what_is_seen_however_it_changes() -> None:
    console, glass = console_of(), Glass()
    screen = Screen(console)
    for texts in (
        ["one", "two", "three"],
        ["one", "2", "three"],
        ["one", "2", "three", "four", "five"],
        ["uno"],
        ["uno", "due, which is longer"],
        ["uno", "due"],
    ):
        screen.draw(lines(*texts))
        assert glass.show(written(console)) == texts
        assert "".join(glass.rows[len(texts) :]) == ""
    screen.close()
    glass.show(written(console))
    assert "".join(glass.rows) == ""
    assert glass.row == 0


def test_only_what_has_changed_is_written_again() -> None:
    console = console_of()
    screen = Screen(console)
    screen.draw(lines("constant", "changing 1", "last"))
    written(console)
    screen.draw(lines("constant", "changing 2", "last"))
    again = written(console)
    assert "changing 2" in again
    assert "constant" not in again
    assert "last" in again  # where a key that somebody presses leaves its mark


def test_what_does_not_fit_is_cut_in_both_directions() -> None:
    console, glass = console_of(width=12, height=4), Glass()
    screen = Screen(console)
    screen.draw(lines("a line that is too long", "2", "3", "4", "5"))
    assert glass.show(written(console)) == ["a line tha…", "2", "3"]
    screen.close()


def test_after_a_change_of_the_terminals_size_all_is_drawn_again() -> None:
    console = console_of()
    screen = Screen(console)
    screen.draw(lines("constant", "last"))
    written(console)
    console.size = (20, 10)
    screen.draw(lines("constant", "last"))
    assert "constant" in written(console)


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_left_out_where_nobody_wants_them(environment: dict[str, str], coloured: bool) -> None:
    console = console_of(_environ={"TERM": "xterm-256color", **environment})
    screen = Screen(console)
    screen.draw([[("label", "label"), ("bar", "bar"), ("failed", "error")]])
    text = written(console)
    assert ("\x1b[36m" in text) == coloured
    assert ("\x1b[1;31m" in text) == coloured
    assert "\x1b[2mlabel" in text
    assert "\x1b[1mfailed" in text or coloured


def test_a_console_that_only_knows_ascii_gets_nothing_else() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=file, force_terminal=True, width=40, height=10, _environ={"TERM": "xterm"})
    screen = Screen(console)
    screen.draw(lines("▁▂█ 4 µs", "日"))
    screen.close()
    file.flush()
    assert b"..# 4 us" in file.buffer.getvalue()


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, Console]]:
    """The far end of a pseudo-terminal of 24 rows and 80 columns, and a console on the near one."""
    far, near = pty.openpty()
    tty.setraw(near)
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        with os.fdopen(near, "w") as file:
            yield far, Console(file=file, force_terminal=True, _environ={"TERM": "xterm", "COLUMNS": "80"})
    finally:
        os.close(far)


def test_a_real_terminal_gets_the_picture_and_its_cursor_back() -> None:
    with terminal() as (far, console):
        screen = Screen(console)
        screen.draw(lines("one", "two"))
        screen.close()
        seen = ""
        while "\x1b[?25h" not in seen:
            seen += os.read(far, 65_536).decode()
    assert seen == "\x1b[?25l\r\x1b[2Kone\r\n\x1b[2Ktwo\r\x1b[1A\x1b[J\x1b[?25h"


def test_a_terminal_that_takes_nothing_holds_nobody_up() -> None:
    with terminal() as (far, console):
        screen = Screen(console)
        for number in range(2000):  # far more than a terminal takes unread; blocked, this would not end
            screen.draw(lines(f"line {number:05} " + "." * 60, "last"))
        assert len(screen._unwritten) < 10_000
        seen = ""
        while "line 01999" not in seen:  # what was cut off goes on where it stopped, then comes the newest
            seen += os.read(far, 65_536).decode()
            screen.draw(lines("line 01999", "last"))
        os.set_blocking(far, False)
        with contextlib.suppress(BlockingIOError):
            seen += os.read(far, 1 << 20).decode()
        screen.close()
    assert Glass(2000).show(seen)[0].startswith("line 01999")


def test_a_terminal_that_has_gone_is_not_a_failure() -> None:
    with terminal() as (far, console):
        screen = Screen(console)
        screen.draw(lines("one"))
        other, _ = pty.openpty()
        os.dup2(other, far)  # closes the far end
        os.close(other)
        screen.draw(lines("two"))
        screen.close()


def test_what_the_caller_has_open_still_waits() -> None:
    with terminal() as (_, console):
        screen = Screen(console)
        assert os.get_blocking(console.file.fileno())
        screen.close()
