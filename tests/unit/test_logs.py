"""What the command line logs, in a process of its own: logging is configured once for all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, structlog
from streambox.config import LogSection
from streambox.logs import configure_logs
configure_logs(LogSection(format={format!r}))
structlog.get_logger("ours").info("begun", model="m")
logging.getLogger("uvicorn.error").error("%s of theirs", "one line")
logging.getLogger("uvicorn.error").info("not worth a line")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("asyncio").exception("odd \\ud800")
print("done")
"""


def run(form: str, stderr: int) -> subprocess.CompletedProcess[bytes]:
    script = SCRIPT.format(format=form)
    return subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=stderr, timeout=30)


def test_what_libraries_log_is_json_too_one_object_a_line():
    lines = [json.loads(line) for line in run("json", subprocess.PIPE).stderr.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "begun"),
        ("error", "one line of theirs"),
        ("error", "odd \ud800"),
    ]
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_on_a_console_every_line_has_its_level():
    text = run("console", subprocess.PIPE).stderr.decode()
    assert "[info     ] begun" in text
    assert "[error    ] one line of theirs" in text


FAILING = """
import sys, structlog
sys.stderr.isatty = lambda: True
from streambox.config import LogSection
from streambox.logs import configure_logs
configure_logs(LogSection(format={format!r}))
def look_up(headers):
    raise RuntimeError("a fault of ours")
try:
    look_up([bytes.fromhex("7362785f736563726574")])
except RuntimeError as error:
    structlog.get_logger("ours").error("request failed", exc_info=error)
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_is_logged_without_what_its_variables_held(form):
    """On a terminal, too: it may be a key."""
    command = [sys.executable, "-c", FAILING.format(format=form)]
    log = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=30).stderr
    assert "a fault of ours" in log
    assert "sbx_secret" not in log


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("fate", ["its disk is full", "its reader has gone"])
def test_a_log_that_cannot_be_written_interrupts_nobody(form, fate):
    if fate == "its disk is full":
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full here")
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stderr = os.pipe()
        os.close(reader)
    try:
        finished = run(form, stderr)
    finally:
        os.close(stderr)
    assert (finished.returncode, finished.stdout) == (0, b"done\n")
