"""
The configuration: one YAML file, typed.

Which file: ``--config``, else ``$CONFIG_FILE``, else ``$SERVERLESS_ENV.yaml``; none: the
defaults. ``${VAR}`` and ``${VAR:default}`` are filled in from the environment. An unknown
key is an error that names the nearest known one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import msgspec
import yaml

from streambox.errors import ConfigError
from streambox.sections import (
    Section,
    check_keys,
    convert_unit,
    expand,
    parse_yaml,
    plain_message,
    show_unit,
)
from streambox.settings import apply_settings
from streambox.tenancy import TenantSection, check_tenants, masked
from streambox.units import Duration, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

_MS: Final = 1_000_000
_S: Final = 1_000_000_000
_MIB: Final = 1024**2


Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"
]
Builtin = Literal["digits", "resnet50"]
BUILTIN_NAMES: Final[tuple[str, ...]] = get_args(Builtin)


class GinSection(Section, frozen=True):
    """The reference's name for the server section."""

    port: int | None = None


class LoadGeneratorSection(Section, frozen=True):
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


class TlsSection(Section, frozen=True):
    """
    HTTPS on the server's port: files in PEM, ``certificate`` with those that it is signed by.

    SIGHUP has them read again; open connections stay. Files that are no use change nothing.
    """

    certificate: str
    key: str


class BatcherSection(Section, frozen=True, rename={"class_": "class"}):
    """
    The server and the defaults of every model.

    ``policy`` says when a batch leaves: ``window``, ``eager``, ``slo``, or a class of
    one's own. ``max_queue_size`` counts requests per model, ``max_batch_size`` rows.
    A request of more rows runs in several batches, up to ``max_request_rows``; unset: 1024,
    or the maximum batch size where that is more.
    ``request_timeout`` is how long a caller is kept at most. ``class`` names a user's
    own implementation of the ``Batcher`` interface, as ``package.module:Class``.
    ``drain_timeout`` bounds a shutdown; ``drain_delay`` keeps the listener open that
    long after readiness has turned false. The ``*_limit`` and ``*_timeout`` keys bound
    what one connection may send, ``max_buffered_bytes`` what all of them hold together.
    With ``tls`` the port speaks HTTPS, and nothing else.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    policy: str = "window"
    time_window: Duration = Duration(100 * _MS)
    max_batch_size: int = 32
    max_queue_size: int = 10_000
    max_request_rows: int | None = None
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
    tls: TlsSection | None = None


class TensorSection(Section, frozen=True):
    """One input or output of a ``python`` model; ``shape[0]`` is the row axis, -1."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


class ModelSection(Section, frozen=True):
    """
    One model. Unset batching keys take the ``batcher`` section's.

    ``executor: onnx`` needs ``path`` or ``builtin``; ``executor: python`` needs
    ``callable``, ``inputs`` and ``outputs``. ``instances`` is the number of worker
    processes, ``threads`` the inference threads of each. ``preprocess: tile`` repeats
    a short reference vector until it fills the model's input. ``slo`` is the deadline
    of a request that brings none: one that cannot be met is refused at once.
    ``preferred_batch_size`` lists sizes that a batch leaves with as soon as it has one of
    them; ``pad_to`` sizes that a batch is filled up to, unseen by its callers.
    ``preserve_ordering``: answers leave in the order in which the requests were accepted.

    ``idempotent: false``: no row is ever run twice; what failed together ends together.
    ``finite_outputs: true``: an answer with a NaN or an infinity in it is not passed on. An
    input that has failed by itself twice is refused for as long as ``quarantine`` says; ``0s``: never.
    """

    executor: Literal["onnx", "python"] = "onnx"
    path: str | None = None
    builtin: Builtin | None = None
    callable: str | None = None
    inputs: tuple[TensorSection, ...] = ()
    outputs: tuple[TensorSection, ...] = ()
    preprocess: Literal["tile"] | None = None
    policy: str | None = None
    slo: Duration | None = None
    time_window: Duration | None = None
    max_batch_size: int | None = None
    preferred_batch_size: tuple[int, ...] = ()
    pad_to: tuple[int, ...] = ()
    preserve_ordering: bool = False
    max_queue_size: int | None = None
    max_request_rows: int | None = None
    request_timeout: Duration | None = None
    instances: int = 1
    threads: int = 1
    idempotent: bool = True
    finite_outputs: bool = False
    quarantine: Duration = Duration(60 * _S)


