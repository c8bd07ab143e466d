"""
The configuration: one YAML file, typed.

Which file: ``--config``, else ``$CONFIG_FILE``, else ``$SERVERLESS_ENV.yaml``; none: the
defaults. ``${VAR}`` and ``${VAR:default}`` are filled in from the environment. An unknown
key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_type_hints

import msgspec
import yaml

from streambox.errors import ConfigError, UsageError
from streambox.units import Duration, Size, format_duration, format_size, parse_duration, parse_size

_MS: Final = 1_000_000
_S: Final = 1_000_000_000
_MIB: Final = 1024**2


class _Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Common to all sections: a key nobody reads is an error, not a silence."""


class GinSection(_Section, frozen=True):
    """The reference's name for the server section."""

    port: int | None = None


class LoadGeneratorSection(_Section, frozen=True):
    """Defaults for ``streambox load``; the command line wins. ``multipile`` is the reference's spelling."""

    host: str = "localhost"
    port: int | None = None
    path: str = "/api/batcher"
    type: Literal["bursty", "periodic", "sporadic"] | None = None
    multiple: float | None = None
    multipile: float | None = None
    len: int | None = None
    gap_time: int | None = None
    lap_time: int | None = None
    time_unit: Duration | None = None
    seed: int | None = None
    model: str | None = None
    timeout: Duration | None = None


class BatcherSection(_Section, frozen=True, rename={"class_": "class"}):
    """
    The server and the defaults of every model.

    ``policy`` says when a batch leaves: ``window``, ``eager``, ``slo``, or a class of
    one's own. ``max_queue_size`` counts requests per model, ``max_batch_size`` rows.
    ``request_timeout`` is how long a caller is kept at most. ``class`` names a user's
    own implementation of the ``Batcher`` interface, as ``package.module:Class``.
    ``drain_timeout`` bounds a shutdown; ``drain_delay`` keeps the listener open that
    long after readiness has turned false. The ``*_limit`` and ``*_timeout`` keys bound
    what one connection may send, ``max_buffered_bytes`` what all of them hold together.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    policy: str = "window"
    time_window: Duration = Duration(100 * _MS)
    max_batch_size: int = 32
    max_queue_size: int = 10_000
    request_timeout: Duration = Duration(60 * _S)
    class_: str = "streambox.batcher:StreamBoxBatcher"
    drain_timeout: Duration = Duration(30 * _S)
    drain_delay: Duration = Duration(0)
    json_body_limit: Size = Size(16 * _MIB)
    binary_body_limit: Size = Size(64 * _MIB)
    header_limit: Size = Size(64 * 1024)
    header_timeout: Duration = Duration(10 * _S)
    body_timeout: Duration = Duration(30 * _S)
    idle_timeout: Duration = Duration(75 * _S)
    max_buffered_bytes: Size = Size(1024 * _MIB)


class TensorSection(_Section, frozen=True):
    """One input or output of a ``python`` model; ``shape[0]`` is the row axis, -1."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelSection(_Section, frozen=True):
    """
    One model. Unset batching keys take the ``batcher`` section's.

    ``executor: onnx`` needs ``path`` or ``builtin``; ``executor: python`` needs
    ``callable``, ``inputs`` and ``outputs``. ``instances`` is the number of worker
    processes, ``threads`` the inference threads of each. ``preprocess: tile`` repeats
    a short reference vector until it fills the model's input. ``slo`` is the deadline
    of a request that brings none: one that cannot be met is refused at once.
    """

    executor: Literal["onnx", "python"] = "onnx"
    path: str | None = None
    builtin: Literal["digits", "resnet50"] | None = None
    callable: str | None = None
    inputs: tuple[TensorSection, ...] = ()
    outputs: tuple[TensorSection, ...] = ()
    preprocess: Literal["tile"] | None = None
    policy: str | None = None
    slo: Duration | None = None
    time_window: Duration | None = None
    max_batch_size: int | None = None
    max_queue_size: int | None = None
    request_timeout: Duration | None = None
    instances: int = 1
    threads: int = 1


