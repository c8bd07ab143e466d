"""The tenants at run time: by key, by name."""

from __future__ import annotations

import pytest

from streambox.batcher import PendingRequest
from streambox.errors import QuotaExceeded, Unauthorized
from streambox.roster import Roster
from streambox.tenancy import KeySection, TenantSection, make_key
from streambox.units import Duration, Rate, Size

ACME, BETA = make_key(), make_key()


def section(name="acme", key=ACME, **limits):
    return TenantSection(name=name, keys=(KeySection(id="k1", sha256=key.sha256.upper()),), **limits)


def roster():
    return Roster([section(), section("beta", BETA)], 0)


def test_a_key_has_one_holder_and_others_have_none():
    found = roster().holder(BETA.secret.encode())
    assert found is not None
    assert found.name == "beta"
    assert roster().holder(BETA.sha256.encode()) is None
    assert roster().holder(b"") is None


def test_a_library_caller_says_who_it_is():
    found = roster()
    assert [found.named(name).name for name in ("acme", "beta")] == ["acme", "beta"]
    with pytest.raises(Unauthorized, match=r"no tenant 'x': there are acme, beta"):
        found.named("x")
    with pytest.raises(Unauthorized, match=r"Pass tenant=, one of acme, beta"):
        found.named(None)


def test_with_no_tenants_everybody_is_the_default_one():
    nobody = Roster([], 0)
    assert not nobody
    assert nobody.named(None) is None
    assert nobody.named("default") is None
    with pytest.raises(Unauthorized, match="none are configured"):
        nobody.named("acme")


def test_every_limit_of_the_section_is_the_tenants():
    counts = {"max_in_flight": 3, "max_queued": 2, "max_body": Size(10)}
    (tenant,) = Roster([section(weight=2.5, priority=-1, models=("m",), slo=Duration(5), **counts)], 0)
    assert (tenant.weight, tenant.priority) == (2.5, -1)
    assert (tenant.max_in_flight, tenant.max_queued, tenant.max_body_bytes) == (3, 2, 10)
    assert (tenant.models, tenant.slo_ns) == (frozenset("m"), 5)


@pytest.mark.parametrize(
    ("limits", "burst"),
    [
        ({"rate": Rate(5)}, 5),
        ({"rate": Rate(5), "burst": 2}, 2),
        ({"rate": Rate(0.5)}, 1),
    ],
    ids=["of a second, unless told", "as told", "one at least"],
)
def test_the_burst_of_a_rate(limits, burst):
    (tenant,) = Roster([section(**limits)], 0)
    for _ in range(burst):
        tenant.admit(PendingRequest("m", lambda _: None), 0)
    with pytest.raises(QuotaExceeded):
        tenant.admit(PendingRequest("m", lambda _: None), 0)
