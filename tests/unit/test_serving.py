"""What can be said of a configuration before anything is started."""

from __future__ import annotations

import sys

import pytest

from streambox.batcher import StreamBoxBatcher
from streambox.config import parse_config
from streambox.errors import ConfigError
from streambox.serving import batcher_factory

MODULE = """
from streambox.batcher import StreamBoxBatcher as Own
class Demanding(Own):
    def __init__(self, engine, more): ...
class Failing(Own):
    def __init__(self, engine):
        raise ValueError("no\\nway")
class Idle:
    def add_one(self, request): ...
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """What makes the Batcher that a configuration file beside the modules names."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, source in {
        "own_batcher": MODULE,
        "unreadable_batcher": "def (",
        "leaving_batcher": "import sys; sys.exit(3)",
        "raising_batcher": "\nraise RuntimeError('two\\nlines')",
    }.items():
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)

    def make(target: str):
        return batcher_factory(parse_config(f"batcher: {{class: '{target}'}}", str(tmp_path)))

    return make


def test_a_class_beside_the_file_is_found_and_made(factory):
    assert isinstance(factory("own_batcher:Own")(None), StreamBoxBatcher)


def test_our_own_needs_no_import_path_of_the_users(factory, tmp_path):
    assert isinstance(factory("streambox.batcher:StreamBoxBatcher")(None), StreamBoxBatcher)
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("absent_batcher:Own", "cannot load 'absent_batcher:Own': ModuleNotFoundError: No module named"),
        ("own_batcher:Nobody", "has no attribute 'Nobody'"),
        ("own_batcher:Idle", "'own_batcher:Idle' lacks set_time_window, set_batch_size, batch"),
        ("own_batcher:Demanding", "cannot make 'own_batcher:Demanding': TypeError: "),
        ("own_batcher:Failing", "ValueError: no way (own_batcher.py:7)"),
        ("unreadable_batcher:Own", "SyntaxError: "),
        ("leaving_batcher:Own", "SystemExit: 3"),
        ("raising_batcher:Own", "RuntimeError: two lines (raising_batcher.py:2)"),
        ("..relative:Own", "cannot load '..relative:Own': TypeError"),
    ],
)
def test_a_class_that_cannot_be_had_is_a_config_error_of_one_line(factory, target, reason):
    with pytest.raises(ConfigError) as caught:
        factory(target)(None)
    message = str(caught.value)
    assert message.startswith("batcher.class: ")
    assert reason in message
    assert "\n" not in message
