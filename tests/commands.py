"""Commands called in this process."""

from __future__ import annotations

from click.testing import CliRunner

from streambox.commands.workload import workload


def call_workload(*arguments: object) -> str:
    """What ``streambox workload`` prints; its errors are raised."""
    done = CliRunner().invoke(workload, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
