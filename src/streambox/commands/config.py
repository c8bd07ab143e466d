"""``streambox config check|show``."""

from __future__ import annotations

from pathlib import Path

import click

from streambox.config import find_config, load_config, show_config


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Say whether FILE is a valid configuration; exit code 2 when it is not."""
    load_config(file)
    click.echo(f"{file}: valid")


@config.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="The file; else the usual ones."
)
def show(config_path: Path | None) -> None:
    """Print the configuration in effect, defaults included."""
    found = find_config(config_path)
    shown = show_config(load_config(config_path))
    click.echo(f"# from {found}" if found else "# defaults: no configuration file is named")
    click.echo(shown, nl=False)
