"""Lines at the foot of a terminal, redrawn in place."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from rich.text import Text

from streambox.loadgen.picture import STYLES, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from streambox.loadgen.picture import Line

_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"


class Screen:
    """
    Draws lines, then draws over them what has changed.

    It never waits for the terminal: one that takes nothing (Ctrl-S, a link that hangs)
    misses pictures, and holds up nobody. rich's Live draws a picture of this size in four
    times the time, most of it spent on finding out widths that are known.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._codes = {name: _codes(console, style) for name, style in STYLES.items()}
        self._ascii = console.options.ascii_only
        self._shown: list[str] = []
        self._size = console.size
        self._unwritten = b""
        self._terminal = _opened_again(console)
        self._write(_HIDE_CURSOR)

    def draw(self, lines: Sequence[Line]) -> None:
        """Show *lines*, cut to the terminal's size, in place of those before."""
        if not self._write():
            return
        size = self._console.size
        # A letter in the last column would leave the cursor between two lines.
        painted = [self._paint(line, size.width - 1) for line in lines[: max(1, size.height - 1)]]
        frame = [self._to_top()]
        if size != self._size:
            frame.append("\x1b[J")
            self._size, self._shown = size, []
        for number, text in enumerate(painted):
            frame.append("\r\n" if number else "")
            # The cursor stays in the last line, where a key that is pressed leaves its mark.
            if number >= len(self._shown) or text != self._shown[number] or number == len(painted) - 1:
                frame.append(f"\x1b[2K{text}")
        if len(painted) < len(self._shown):
            frame.append("\x1b[J")
        self._shown = painted
        self._write("".join(frame))

    def close(self) -> None:
        """Take everything away, and give the cursor back. This may wait: the run is over."""
        terminal, last = self._terminal, f"{self._to_top()}\x1b[J{_SHOW_CURSOR}"
        self._shown = []
        if terminal is not None:
            os.set_blocking(terminal, True)
        self._write(last)
        if terminal is not None:
            os.close(terminal)
            self._terminal = None

    def _to_top(self) -> str:
        above = len(self._shown) - 1
        return f"\r\x1b[{above}A" if above > 0 else "\r"

    def _paint(self, line: Line, width: int) -> str:
        codes = self._codes
        return "".join(
            f"{codes[style][0]}{text}{codes[style][1]}"
            for text, style in fit(line, width, ascii_only=self._ascii)
        )

    def _write(self, text: str = "") -> bool:
        """Whether all of it, and all before it, has been taken."""
        if self._terminal is None:
            self._console.file.write(text)
            self._console.file.flush()
            return True
        self._unwritten += text.encode(self._console.encoding, "replace")
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._terminal, self._unwritten) :]
        except BlockingIOError:
            return False
        except OSError:  # the terminal has gone: there is nobody to show anything to
            self._unwritten = b""
        return True


def _codes(console: Console, style: str) -> tuple[str, str]:
    """What *console* puts before and after a text in *style*: it knows of colours, and of NO_COLOR."""
    with console.capture() as captured:
        console.print(Text("x", style=style), end="")
    before, _, after = captured.get().partition("x")
    return before, after


def _opened_again(console: Console) -> int | None:
    """
    The console's terminal, opened so that writing to it never waits; None where that cannot be.

    What the console has open is shared with whoever started us, so it must stay as it is.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        name = os.ttyname(console.file.fileno())
        return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return None
