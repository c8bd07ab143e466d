"""Whose request it is, and what its head makes of that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streambox.errors import Unauthorized
from streambox.roster import Roster
from streambox.server.edge import Limits
from streambox.server.head import RequestHead
from streambox.server.identity import read_key
from streambox.tenancy import KeySection, TenantSection, make_key
from streambox.units import Duration, Size

KEY = make_key()
LIMITS = Limits(json_body=1000, binary_body=2000)
ROUTE: Any = SimpleNamespace()

READ = [
    ([], b"", "no header"),
    ([(b"authorization", b"Bearer abc")], b"abc", "a bearer token"),
    ([(b"authorization", b" bearer   abc ")], b"abc", "whatever the case and the blanks"),
    ([(b"authorization", b"Bearer")], b"", "a scheme and no token"),
    ([(b"authorization", b"Basic abc")], b"", "another scheme"),
    ([(b"authorization", b"abc")], b"", "no scheme"),
    ([(b"x-api-key", b" abc ")], b"abc", "an API key"),
    ([(b"authorization", b"Basic xyz"), (b"x-api-key", b"abc")], b"abc", "a proxy's own beside it"),
    ([(b"x-api-key", b"abc"), (b"authorization", b"Bearer abc")], b"abc", "both, and the same"),
    ([(b"x-api-key", b"abc"), (b"x-api-key", b"")], b"abc", "an empty one is none"),
]


@pytest.mark.parametrize(("headers", "key", "why"), READ, ids=[row[-1] for row in READ])
def test_the_key_of_a_head(headers, key, why):
    assert read_key(headers) == key


@pytest.mark.parametrize("second", [(b"x-api-key", b"abc"), (b"authorization", b"Bearer abc")])
def test_two_keys_are_nobodys(second):
    with pytest.raises(Unauthorized, match="two different keys"):
        read_key([(b"x-api-key", b"xyz"), second])


def head(*headers: tuple[bytes, bytes], **limits: Any) -> RequestHead:
    section = TenantSection(name="acme", keys=(KeySection(id="k", sha256=KEY.sha256),), **limits)
    key = (b"x-api-key", KEY.secret.encode())
    return RequestHead(ROUTE, b"/", [key, *headers], LIMITS, Roster([section], 0))


def test_the_tenants_deadline_is_that_of_requests_that_bring_none():
    assert head(slo=Duration(5_000_000)).timeout_ns == 5_000_000
    assert head((b"x-request-timeout-ms", b"7"), slo=Duration(5_000_000)).timeout_ns == 7_000_000
    assert head().timeout_ns is None


BODIES = [
    ({}, (), 1000, "the server's"),
    ({"max_body": Size(100)}, (), 100, "the tenant's"),
    ({"max_body": Size(1500)}, (), 1000, "the lesser of the two"),
    ({"max_body": Size(1500)}, ((b"inference-header-content-length", b"9"),), 1500, "of binary tensors, too"),
]


@pytest.mark.parametrize(("limits", "headers", "limit", "why"), BODIES, ids=[row[-1] for row in BODIES])
def test_the_limit_of_a_body(limits, headers, limit, why):
    assert head(*headers, **limits).body_limit == limit
    assert head(*headers, (b"content-length", b"%d" % limit), **limits).error is None
    assert head(*headers, (b"content-length", b"%d" % (limit + 1)), **limits).error.status == 413


def test_who_it_is_comes_before_what_else_is_wrong():
    strange = [(b"content-type", b"text/css"), (b"content-length", b"9999999")]
    made = RequestHead(ROUTE, b"/", strange, LIMITS, Roster([TenantSection(name="a", keys=())], 0))
    assert made.error.status == 401


def test_with_no_tenants_keys_are_not_even_read():
    two_keys = [(b"x-api-key", b"a"), (b"x-api-key", b"b")]
    made = RequestHead(ROUTE, b"/", two_keys, LIMITS, Roster([], 0))
    assert (made.error, made.tenant, made.timeout_ns) == (None, None, None)
