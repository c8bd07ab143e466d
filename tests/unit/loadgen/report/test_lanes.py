"""The tables of tenants and models."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streambox.loadgen.report.lanes import section


def row(offered: int = 1000, ok: int = 990, weight: float = 1.0, **who: str) -> dict[str, Any]:
    return {
        **who,
        "weight": weight,
        "offered": offered,
        "ok": ok,
        "goodput_per_s": 12.5,
        "response_ms": {"p50": 1.5, "p99": 20.25},
        "errors": {"timeout": offered - ok} if offered > ok else {},
    }


LANES = [row(model="digits", tenant="acme"), row(500, 500, model="digits"), row(model="ranker", tenant="<b>")]


def objective(text: str, holds: bool = True) -> dict[str, Any]:
    return {"objective": text, "found": "x", "holds": holds}


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def rows_of(page: str) -> list[str]:
    return [text_of(found) for found in re.findall(r"<tr>(.*?)</tr>", page)]


def test_each_lane_has_a_row() -> None:
    assert rows_of(section({"lanes": LANES})) == [
        "lane offered ok goodput p50 p99 errors",
        "digits/acme 1,000 99 % 12.5/s 1.50 ms 20.2 ms 10: timeout 10",
        "digits 500 100 % 12.5/s 1.50 ms 20.2 ms none",
        "ranker/&lt;b&gt; 1,000 99 % 12.5/s 1.50 ms 20.2 ms 10: timeout 10",
    ]


@pytest.mark.parametrize("summary", [{}, {"lanes": []}, {"lanes": LANES[:1], "fairness": None}])
def test_one_lane_needs_no_table(summary: dict[str, Any]) -> None:
    assert section(summary) == ""


def test_tenants_and_models_have_tables_of_their_own_where_they_tell_more() -> None:
    page = section({"lanes": LANES, "tenants": [row(tenant="acme")], "models": [row(model="digits")]})
    heads = [line.split()[0] for line in rows_of(page) if line.endswith("errors")]
    assert heads == ["lane", "tenant", "model"]
    assert rows_of(page)[5].startswith("acme 1,000")


def test_an_objective_stands_where_it_names_the_row() -> None:
    objectives = [
        objective("p99<50ms"),
        objective("tenant=acme:p99<50ms"),
        objective("model=digits:p99<1ms", holds=False),
    ]
    tenants = [row(tenant="acme")]
    page = section({"lanes": LANES, "tenants": tenants, "objectives": objectives})
    head, acme, digits, other, _, tenant = rows_of(page)
    assert head.endswith("objectives")
    assert acme.endswith("tenant=acme:p99&lt;50ms ✓ met model=digits:p99&lt;1ms ✗ missed")
    assert digits.endswith("none model=digits:p99&lt;1ms ✗ missed")
    assert other.endswith("timeout 10")
    assert tenant.endswith("tenant=acme:p99&lt;50ms ✓ met")


def test_weights_are_shown_where_they_differ() -> None:
    weighted = [LANES[0], row(model="digits", weight=2.5)]
    assert rows_of(section({"lanes": weighted}))[0].endswith("errors weight")
    assert rows_of(section({"lanes": weighted}))[2].endswith("2.50")


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        (LANES, "Jain's index of it, between tenants, is 0.58; 1 is fair."),
        ([row(model="a"), row(model="b")], "between models"),
        ([row(tenant="a"), row(tenant="b", weight=2)], "per weight, between tenants"),
    ],
)
def test_fairness_is_told_with_what_it_is_about(lanes: list[dict[str, Any]], words: str) -> None:
    assert words in text_of(section({"lanes": lanes, "fairness": 0.5842}))
    assert "Jain" not in section({"lanes": lanes, "fairness": None})


def test_of_many_kinds_of_error_the_most_frequent_are_named() -> None:
    many = {**LANES[0], "errors": {"reset": 1, "timeout": 5, "wrong": 3}}
    assert "9: timeout 5, wrong 3, …" in section({"lanes": [many, LANES[1]]})
