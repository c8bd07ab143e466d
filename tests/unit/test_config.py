from pathlib import Path
from typing import get_args

import pytest

from streambox.config import Config, Datatype, find_config, load_config, parse_config, show_config
from streambox.errors import ConfigError
from streambox.protocol.datatypes import NUMPY_BY_NAME

MS, S, MIB = 1_000_000, 1_000_000_000, 1024**2
REFERENCE = """
gin:
  port: 8080
load_generator:
  port: 8080
  host: localhost
  path: /api/batcher
"""
PYTHON_MODEL = """
models:
  double:
    executor: python
    callable: "null_model:double"
    time_window: 1.5ms
    inputs: [{name: vector, datatype: FP32, shape: [-1, 4]}]
    outputs: [{name: output, datatype: FP32, shape: [-1, 4]}]
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("CONFIG_FILE", "SERVERLESS_ENV", "PORT", "HOST", "WINDOW"):
        monkeypatch.delenv(name, raising=False)


def fault(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- what it says --------------------------------------------------------------------------------


def test_the_defaults_are_the_references():
    config = load_config()
    batcher = config.batcher
    assert (config.port, batcher.time_window, batcher.max_batch_size) == (8080, 100 * MS, 32)
    assert config.models is None


def test_the_references_own_file_works_unchanged():
    config = parse_config(REFERENCE)
    assert config.port == 8080
    section = config.load_generator
    assert (section.port, section.host, section.path) == (8080, "localhost", "/api/batcher")


PORTS = [
    ("", 8080, "neither"),
    ("gin: {port: 81}", 81, "the reference's"),
    ("batcher: {port: 82}", 82, "ours"),
    ("gin: {port: 81}\nbatcher: {port: 82}", 82, "both: ours"),
    ("batcher: {port: 0}", 0, "0 asks for any free one"),
]


@pytest.mark.parametrize(("text", "port", "why"), PORTS, ids=[row[-1] for row in PORTS])
def test_the_port_is_ours_then_the_references_then_8080(text, port, why):
    assert parse_config(text).port == port


def test_quantities_come_with_their_units():
    config = parse_config("batcher: {time_window: 5ms, request_timeout: 2s, json_body_limit: 1MiB}")
    batcher = config.batcher
    assert (batcher.time_window, batcher.request_timeout, batcher.json_body_limit) == (5 * MS, 2 * S, MIB)


def test_the_class_of_the_batcher_is_called_class():
    assert parse_config('batcher: {class: "mine:Own"}').batcher.class_ == "mine:Own"


def test_a_python_model_in_full():
    model = parse_config(PYTHON_MODEL).models["double"]
    assert (model.callable, model.time_window, model.inputs[0].shape) == (
        "null_model:double",
        1_500_000,
        (-1, 4),
    )


def test_a_tensor_is_of_any_datatype_that_the_protocol_names():
    assert get_args(Datatype) == tuple(NUMPY_BY_NAME)


@pytest.mark.parametrize("text", ["", "# nothing\n", "batcher:\n", "batcher:\n  # port: 81\nmodels:\n"])
def test_what_is_empty_or_commented_out_is_the_default(text):
    assert parse_config(text) == Config()


@pytest.mark.parametrize(
    "text", ["", REFERENCE, PYTHON_MODEL, "models: {d: {builtin: digits, time_window: 0s}}"]
)
def test_what_show_prints_reads_back_the_same(text):
    config = parse_config(text)
    assert parse_config(show_config(config)) == config


# ---- what it refuses -----------------------------------------------------------------------------

FAULTS = [
    ("batcher: {time_windw: 5ms}", "unknown key 'batcher.time_windw': did you mean 'time_window'?"),
    ("bacther: {}", "unknown key 'bacther': did you mean 'batcher'?"),
    ("batcher: {class_: 'a:b'}", "unknown key 'batcher.class_': did you mean 'class'?"),
    ("gin: {xyzzy: 1}", "unknown key 'gin.xyzzy': known keys here: port"),
    (
        "folder: x",
        "unknown key 'folder': known keys here: batcher, gin, load_generator, log, models, tenants",
    ),
    ("models: {d: {biltin: digits}}", "unknown key 'models.d.biltin': did you mean 'builtin'?"),
    (
        "models: {d: {executor: python, callable: 'a:b', inputs: [{nme: x}]}}",
        "unknown key 'models.d.inputs.0.nme': did you mean 'name'?",
    ),
    ("batcher: {time_window: 5}", "batcher.time_window: 5 has no unit: write a duration as 5ms, 1.5s, 2m"),
    ("batcher: {max_batch_size: many}", "batcher.max_batch_size: expected `int`, got `str`"),
    ("batcher: {max_batch_size: true}", "batcher.max_batch_size: expected `int`, got `bool`"),
    ("batcher: {max_batch_size: 0}", "batcher.max_batch_size: must be at least 1, got 0"),
    ("models: {d: {builtin: digits, instances: 0}}", "models.d.instances: must be at least 1, got 0"),
    ("models: {d: {builtin: digits, threads: x}}", "models.d.threads: expected `int`, got `str`"),
    ("models: {a: {builtin: digits}, d: }", "models.d: expected `object`, got `null`"),
    ("gin: {port: 65536}", "gin.port: 65536 is not a port, 0 to 65535"),
    ("load_generator: {port: -1}", "load_generator.port: -1 is not a port, 0 to 65535"),
    ("batcher: {class: Own}", "batcher.class: 'Own' must read 'module:Class'"),
    ("models: {d: {}}", "models.d: an onnx executor needs either 'path' or 'builtin'"),
    (
        "models: {d: {path: a, builtin: digits}}",
        "models.d: an onnx executor needs either 'path' or 'builtin'",
    ),
    ("models: {d: {executor: python}}", "models.d.callable: a python executor needs it"),
    (
        PYTHON_MODEL.replace("null_model:double", "double"),
        "models.double.callable: 'double' must read 'module:callable'",
    ),
    (
        PYTHON_MODEL.replace("[-1, 4]", "[4]", 1),
        "models.double.inputs.0.shape: the first dimension counts rows: write it as -1",
    ),
    (
        "models: {d: {builtin: digits, callable: 'a:b'}}",
        "models.d.callable: a model with executor 'onnx' has no use for it",
    ),
    ("models: {1: {builtin: digits}}", "models.1: a name is text: write '1' in quotes"),
    (
        "models: {'a b': {builtin: digits}}",
        "models: 'a b': a model's name is letters, digits, '_', '.' and '-'",
    ),
    (
        'models: {"a\\n": {threads: x}}',
        "models: 'a\\n': a model's name is letters, digits, '_', '.' and '-'",
    ),
    ("models: {}", "models: names none: name one, or leave the section out for the built-in ones"),
    ("models: [1]", "models: expected `object`, got `array`"),
    ("batcher: {port: '80'}", "batcher.port: expected `int`, got `str`"),
    ("log: {level: loud}", "log.level: 'loud' is none of debug, info, warning, error"),
    ("models: {d: {builtin: digit}}", "models.d.builtin: 'digit' is none of digits, resnet50"),
    ("models: {d: {path: ''}}", "models.d: an onnx executor needs either 'path' or 'builtin'"),
    ("batcher: {host: ''}", "batcher.host: must not be empty: 0.0.0.0 stands for every address"),
    (
        PYTHON_MODEL.replace("null_model:double", ":"),
        "models.double.callable: ':' must read 'module:callable'",
    ),
    (
        PYTHON_MODEL.replace("FP32", "FP33", 1),
        "models.double.inputs.0.datatype: 'FP33' is none of BOOL, UINT8, UINT16, UINT32, UINT64, "
        "INT8, INT16, INT32, INT64, FP16, FP32, FP64",
    ),
    (
        PYTHON_MODEL.replace("[-1, 4]", "[-1, 0]", 1),
        "models.double.inputs.0.shape: a dimension is a number from 1, or -1 for any: [-1, 0]",
    ),
    (
        PYTHON_MODEL.replace("outputs: [", "outputs: [{name: output, datatype: FP32, shape: [-1]}, "),
        "models.double.outputs.1.name: given twice",
    ),
    (PYTHON_MODEL.replace("name: vector", "name: ''"), "models.double.inputs.0.name: must not be empty"),
    (
        "models: {d: {builtin: digits, pad_to: [8, 33]}}",
        "models.d.pad_to: 33 is not from 1 to the maximum batch size, 32",
    ),
    (
        "models: {d: {builtin: digits, max_batch_size: 4, preferred_batch_size: [0, 4]}}",
        "models.d.preferred_batch_size: 0 is not from 1 to the maximum batch size, 4",
    ),
    (
        "models: {d: {builtin: digits, pad_to: 8}}",
        "models.d.pad_to: expected `array`, got `int`",
    ),
    (
        "models: {d: {builtin: digits, max_request_rows: 0}}",
        "models.d.max_request_rows: must be at least 1, got 0",
    ),
    ("a: &a [*a]", "nested too deeply, or an alias refers to what it is a part of"),
    ("just words", "expected sections such as 'batcher:' at the top, got str"),
    ("a: [", "line 1: not valid YAML: expected the node content, but found '<stream end>'"),
    ("a: 1\nb: *x", "line 2: not valid YAML: found undefined alias 'x'"),
    ("\0", "not valid YAML: unacceptable character #x0000: special characters are not allowed"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[row[1][:60] for row in FAULTS])
def test_a_fault_is_one_line_that_names_the_key(text, message):
    assert fault(text) == message


# ---- ${VAR} --------------------------------------------------------------------------------------


def test_variables_are_filled_in_from_the_environment(monkeypatch):
    monkeypatch.setenv("PORT", "81")
    monkeypatch.setenv("HOST", "example.org")
    config = parse_config("batcher: {port: '${PORT}', host: 'api.${HOST}', time_window: '${WINDOW:5ms}'}")
    assert (config.port, config.batcher.host, config.batcher.time_window) == (81, "api.example.org", 5 * MS)


def test_the_environment_wins_over_the_default(monkeypatch):
    monkeypatch.setenv("PORT", "81")
    assert parse_config("gin: {port: '${PORT:80}'}").port == 81
    assert parse_config("gin: {port: '${PORTS:80}'}").port == 80


def test_an_unset_variable_without_a_default_is_an_error():
    assert fault("gin: {port: '${PORT}'}") == (
        "gin.port: ${PORT} is not set in the environment: set it, or write ${PORT:default}"
    )
    assert fault(PYTHON_MODEL.replace("name: vector", "name: '${PORT}'")).startswith(
        "models.double.inputs.0.name: ${PORT} is not set"
    )


@pytest.mark.parametrize("text", ["${1A}", "${PORT", "${PORT:${HOST:x}}", "a${}b", "${PORT-80}"])
def test_what_looks_like_a_variable_and_is_none_is_an_error(text):
    assert fault(f"batcher: {{host: '{text}'}}") == (
        f"batcher.host: '{text}' is not a variable: write ${{NAME}} or ${{NAME:default}}"
    )


def test_a_variables_value_that_is_no_yaml_is_an_error_that_names_the_key(monkeypatch):
    monkeypatch.setenv("HOST", "[")
    assert fault("batcher: {host: '${HOST}'}").startswith("batcher.host: line 1: not valid YAML")


def test_a_variables_value_is_not_expanded_again(monkeypatch):
    monkeypatch.setenv("HOST", "${PORT}")
    assert parse_config("batcher: {host: 'x${HOST}'}").batcher.host == "x${PORT}"


# ---- which file ----------------------------------------------------------------------------------

FILES = [
    ({}, None, None, "nothing named: the defaults"),
    ({"CONFIG_FILE": "a.yaml"}, None, "a.yaml", "$CONFIG_FILE"),
    ({"SERVERLESS_ENV": "prod"}, None, "prod.yaml", "$SERVERLESS_ENV.yaml"),
    ({"CONFIG_FILE": "a.yaml", "SERVERLESS_ENV": "prod"}, None, "a.yaml", "$CONFIG_FILE comes first"),
    ({"CONFIG_FILE": "a.yaml"}, "b.yaml", "b.yaml", "--config comes before all"),
    ({"CONFIG_FILE": "", "SERVERLESS_ENV": ""}, None, None, "set but empty is as good as unset"),
]


@pytest.mark.parametrize(("environment", "option", "found", "why"), FILES, ids=[row[-1] for row in FILES])
def test_the_file_is_the_options_then_the_environments(monkeypatch, environment, option, found, why):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_config(option and Path(option)) == (found and Path(found))


def test_a_file_is_read_with_its_folder_for_relative_paths(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("gin: {port: 81}")
    config = load_config(file)
    assert (config.port, config.folder) == (81, str(tmp_path))


UNREADABLE = [
    (None, "no such file: name an existing one with --config"),
    (b"gin: {prt: 1}", "unknown key 'gin.prt': did you mean 'port'?"),
    (b"\xff\xfe\xff", "cannot be read: "),
]


@pytest.mark.parametrize(("content", "message"), UNREADABLE)
def test_a_fault_in_a_file_names_the_file(tmp_path, content, message):
    file = tmp_path / "c.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_a_key_given_twice_is_an_error_that_names_line_and_key() -> None:
    with pytest.raises(ConfigError, match=r"line 2: .*'port' is given twice"):
        parse_config("batcher:\n  {port: 1, port: 2}\n")


@pytest.mark.parametrize("key", ["header_timeout: 0s", "json_body_limit: 0B", "max_buffered_bytes: 0B"])
def test_a_limit_of_nothing_would_serve_nobody(key: str) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        parse_config(f"batcher: {{{key}}}")
