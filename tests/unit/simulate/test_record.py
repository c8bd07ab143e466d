"""Records of decisions as files, and the command that reads them."""

from __future__ import annotations

import errno
import sys

import pytest
import structlog
from click.testing import CliRunner

from streambox.commands.simulate import simulate
from streambox.errors import UsageError
from streambox.simulate.record import Record, RecordFile, whole_lines


def test_what_is_written_is_there_after_a_flush_and_whole_after_the_end(tmp_path):
    path = tmp_path / "record"
    file = RecordFile(path)
    record = Record(file.write)
    assert path.read_bytes() == b""
    file.flush()
    assert path.read_bytes().startswith(b'["version",4,{"streambox":')
    record.line("now", 7)
    file.close()
    assert path.read_bytes().endswith(b'["now",7]\n["end"]\n')


def test_a_long_record_is_written_as_it_grows(tmp_path):
    path = tmp_path / "record"
    file = RecordFile(path)
    for _ in range(3):
        file.write(b"x" * 40_000 + b"\n")
    assert path.stat().st_size == 80_002
    file.close()


def test_a_disk_that_is_full_ends_the_record_and_nothing_else(tmp_path):
    path = tmp_path / "record"
    file = RecordFile(path)
    file.write(b"one\n")
    file.flush()

    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    file._file.close()
    file._file = Full()
    file.write(b"two\n")
    file.flush()
    assert file.broken
    file.write(b"three\n")
    file.close()
    assert path.read_bytes() == b"one\n"


def test_a_line_without_an_end_is_no_line():
    assert list(whole_lines([b"a\n", b"b\n", b"c"])) == [b"a\n", b"b\n"]


@pytest.fixture
def replay(monkeypatch):
    """The command, which silences the core's log and looks for modules in a folder."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = structlog.get_config()
    yield lambda file: CliRunner().invoke(simulate, ["replay", str(file)], catch_exceptions=False)
    structlog.configure(**before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "no line of a record"),
        (b"PAR1\x00", "no line of a record"),
        (b'["version",1]\n', "a record of another format, \\[1\\]: this release reads 4"),
        (
            b'["version",4,{"streambox":"0","python":"3","batcher":"absent:Own","shared":false}]\n',
            "cannot load 'absent:Own'",
        ),
        (b'["version",4,{"batcher":"own"}]\n', "damaged"),
    ],
)
def test_what_is_no_record_is_told_on_one_line(content, message, tmp_path, replay):
    file = tmp_path / "record"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=message) as told:
        replay(file)
    assert "\n" not in str(told.value)


def test_a_record_of_nothing_is_the_same(tmp_path, replay):
    file = RecordFile(tmp_path / "record")
    Record(file.write)
    file.close()
    assert replay(tmp_path / "record").output == "same: 0 decisions\n"
