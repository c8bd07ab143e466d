"""``streambox load --repeats``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console

from streambox.errors import RunFailed

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.experiments.repeats import RunOnce


def run_repeats(
    run_once: RunOnce, count: int, first_seed: int, out: Path | None, *, as_json: bool, allow_invalid: bool
) -> None:
    """Repeat, print, write; the worst of the runs decides the exit code."""
    from streambox.experiments import repeats

    if out is not None:
        repeats.check_free(out, count)
    done = repeats.repeat_run(run_once, count, first_seed, out, Console(stderr=True))
    folders = ["" if out is None else str(out / str(number)) for number in range(1, len(done.repeats) + 1)]
    text = repeats.repeats_json(done, folders)
    if out is not None:
        try:
            (out / repeats.RESULT).write_bytes(text)
        except OSError as error:
            raise RunFailed(f"{out}: cannot be written: {error.strerror or error}") from None
    if as_json:
        click.echo(text, nl=False)
    else:
        Console().print(repeats.repeats_table(done))
    repeats.check_repeats(done, allow_invalid=allow_invalid)
