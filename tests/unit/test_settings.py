"""Single settings from the command line, over those of the file."""

from __future__ import annotations

import pytest

from streambox.config import load_config, parse_config
from streambox.errors import ConfigError
from streambox.settings import apply_settings, setting_path

MS = 1_000_000
FILE = """
batcher: {time_window: 100ms, max_batch_size: 8}
models: {digits: {builtin: digits}, my.model: {path: m.onnx}}
"""


def test_a_setting_stands_in_place_of_the_files_and_the_rest_stays():
    config = parse_config(FILE, settings=["batcher.time_window=5ms", "models.digits.instances=2"])
    assert (config.batcher.time_window, config.batcher.max_batch_size) == (5 * MS, 8)
    assert (config.models["digits"].instances, config.models["digits"].builtin) == (2, "digits")


def test_of_two_the_last_wins():
    assert parse_config("", settings=["batcher.port=1", "batcher.port=2"]).batcher.port == 2


def test_a_section_that_the_file_does_not_have_is_made_and_the_file_left_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "c.yaml"
    file.write_text("gin: {port: 81}\n")
    assert load_config(file, ["batcher.max_batch_size=4"]).batcher.max_batch_size == 4
    assert file.read_text() == "gin: {port: 81}\n"
    for name in ("CONFIG_FILE", "SERVERLESS_ENV"):
        monkeypatch.delenv(name, raising=False)
    assert load_config(settings=["batcher.max_batch_size=4"]).batcher.max_batch_size == 4


def test_a_models_name_may_have_dots():
    assert setting_path("models.my.model.instances") == ["models", "my.model", "instances"]
    assert parse_config(FILE, settings=["models.my.model.instances=3"]).models["my.model"].instances == 3


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("batcher.time_windw=5ms", "unknown key 'batcher.time_windw': did you mean 'time_window'"),
        ("batcher.time_window=5", "has no unit"),
        ("batcher.time_window", "is no setting: write one such as batcher.time_window=5ms"),
        ("port=5", "is no setting"),
        ("batcher.=5", "is no setting"),
        ("batcher.port.x=5", "'port' holds a value, and no keys"),
        ("batcher.port=[", "not valid YAML"),
        ("models.digits.instances=0", "must be at least 1"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_reason(setting, reason):
    with pytest.raises(ConfigError) as caught:
        parse_config("batcher: {port: 80}\nmodels: {digits: {builtin: digits}}", settings=[setting])
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_tree_that_was_read_is_not_changed():
    tree = {"batcher": {"port": 80}}
    assert apply_settings(tree, ["batcher.port=81"]) == {"batcher": {"port": 81}}
    assert tree == {"batcher": {"port": 80}}
