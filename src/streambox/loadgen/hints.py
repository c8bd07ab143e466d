"""The next useful command where something about a run is off."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from streambox.loadgen.record import CONNECT_FAILED, TIMEOUT, UNSENT
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.summary import WAITED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_OBJECTIVES: Final = 2


def next_step(summary: Mapping[str, Any]) -> str | None:
    """One line about *summary*'s most important fault, naming a command; None where none would help."""
    if not summary.get("offered"):
        return None
    errors = summary.get("errors") or {}
    if any(kind.startswith(CONNECT_FAILED) for kind in errors):
        return "connections were refused: is the server running, and does it take so many? See --connections"
    verdict = summary.get("verdict") or {}
    if not verdict.get("valid", True):
        return _about_the_generator(errors, verdict.get("reasons") or ())
    missed = [one["objective"] for one in summary.get("objectives") or () if not one["holds"]]
    if missed:
        return _about_objectives(missed)
    return None if summary.get("wrong") else _about_errors(errors)


def _about_the_generator(errors: Mapping[str, int], reasons: Sequence[str]) -> str:
    if errors.get(UNSENT) or any(reason.endswith(WAITED) for reason in reasons):
        return "the server was slower than the schedule: more --connections, or a lower rate, keep up with it"
    return "`streambox load calibrate` finds the rate that this machine can send on schedule"


def _about_objectives(missed: Sequence[str]) -> str:
    searchable = [text for text in missed if _searchable(text)]
    if not searchable:
        return "`streambox load --out DIR` leaves a report that shows where the response time goes"
    options = " ".join(f"--slo {shlex.quote(text)}" for text in searchable[:_MOST_OBJECTIVES])
    return f"`streambox load find-max {options}` searches the highest rate that holds"


def _searchable(text: str) -> bool:
    """find-max knows objectives about single requests, of all tenants and models."""
    objective = parse_objective(text)
    return objective.allowed is not None and objective.tenant is objective.model is None


def _about_errors(errors: Mapping[str, int]) -> str | None:
    if errors and max(errors, key=lambda kind: errors[kind]) == TIMEOUT:
        return "no answer came within --timeout: a lower rate, or a longer one, shows whether any would come"
    if any(kind.startswith(("http_503", "http_429")) for kind in errors):
        return "`streambox load find-max --slo 'ok>99.9%'` searches the highest rate that the server takes"
    return None