class LogSection(_Section, frozen=True):
    """Structured logs on standard error: ``console`` for people, ``json`` for machines."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(_Section, frozen=True):
    """
    The whole configuration. ``models`` None means the built-in ones.

    ``folder`` is where relative paths and callables resolve from: the file's own.
    """

    gin: GinSection = GinSection()
    load_generator: LoadGeneratorSection = LoadGeneratorSection()
    batcher: BatcherSection = BatcherSection()
    models: dict[str, ModelSection] | None = None
    log: LogSection = LogSection()
    folder: str = "."

    @property
    def port(self) -> int:
        for port in (self.batcher.port, self.gin.port):
            if port is not None:
                return port
        return 8080


def find_config(option: Path | None = None) -> Path | None:
    """The file to read, by the rule above; None: defaults."""
    if option is not None:
        return option
    if os.environ.get("CONFIG_FILE"):
        return Path(os.environ["CONFIG_FILE"])
    if os.environ.get("SERVERLESS_ENV"):
        return Path(os.environ["SERVERLESS_ENV"] + ".yaml")
    return None


def load_config(path: Path | None = None) -> Config:
    """
    Read, expand, check and convert the configuration.

    Raises:
        ConfigError: names the file, the key and, for an unknown key, the nearest known one.
    """
    found = find_config(path)
    if found is None:
        return Config()
    try:
        return parse_config(_read(found), folder=str(found.resolve().parent))
    except ConfigError as error:
        raise ConfigError(f"{found}: {error}") from None


def parse_config(text: str, folder: str = ".") -> Config:
    """As ``load_config``, from YAML text."""
    tree = _expand(_parse_yaml(text))
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"expected sections such as 'batcher:' at the top, got {type(tree).__name__}")
    tree = {key: section for key, section in tree.items() if section is not None}  # all of it commented out
    if "folder" in tree:
        raise _unknown_key("folder", "folder", set(Config.__struct_fields__) - {"folder"})
    _check_keys(tree, Config, "")
    try:
        config = msgspec.convert(tree, Config, dec_hook=_convert_unit)
    except msgspec.ValidationError as error:
        raise _invalid_model(tree) or ConfigError(_plain(error)) from None
    _check_values(config)
    return msgspec.structs.replace(config, folder=folder)


def show_config(config: Config) -> str:
    """*config* with all its defaults, as YAML that ``parse_config`` reads back."""
    tree = msgspec.to_builtins(config, enc_hook=_show_unit)
    del tree["folder"]
    if tree["models"] is None:
        del tree["models"]
    return yaml.safe_dump(_without_none(tree), sort_keys=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file: name an existing one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}") from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, which takes the last of two equal keys in silence; this one does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{where}not valid YAML: {problem}") from None


# ---- ${VAR} --------------------------------------------------------------------------------------

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


def _expand(node: Any) -> Any:
    """Fill in variables in every string; one that is nothing but a variable is read as YAML (a port)."""
    if isinstance(node, dict):
        return {key: _expand(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_expand(value) for value in node]
    if not isinstance(node, str) or "${" not in node:
        return node
    filled = _VARIABLE.sub(_lookup, node)
    return _parse_yaml(filled) if _VARIABLE.fullmatch(node) else filled


def _lookup(match: re.Match[str]) -> str:
    name, default = match.groups()
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigError(f"${{{name}}} is not set in the environment: set it, or write ${{{name}:default}}")
    return value


# ---- units and checks ----------------------------------------------------------------------------


def _convert_unit(kind: type, value: Any) -> Any:
    try:
        if kind is Duration:
            return Duration(parse_duration(value))
        if kind is Size:
            return Size(parse_size(value))
    except UsageError as error:
        raise ValueError(str(error)) from None
    raise TypeError(
        f"no conversion to {kind.__name__}"
    )  # pragma: no cover - a section with a new kind of field


def _show_unit(value: Any) -> str:
    return format_duration(value) if isinstance(value, Duration) else format_size(value)


def _check_keys(node: Any, section: Any, where: str) -> None:
    """Walk *node* beside its type; refuse the first key that its section does not have."""
    struct = _struct_of(section)
    if struct is not None and isinstance(node, dict):
        hints = get_type_hints(struct)
        known = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))
        for key, value in node.items():
            path = f"{where}.{key}" if where else str(key)
            if key not in known:
                raise _unknown_key(str(key), path, set(known))
            _check_keys(value, hints[known[key]], path)
        return
    inner = next((arg for arg in get_args(section) if _contains_struct(arg)), None)
    if inner is None:
        return
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(node, dict) and not isinstance(key, str):
            raise ConfigError(f"{where}.{key}: a name is text: write {str(key)!r} in quotes")
        _check_keys(value, _value_type(inner), f"{where}.{key}")


def _invalid_model(tree: dict[str, Any]) -> ConfigError | None:
    """The first model that is at fault, by its name, which msgspec does not give."""
    models = tree.get("models")
    for name, section in models.items() if isinstance(models, dict) else ():
        try:
            msgspec.convert(section, ModelSection, dec_hook=_convert_unit)
        except msgspec.ValidationError as error:
            return ConfigError(_plain(error, f"models.{name}"))
    return None


def _struct_of(section: Any) -> Any:
    return section if isinstance(section, type) and issubclass(section, msgspec.Struct) else None


def _contains_struct(section: Any) -> bool:
    return _struct_of(section) is not None or any(_contains_struct(arg) for arg in get_args(section))


def _value_type(section: Any) -> Any:
    """The element type of ``dict[str, T]`` or ``tuple[T, ...]``; a struct is its own."""
    if _struct_of(section) is not None:
        return section
    return next(_value_type(arg) for arg in get_args(section) if _contains_struct(arg))


def _unknown_key(key: str, path: str, known: set[str]) -> ConfigError:
    nearest = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys here: {', '.join(sorted(known))}"
    return ConfigError(f"unknown key {path!r}: {hint}")


POLICIES: Final = ("window", "eager", "slo")
_POSITIVE: Final = (
    "max_batch_size",
    "max_queue_size",
    "request_timeout",
    "json_body_limit",
    "binary_body_limit",
    "header_limit",
    "header_timeout",
    "body_timeout",
    "idle_timeout",
    "max_buffered_bytes",
)


def _check_values(config: Config) -> None:
    for name in ("gin", "batcher", "load_generator"):
        value = getattr(config, name).port
        if value is not None and not 0 <= value <= 65535:
            raise ConfigError(f"{name}.port: {value} is not a port, 0 to 65535")
    if not all(config.batcher.class_.partition(":")):
        raise ConfigError(f"batcher.class: {config.batcher.class_!r} must read 'module:Class'")
    _check_positive("batcher", config.batcher, _POSITIVE)
    _check_policy("batcher.policy", config.batcher.policy)
    for name, model in (config.models or {}).items():
        where = f"models.{name}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise ConfigError(f"{where}: a model's name is letters, digits, '_', '.' and '-'")
        _check_positive(
            where,
            model,
            ("max_batch_size", "max_queue_size", "request_timeout", "slo", "instances", "threads"),
        )
        _check_policy(f"{where}.policy", model.policy)
        _check_source(where, model)


def _check_policy(where: str, policy: str | None) -> None:
    if policy is not None and policy not in POLICIES and not all(policy.partition(":")):
        raise ConfigError(f"{where}: {policy!r} is none of {', '.join(POLICIES)}, nor 'module:Class'")


def _check_positive(where: str, section: _Section, keys: tuple[str, ...]) -> None:
    for key in keys:
        value = getattr(section, key)
        if value is not None and value < 1:
            raise ConfigError(f"{where}.{key}: must be at least 1, got {value}")


def _check_source(where: str, model: ModelSection) -> None:
    if model.executor == "python":
        missing = next((key for key in ("callable", "inputs", "outputs") if not getattr(model, key)), None)
        if missing:
            raise ConfigError(f"{where}.{missing}: a python executor needs it")
        if ":" not in (model.callable or ""):
            raise ConfigError(f"{where}.callable: {model.callable!r} must read 'module:callable'")
        for kind in ("inputs", "outputs"):
            for index, tensor in enumerate(getattr(model, kind)):
                if tensor.shape[:1] != (-1,):
                    raise ConfigError(
                        f"{where}.{kind}.{index}.shape: the first dimension counts rows: write it as -1"
                    )
    elif (model.path is None) == (model.builtin is None):
        raise ConfigError(f"{where}: an onnx executor needs either 'path' or 'builtin'")
    unread = {"python": ("path", "builtin", "preprocess"), "onnx": ("callable", "inputs", "outputs")}
    for key in unread[model.executor]:
        if getattr(model, key):
            raise ConfigError(f"{where}.{key}: a model with executor {model.executor!r} has no use for it")


def _plain(error: msgspec.ValidationError, where: str = "") -> str:
    """msgspec's ``message - at `$.batcher.port``` with the key first, as our other messages have it."""
    message, _, path = str(error).partition(" - at `$")
    key = (where + re.sub(r"\[(\d+)\]", r".\1", path.rstrip("`"))).lstrip(".")
    return f"{key}: {message[0].lower()}{message[1:]}" if key else message


def _without_none(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_none(value) for key, value in node.items() if value is not None}
    return node
