"""Whose request it is: by the key in its head, and by nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streambox.batcher.tenants import Tenant
    from streambox.roster import Roster

_HOW: Final = "send yours as `Authorization: Bearer KEY` or `x-api-key: KEY`"


def read_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """
    The key in *headers*, whose names are in lower case; empty where there is none.

    Raises Unauthorized where there are two: then nobody can tell whose request it is.
    """
    key = b""
    for name, value in headers:
        if name == b"x-api-key":
            found = value.strip()
        elif name == b"authorization":
            found = _bearer_token(value)
        else:
            continue
        if found and key and found != key:
            raise Unauthorized("the request has two different keys: send one")
        key = found or key
    return key


def holder_of(key: bytes, roster: Roster) -> Tenant:
    """Raises Unauthorized where *key* is nobody's, or none."""
    if not key:
        raise Unauthorized(f"no key: {_HOW}")
    tenant = roster.holder(key)
    if tenant is None:
        raise Unauthorized(f"no tenant has this key: {_HOW}")
    return tenant


def _bearer_token(value: bytes) -> bytes:
    """The token of an ``Authorization`` header; empty where it is of another scheme."""
    scheme, _, token = value.strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
