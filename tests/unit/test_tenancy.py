"""The ``tenants`` section: what it takes, what it says of faults, and the keys it is made of."""

from __future__ import annotations

import re

import pytest

from streambox.config import parse_config, show_config
from streambox.errors import ConfigError
from streambox.tenancy import make_key

A, B = "a" * 64, "b" * 64
MS, MIB = 1_000_000, 1024**2


def tenants(*sections: str, models: str = "") -> str:
    return models + "tenants:\n" + "".join(f"  - {section}\n" for section in sections)


def acme(rest: str = "", keys: str = f'[{{id: k1, sha256: "{A}"}}]') -> str:
    return f"{{name: acme, keys: {keys}{rest and ', ' + rest}}}"


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_tenant_in_full():
    limits = "weight: 2, priority: 1, rate: 500/s, burst: 100, max_in_flight: 256, max_queued: 1000"
    (tenant,) = parse_config(tenants(acme(f"{limits}, max_body: 1MiB, models: [digits], slo: 50ms"))).tenants
    assert (tenant.name, tenant.keys[0].id, tenant.keys[0].sha256) == ("acme", "k1", A)
    assert (tenant.weight, tenant.priority, tenant.rate, tenant.burst) == (2, 1, 500, 100)
    assert (tenant.max_in_flight, tenant.max_queued, tenant.max_body) == (256, 1000, MIB)
    assert (tenant.models, tenant.slo) == (("digits",), 50 * MS)


def test_unless_told_otherwise_a_tenant_has_no_limits_and_an_ordinary_weight():
    (tenant,) = parse_config(tenants(acme())).tenants
    assert (tenant.weight, tenant.priority) == (1, 0)
    limits = (tenant.rate, tenant.burst, tenant.max_in_flight, tenant.max_queued, tenant.max_body, tenant.slo)
    assert limits == (None,) * 6
    assert tenant.models is None


@pytest.mark.parametrize("text", ["", "tenants: []", "tenants:"])
def test_there_need_not_be_any(text):
    assert parse_config(text).tenants == ()


TWICE = f'[{{id: k1, sha256: "{A}"}}, {{id: k1, sha256: "{B}"}}]'
SHARED = f'[{{id: k1, sha256: "{A}"}}, {{id: k2, sha256: "{A.upper()}"}}]'
FAULTS = [
    (tenants("{name: acme}"), "tenants.0: object missing required field `keys`"),
    (tenants("{name: a b, keys: []}"), "tenants.0.name: 'a b': a tenant's name is letters, digits"),
    (tenants("{name: '', keys: []}"), "tenants.0.name: '': a tenant's name is letters, digits"),
    (tenants("{name: a, keys: []}", "{name: a, keys: []}"), "tenants: 'a' is given twice"),
    (tenants(acme(keys=TWICE)), "tenants.acme.keys: 'k1' is given twice"),
    (tenants(acme(keys=SHARED)), "tenants.acme.keys.1.sha256: the key of tenants.acme.keys.0, too"),
    (
        tenants(acme(), f'{{name: b, keys: [{{id: k, sha256: "{A}"}}]}}'),
        "tenants.b.keys.0.sha256: the key of tenants.acme.keys.0, too: make one for each",
    ),
    (tenants(acme(keys=f"[{{id: '', sha256: {A}}}]")), "tenants.acme.keys.0.id: must not be empty"),
    (
        tenants(acme(keys="[{id: k1, sha256: sbx_abc}]")),
        "tenants.acme.keys.0.sha256: not the 64 hexadecimal digits of a key's SHA-256: `streambox tenant",
    ),
    (tenants(acme(keys=f"[{{id: k1, sha256: {'g' * 64}}}]")), "not the 64 hexadecimal digits"),
    (tenants(acme("weight: 0")), "tenants.acme.weight: must be a number from 0.001 to 1000, got 0"),
    (tenants(acme("weight: -1")), "tenants.acme.weight: must be a number from 0.001 to 1000, got -1"),
    (
        tenants(acme("weight: 1.0e-300")),
        "tenants.acme.weight: must be a number from 0.001 to 1000, got 1e-300",
    ),
    (tenants(acme("weight: .inf")), "tenants.acme.weight: must be a number from 0.001 to 1000, got inf"),
    (tenants(acme("weight: .nan")), "tenants.acme.weight: must be a number from 0.001 to 1000, got nan"),
    (tenants(acme("rate: 500")), "tenants.0.rate: 500 has no unit: write a rate as 500/s, 30/m"),
    (tenants(acme("rate: 0/s")), "tenants.acme.rate: must be above 0: leave it out for no limit"),
    (tenants(acme("burst: 5")), "tenants.acme.burst: has no use without a rate"),
    (tenants(acme("rate: 5/s, burst: 0")), "tenants.acme.burst: must be at least 1, got 0"),
    (tenants(acme("max_in_flight: 0")), "tenants.acme.max_in_flight: must be at least 1, got 0"),
    (tenants(acme("max_queued: 0")), "tenants.acme.max_queued: must be at least 1, got 0"),
    (tenants(acme("max_body: 0B")), "tenants.acme.max_body: must be at least 1, got 0"),
    (tenants(acme("max_body: 65MiB")), "tenants.acme.max_body: more than batcher.binary_body_limit lets"),
    (tenants(acme("slo: 0s")), "tenants.acme.slo: must be at least 1, got 0"),
    (tenants(acme("models: []")), "tenants.acme.models: names none: leave it out for all of them"),
    (
        tenants(acme("models: [nope]")),
        "tenants.acme.models: no model 'nope' is served: there are digits, resnet50",
    ),
    (
        tenants(acme("models: [digits]"), models="models: {mine: {builtin: digits}}\n"),
        "tenants.acme.models: no model 'digits' is served: there are mine",
    ),
    (tenants(acme("models: [digits, digits]")), "tenants.acme.models: 'digits' is given twice"),
    (tenants(acme("wieght: 2")), "unknown key 'tenants.0.wieght': did you mean 'weight'?"),
    (tenants(acme("isolation: process")), "unknown key 'tenants.0.isolation'"),
    ("tenants: {acme: 1}", "tenants"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[row[1] for row in FAULTS])
def test_a_fault_is_one_line_that_names_the_key(text, message):
    assert message in fault(text)


def test_what_stands_in_place_of_a_hash_is_never_repeated():
    """It may be the key itself."""
    secret = make_key().secret
    assert secret not in fault(tenants(acme(keys=f'[{{id: k1, sha256: "{secret}"}}]')))


def test_show_has_the_beginning_of_a_hash_alone():
    key = make_key()
    shown = show_config(
        parse_config(tenants(acme("rate: 30/m", keys=f'[{{id: k1, sha256: "{key.sha256}"}}]')))
    )
    assert key.sha256 not in shown
    assert f"sha256: {key.sha256[:8]}..." in shown.replace("'", "")
    assert "rate: 30/m" in shown
    assert "null" not in shown


def test_a_key_is_made_of_at_least_128_random_bits_and_is_fit_for_a_header():
    keys = [make_key() for _ in range(100)]
    assert len({key.secret for key in keys}) == 100
    for key in keys:
        assert re.fullmatch(r"sbx_[A-Za-z0-9_-]{43}", key.secret)  # 43 digits of 6 bits: 256 of them
        assert re.fullmatch(r"[0-9a-f]{64}", key.sha256)
