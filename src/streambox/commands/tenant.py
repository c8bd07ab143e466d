"""``streambox tenant key``."""

from __future__ import annotations

import secrets

import click

from streambox.tenancy import check_name, make_key


@click.group()
def tenant() -> None:
    """Make keys for tenants."""


@tenant.command()
@click.argument("name")
@click.option("--id", "key_id", help="What to call the key in the configuration; else something random.")
def key(name: str, key_id: str | None) -> None:
    """
    Make a key for the tenant NAME and print it, once, with the line for the configuration.

    The configuration gets its hash alone: nobody can tell the key from that again.
    """
    check_name("NAME", name)
    check_name("--id", key_id or "k", "a key's id")
    made = make_key()
    key_id = key_id or f"k-{secrets.token_hex(3)}"
    click.echo(f"# The key. Give it to {name}; it is shown this once and kept nowhere:")
    click.echo(made.secret)
    click.echo(f"# For the configuration, under `keys:` of tenant {name}:")
    click.echo(f'- {{id: {key_id}, sha256: "{made.sha256}"}}')
