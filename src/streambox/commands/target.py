"""Where a load goes, and how: the options that every command that sends requests takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from streambox.errors import UsageError
from streambox.loadgen.bodies import Api
from streambox.loadgen.payload import Method, PayloadOptions
from streambox.loadgen.process import at_priority
from streambox.loadgen.rows import AUTO
from streambox.loadgen.run import RunOptions
from streambox.loadgen.target import Target, checked_host, checked_path, parse_url, read_headers
from streambox.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.config import Config

DEFAULT_MODEL: Final = "digits"


class DurationType(click.ParamType[int]):
    """A duration with its unit, above 0, as nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            duration_ns = parse_duration(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return duration_ns or self.fail(f"{value!r} is no time at all", param, ctx)


DURATION: Final = DurationType()


_OPTIONS: Final = (
    click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="YAML file: its load_generator section.",
    ),
    click.option("--url", help="Target, http://HOST:PORT/PATH; else --host, --port and --path."),
    click.option("--host", help="Target host.  [localhost]"),
    click.option("--port", type=click.IntRange(1, 65535), help="Target port.  [8080]"),
    click.option("--path", help="Target path.  [/api/batcher]"),
    click.option("--model", help="Model to ask.  [digits]"),
    click.option("--timeout", type=DURATION, help="How long to wait for a response.  [10s]"),
    click.option("--connections", type=click.IntRange(1, 50_000), help="Most connections to open.  [1024]"),
    click.option("--workers", type=click.IntRange(1, 64), help="Processes to send from.  [1]"),
    click.option(
        "--give-up-after", type=DURATION, help="Do not send what has waited so long for a connection."
    ),
    click.option("--realtime", is_flag=True, help="Send at real-time priority, where that is permitted."),
    click.option(
        "--api",
        type=click.Choice(get_args(Api)),
        help="How requests are written: the Open Inference Protocol as JSON, or with binary tensors; http: "
        "by --template.  [reference]",
    ),
    click.option(
        "--dataset", help="What to send: .npz, .csv, .jsonl, a folder of images; see docs/payloads.md."
    ),
    click.option(
        "--random",
        is_flag=False,
        flag_value=AUTO,
        metavar="[INPUT]",
        help="Send random rows, of what the server says the model takes, or such as image:FP32[8,8].",
    ),
    click.option("--input", help="What the model takes, in place of asking the server: image:FP32[8,8]."),
    click.option("--pixels", help="Of images: what black and white become.  [0:1, or 0:255]"),
    click.option("--rows", help="Rows in a request, 4 or 1..8, of the Open Inference Protocol.  [1]"),
    click.option("--tolerance", type=float, help="Of the numbers in expected answers.  [0.001]"),
    click.option("--template", help="Body with fields, for --api http; see docs/payloads.md."),
    click.option("--method", type=click.Choice(get_args(Method)), help="Of --api http.  [POST]"),
    click.option("--content-type", help="Of --api http.  [application/json]"),
    click.option("--expect-id", help="Of --api http: path to the request's id in an answer."),
    click.option("--expect-text", help="Of --api http: what an answer holds; {{id}} is the request's id."),
    click.option("--expect-output", help="Of --api http: path to what the dataset knows the answer to."),
    click.option(
        "--header",
        "headers",
        multiple=True,
        help="'Name: value' of every request, ${VAR} from the environment; @FILE: lines. Repeatable.",
    ),
    click.option("--fresh-connections", is_flag=True, help="A connection for every request."),
    click.option("--ca", "ca_file", help="Certificates to trust over TLS.  [the system's]"),
    click.option("--no-verify", is_flag=True, help="Trust any certificate."),
    click.option(
        "--check",
        type=click.Choice(["full", "id", "none"]),
        default="full",
        show_default=True,
        help="Of answers.",
    ),
)


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds them to *command*, which gets them by name; see ``sending_options``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def sending_options(config: Config, given: dict[str, Any], **more: Any) -> RunOptions:
    """Where to send and how: the command line's options, else the configuration's, else the defaults."""
    section = config.load_generator
    if given["url"]:
        unix = given["url"].startswith("unix:")
        if given["host"] or given["port"] or (given["path"] and not unix):
            raise UsageError("--url says it all: leave --host, --port and --path out")
        target = parse_url(given["url"], given["path"])
    else:
        port = given["port"] or section.port or config.port
        host = checked_host(given["host"] or section.host)
        target = Target(host, port, checked_path(given["path"] or section.path))
    _check_tls(target, given)
    if (given.get("api") or "").startswith("oip") and target.path == section.path:
        target = target._replace(path="/")  # the protocol names one for each model
    timeout_ns = given["timeout"] if given["timeout"] is not None else section.timeout
    if timeout_ns == 0:
        raise UsageError("the timeout is 0: no answer could be in time")
    optional = {"timeout_ns": timeout_ns and int(timeout_ns), "connections": given["connections"]}
    optional["ca_file"], optional["verify"] = given.get("ca_file"), not given.get("no_verify")
    with at_priority(realtime=given["realtime"]):
        optional["realtime"] = given["realtime"]  # it may: said before anything is drawn
    optional["give_up_after_ns"], optional["workers"] = given.get("give_up_after"), given.get("workers")
    chosen = {key: value for key, value in {**optional, **more}.items() if value is not None}
    return RunOptions(target=target, check=given["check"], **chosen)


def _check_tls(target: Target, given: dict[str, Any]) -> None:
    """Raises UsageError where whom to trust is said, and nobody will be asked who they are."""
    for name, option in {"ca_file": "--ca", "no_verify": "--no-verify"}.items():
        if given.get(name) and not target.tls:
            raise UsageError(
                f"{option} is about TLS, and {target.url} is without: give --url https://…, or leave it out"
            )


def payload_options(given: dict[str, Any]) -> PayloadOptions:
    """What to send, and as what."""
    headers = [*read_headers(given["headers"])]
    if given["fresh_connections"]:
        headers.append("Connection: close")
    names = (name for name in PayloadOptions.__struct_fields__ if name not in ("path", "headers"))
    chosen = {name: given[name] for name in names if given[name] is not None}
    return PayloadOptions(**chosen, headers=tuple(headers))


def model_of(config: Config, given: dict[str, Any]) -> str:
    return given["model"] or config.load_generator.model or DEFAULT_MODEL
