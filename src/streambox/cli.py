"""The ``streambox`` command: its subcommands are the modules of ``streambox.commands``."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Final, NoReturn

import click

from streambox import __version__
from streambox.errors import StreamBoxError, UsageError

# Imported when asked for: `streambox config check` should not wait for pyarrow to load.
_COMMANDS: Final = {
    "serve": "Take requests over HTTP, batch them, answer each caller.",
    "load": "Replay a workload against a server, open-loop, and report.",
    "workload": "Make, picture and change workloads; import traces, and fit processes to them.",
    "tenant": "Make keys for tenants.",
    "simulate": "Decide again what a server has recorded.",
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
        sys.exit(streambox(prog_name="streambox", standalone_mode=False) or 0)
    except StreamBoxError as error:
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(_one_line(error), error.exit_code)
    except click.Abort:
        _fail("stopped", 1)
    except OSError as error:
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}", 1)


def _one_line(error: click.ClickException) -> str:
    """What click would say on four lines, and where to read on."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return f"{message} ({context.command_path} --help)" if context is not None else message


def _fail(message: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # nobody can be told; the exit code still says which it was
        click.echo(f"streambox: {message}", err=True)
    _let_go_of_stdout()
    sys.exit(code)


def _let_go_of_stdout() -> None:
    """Where it cannot be written any more, Python would complain once more at exit."""
    if sys.stdout is None:  # it was closed from the beginning
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
