"""``streambox serve``."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import click
import msgspec
import uvloop

from streambox.config import load_config
from streambox.logs import configure_logs
from streambox.server.run import serve as run_server


@click.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="YAML file; see docs/configuration.md."
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@click.option("--host", help="Address to listen on.")
@click.option(
    "--set", "settings", multiple=True, help="batcher.time_window=5ms: in place of the file's. Repeatable."
)
@click.option("--insecure", is_flag=True, help="Let other machines in though no tenants are configured.")
@click.option(
    "--record-decisions",
    "record_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep what the core is told and decides, for `streambox simulate replay`.",
)
def serve(
    config_path: Path | None,
    port: int | None,
    host: str | None,
    settings: tuple[str, ...],
    insecure: bool,
    record_file: Path | None,
) -> None:
    """
    Take requests over HTTP, batch them per model, answer each caller.

    Without tenants in the configuration it listens on loopback only, unless told --insecure.

    SIGTERM or Ctrl-C answers what is in flight, then exits; a second one exits at once.
    """
    config = load_config(config_path, settings)
    batcher = config.batcher
    if port is not None:
        batcher = msgspec.structs.replace(batcher, port=port)
    if host is not None:
        batcher = msgspec.structs.replace(batcher, host=host)
    config = msgspec.structs.replace(config, batcher=batcher)
    configure_logs(config.log)
    _calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run_server(config, record_file, insecure=insecure)))


def _calm_collector() -> None:
    """
    Requests end by reference count; a cycle collection would only walk those in flight.

    What start-up made is set aside, and the youngest generation is looked at every
    50,000 net allocations instead of every 700.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
