"""The ``streambox`` command: its subcommands are the modules of ``streambox.commands``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

import click

from streambox import __version__
from streambox.errors import StreamBoxError, UsageError

# Imported when asked for: `streambox config check` should not wait for pyarrow to load.
_COMMANDS: Final = {
    "serve": "Take requests over HTTP, batch them, answer each caller.",
    "load": "Replay a workload against a server, open-loop, and report.",
    "workload": "Make, picture and change workloads; import traces, and fit processes to them.",
    "config": "Check and show the configuration.",
    "demo": "Serve the digits model, load it for half a minute, report.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"streambox.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streambox")
def streambox() -> None:
    """Dynamic batching for serverless inference, and a load generator that reports honestly."""


def main() -> None:
    """Run the command line; every expected error is one line and an exit code: 2 usage, 1 failed."""
    try:
        streambox(prog_name="streambox")
    except StreamBoxError as error:
        click.echo(f"streambox: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