class LogSection(Section, frozen=True):
    """Structured logs on standard error: ``console`` for people, ``json`` for machines."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section, frozen=True):
    """
    The whole configuration. ``models`` None means the built-in ones; no ``tenants``, that
    everybody is the same one, ``default``.

    ``folder`` is where relative paths and callables resolve from: the file's own.
    """

    gin: GinSection = GinSection()
    load_generator: LoadGeneratorSection = LoadGeneratorSection()
    batcher: BatcherSection = BatcherSection()
    models: dict[str, ModelSection] | None = None
    tenants: tuple[TenantSection, ...] = ()
    log: LogSection = LogSection()
    folder: str = "."

    @property
    def port(self) -> int:
        for port in (self.batcher.port, self.gin.port):
            if port is not None:
                return port
        return 8080

    @property
    def model_names(self) -> tuple[str, ...]:
        """Of the models that are served."""
        return BUILTIN_NAMES if self.models is None else tuple(self.models)


def find_config(option: Path | None = None) -> Path | None:
    """The file to read, by the rule above; None: defaults."""
    if option is not None:
        return option
    if os.environ.get("CONFIG_FILE"):
        return Path(os.environ["CONFIG_FILE"])
    if os.environ.get("SERVERLESS_ENV"):
        return Path(os.environ["SERVERLESS_ENV"] + ".yaml")
    return None


def load_config(path: Path | None = None, settings: Sequence[str] = ()) -> Config:
    """
    Read, expand, check and convert the configuration, with *settings* in place of its own.

    Raises:
        ConfigError: names the file, the key and, for an unknown key, the nearest known one.
    """
    found = find_config(path)
    if found is None:
        return parse_config("", settings=settings)
    try:
        return parse_config(_read(found), str(found.resolve().parent), settings)
    except ConfigError as error:
        raise ConfigError(f"{found}: {error}") from None


def parse_config(text: str, folder: str = ".", settings: Sequence[str] = ()) -> Config:
    """As ``load_config``, from YAML text."""
    try:
        tree = expand(parse_yaml(text))
    except RecursionError:
        raise ConfigError("nested too deeply, or an alias refers to what it is a part of") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"expected sections such as 'batcher:' at the top, got {type(tree).__name__}")
    tree = {key: section for key, section in tree.items() if section is not None}  # all of it commented out
    tree = apply_settings(tree, settings)
    check_keys(tree, Config, "")
    try:
        config = msgspec.convert(tree, Config, dec_hook=convert_unit)
    except msgspec.ValidationError as error:
        raise _invalid_model(tree) or ConfigError(plain_message(error)) from None
    _check_values(config)
    return msgspec.structs.replace(config, folder=folder)


def show_config(config: Config) -> str:
    """*config* with all its defaults, as YAML that ``parse_config`` reads back; hashes are cut short."""
    tree = msgspec.to_builtins(config, enc_hook=show_unit)
    del tree["folder"]
    for tenant in tree["tenants"]:
        for key in tenant["keys"]:
            key["sha256"] = masked(key["sha256"])
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


def _invalid_model(tree: dict[str, Any]) -> ConfigError | None:
    """The first model that is at fault, by its name, which msgspec does not give."""
    models = tree.get("models")
    for name, section in models.items() if isinstance(models, dict) else ():
        try:
            msgspec.convert(section, ModelSection, dec_hook=convert_unit)
        except msgspec.ValidationError as error:
            return ConfigError(plain_message(error, f"models.{name}"))
    return None


POLICIES: Final = ("window", "eager", "slo")
_POSITIVE: Final = (
    "max_batch_size",
    "max_queue_size",
    "max_request_rows",
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
    if not config.batcher.host:
        raise ConfigError("batcher.host: must not be empty: 0.0.0.0 stands for every address")
    if not all(config.batcher.class_.partition(":")):
        raise ConfigError(f"batcher.class: {config.batcher.class_!r} must read 'module:Class'")
    _check_positive("batcher", config.batcher, _POSITIVE)
    _check_policy("batcher.policy", config.batcher.policy)
    if config.models is not None and not config.models:
        raise ConfigError("models: names none: name one, or leave the section out for the built-in ones")
    for name, model in (config.models or {}).items():
        where = f"models.{name}"
        _check_positive(
            where,
            model,
            (
                "max_batch_size",
                "max_queue_size",
                "max_request_rows",
                "request_timeout",
                "slo",
                "instances",
                "threads",
            ),
        )
        _check_policy(f"{where}.policy", model.policy)
        _check_sizes(where, model, model.max_batch_size or config.batcher.max_batch_size)
        _check_source(where, model)
    limits = config.batcher.json_body_limit, config.batcher.binary_body_limit
    check_tenants(config.tenants, config.model_names, max(limits))


def _check_policy(where: str, policy: str | None) -> None:
    if policy is not None and policy not in POLICIES and not all(policy.partition(":")):
        raise ConfigError(f"{where}: {policy!r} is none of {', '.join(POLICIES)}, nor 'module:Class'")


def _check_positive(where: str, section: Section, keys: tuple[str, ...]) -> None:
    for key in keys:
        value = getattr(section, key)
        if value is not None and value < 1:
            raise ConfigError(f"{where}.{key}: must be at least 1, got {value}")


def _check_sizes(where: str, model: ModelSection, most: int) -> None:
    for key in ("preferred_batch_size", "pad_to"):
        for rows in getattr(model, key):
            if not 1 <= rows <= most:
                raise ConfigError(f"{where}.{key}: {rows} is not from 1 to the maximum batch size, {most}")


def _check_source(where: str, model: ModelSection) -> None:
    if model.executor == "python":
        missing = next((key for key in ("callable", "inputs", "outputs") if not getattr(model, key)), None)
        if missing:
            raise ConfigError(f"{where}.{missing}: a python executor needs it")
        if not all((model.callable or "").partition(":")):
            raise ConfigError(f"{where}.callable: {model.callable!r} must read 'module:callable'")
        _check_tensors(f"{where}.inputs", model.inputs)
        _check_tensors(f"{where}.outputs", model.outputs)
    elif (not model.path) == (model.builtin is None):
        raise ConfigError(f"{where}: an onnx executor needs either 'path' or 'builtin'")
    unread = {"python": ("path", "builtin", "preprocess"), "onnx": ("callable", "inputs", "outputs")}
    for key in unread[model.executor]:
        if getattr(model, key):
            raise ConfigError(f"{where}.{key}: a model with executor {model.executor!r} has no use for it")


def _check_tensors(where: str, tensors: tuple[TensorSection, ...]) -> None:
    names: set[str] = set()
    for index, tensor in enumerate(tensors):
        at = f"{where}.{index}"
        if not tensor.name or tensor.name in names:
            raise ConfigError(f"{at}.name: {'given twice' if tensor.name else 'must not be empty'}")
        names.add(tensor.name)
        if tensor.shape[:1] != (-1,):
            raise ConfigError(f"{at}.shape: the first dimension counts rows: write it as -1")
        if not all(dim == -1 or dim > 0 for dim in tensor.shape):
            raise ConfigError(f"{at}.shape: a dimension is a number from 1, or -1 for any: {[*tensor.shape]}")


def _without_none(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_none(value) for key, value in node.items() if value is not None}
    if isinstance(node, (list, tuple)):
        return [_without_none(item) for item in node]
    return node
