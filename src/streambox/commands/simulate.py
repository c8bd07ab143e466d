"""``streambox simulate replay``."""

from __future__ import annotations

import functools
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streambox.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.batcher.interface import Batcher
    from streambox.simulate.again import Verdict
    from streambox.simulate.record import Facts


@click.group()
def simulate() -> None:
    """The serving core without a server: in virtual time, and from records."""


@simulate.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where a policy or Batcher of one's own is looked for.  [here, then PYTHONPATH]",
)
def replay(file: Path, folder: Path) -> None:
    """
    Have the core decide again what FILE has a record of, from `serve --record-decisions`.

    Says "same" and the number of decisions; or names the first that differs, with exit code 1.
    """
    from streambox.simulate.again import verify

    _silence()
    sys.path.insert(0, str(folder.resolve()))
    try:
        verdict = verify(file, functools.partial(_batcher_of, folder=folder))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from None
    if verdict.difference:
        raise RunFailed(f"{verdict.same} decisions are the same, then {verdict.difference}{_builds(verdict)}")
    click.echo(f"same: {verdict.same} decisions{'' if verdict.whole else _CUT_OFF}")


_CUT_OFF = "; the record ends before its server did, and so does this"


def _builds(verdict: Verdict) -> str:
    """What else might explain a difference."""
    from streambox.simulate.record import Facts

    then, now = verdict.facts, Facts.of_this_build()
    if (then.streambox, then.python) == (now.streambox, now.python):
        return ""
    return (
        f"; recorded by StreamBox {then.streambox} on Python {then.python}, "
        f"this is {now.streambox} on {now.python}"
    )


def _batcher_of(facts: Facts, *, folder: Path) -> Callable[..., Batcher]:
    from streambox.config import BatcherSection, Config
    from streambox.serving import batcher_factory

    return batcher_factory(Config(batcher=BatcherSection(class_=facts.batcher), folder=str(folder)))


def _silence() -> None:
    """The core logs failed batches, once more and to nobody's use."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
