"""
The ``tenants`` section: who may ask, by which keys, and for how much.

Of a key the configuration has the SHA-256 alone, so that whoever reads it cannot use it.
No message here repeats one: what stands there by mistake may be the key itself.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from streambox.errors import ConfigError
from streambox.sections import Section
from streambox.units import Duration, Rate, Size  # noqa: TC001 - msgspec reads them at run time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")
_WEIGHTS: Final = (0.001, 1000.0)  # beyond them the tags of the others would lose their precision
_SHOWN_DIGITS: Final = 8
_KEY_BYTES: Final = 32
_KEY_MARK: Final = "sbx_"  # by which a scanner of code finds a key that has got lost


class KeySection(Section, frozen=True):
    """
    One key of a tenant, as `streambox tenant key NAME` prints it.

    ``id`` is a name for it, to tell it from the tenant's other keys; ``sha256`` its hash,
    in hexadecimal digits.
    """

    id: str
    sha256: str


class TenantSection(Section, frozen=True):
    """
    One tenant. It is known by any of its ``keys``; with an empty list, only to library callers.

    ``weight``, 0.001 to 1000, is its share of a model that several wait for; tenants of a higher ``priority``
    go before all others. ``rate`` counts rows, ``burst`` how many of them may come at once:
    unset, those of one second. ``max_in_flight`` and ``max_queued`` count requests,
    ``max_body`` bytes of one body. ``models`` are those that it may ask for; unset: all.
    ``slo`` is the deadline of its requests that bring none, if the model's own is not shorter.
    """

    name: str
    keys: tuple[KeySection, ...]
    weight: float = 1.0
    priority: int = 0
    rate: Rate | None = None
    burst: int | None = None
    max_in_flight: int | None = None
    max_queued: int | None = None
    max_body: Size | None = None
    models: tuple[str, ...] | None = None
    slo: Duration | None = None


# ---- keys ----------------------------------------------------------------------------------------


class NewKey(NamedTuple):
    """A key that nobody has yet. ``secret`` is for its tenant, ``sha256`` for the configuration."""

    secret: str
    sha256: str


def make_key() -> NewKey:
    """Of 256 random bits."""
    secret = _KEY_MARK + secrets.token_urlsafe(_KEY_BYTES)
    return NewKey(secret, key_digest(secret.encode()).hex())


def key_digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def masked(sha256: str) -> str:
    """Enough of a hash to tell keys apart, and no more."""
    return sha256[:_SHOWN_DIGITS].lower() + "..."


# ---- checks --------------------------------------------------------------------------------------


def check_name(where: str, name: str, what: str = "a tenant's name") -> None:
    """Raises ConfigError: names stand in metrics, in logs and on command lines."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name!r}: {what} is letters, digits, '_', '.' and '-'")


def check_tenants(tenants: Sequence[TenantSection], models: Collection[str], most_body_bytes: int) -> None:
    """
    Raises ConfigError, naming the tenant, the key and the fix.

    Args:
        models: the names of those that are served.
        most_body_bytes: what no body may exceed, whoever sends it.
    """
    for index, tenant in enumerate(tenants):
        check_name(f"tenants.{index}.name", tenant.name)
    _refuse_repeated("tenants", (tenant.name for tenant in tenants))
    _check_keys(tenants)
    for tenant in tenants:
        where = f"tenants.{tenant.name}"
        _check_limits(where, tenant)
        _check_models(where, tenant, models)
        if tenant.max_body is not None and tenant.max_body > most_body_bytes:
            raise ConfigError(
                f"{where}.max_body: more than batcher.binary_body_limit lets anybody send: raise that, too"
            )


def _check_keys(tenants: Sequence[TenantSection]) -> None:
    holders: dict[str, str] = {}
    for tenant in tenants:
        _refuse_repeated(f"tenants.{tenant.name}.keys", (key.id for key in tenant.keys))
        for index, key in enumerate(tenant.keys):
            where = f"tenants.{tenant.name}.keys.{index}"
            if not key.id:
                raise ConfigError(f"{where}.id: must not be empty: name the key, such as k1")
            if not _SHA256.fullmatch(key.sha256):
                raise ConfigError(
                    f"{where}.sha256: not the 64 hexadecimal digits of a key's SHA-256: "
                    f"`streambox tenant key {tenant.name}` prints them"
                )
            holder = holders.setdefault(key.sha256.lower(), f"{tenant.name}.keys.{index}")
            if holder != f"{tenant.name}.keys.{index}":
                raise ConfigError(f"{where}.sha256: the key of tenants.{holder}, too: make one for each")


def _check_limits(where: str, tenant: TenantSection) -> None:
    low, high = _WEIGHTS
    if not low <= tenant.weight <= high:
        raise ConfigError(f"{where}.weight: must be a number from {low:g} to {high:g}, got {tenant.weight:g}")
    if tenant.rate is not None and tenant.rate <= 0:
        raise ConfigError(f"{where}.rate: must be above 0: leave it out for no limit")
    if tenant.burst is not None and tenant.rate is None:
        raise ConfigError(f"{where}.burst: has no use without a rate: set rate, too, such as 500/s")
    for key in ("burst", "max_in_flight", "max_queued", "max_body", "slo"):
        value = getattr(tenant, key)
        if value is not None and value < 1:
            raise ConfigError(f"{where}.{key}: must be at least 1, got {value}")


def _check_models(where: str, tenant: TenantSection, models: Collection[str]) -> None:
    if tenant.models is None:
        return
    if not tenant.models:
        raise ConfigError(f"{where}.models: names none: leave it out for all of them")
    _refuse_repeated(f"{where}.models", tenant.models)
    for name in tenant.models:
        if name not in models:
            known = ", ".join(sorted(models)) or "none"
            raise ConfigError(f"{where}.models: no model {name!r} is served: there are {known}")


def _refuse_repeated(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{where}: {name!r} is given twice: names are told apart by it")
        seen.add(name)
