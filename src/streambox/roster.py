"""The tenants of a configuration at run time, by name and by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.errors import Unauthorized
from streambox.tenancy import key_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streambox.tenancy import TenantSection

DEFAULT_TENANT: Final = "default"


class Roster:
    """
    Who may ask. False when no tenants are configured: then everybody is the ``default`` one.

    That one is no object: nothing is counted for it that is not counted anyway, per model.
    """

    def __init__(self, sections: Iterable[TenantSection], now_ns: int) -> None:
        self._by_name: dict[str, Tenant] = {}
        self._by_digest: dict[bytes, Tenant] = {}
        for section in sections:
            tenant = self._by_name[section.name] = make_tenant(section, now_ns)
            self._by_digest |= {bytes.fromhex(key.sha256): tenant for key in section.keys}
        total = sum(tenant.weight for tenant in self)
        for tenant in self:
            tenant.share = tenant.weight / total

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._by_name.values())

    def holder(self, key: bytes) -> Tenant | None:
        """Whose *key* it is; None: nobody's. Cost: one SHA-256."""
        return self._by_digest.get(key_digest(key))

    def named(self, name: str | None) -> Tenant | None:
        """
        The tenant that a library caller says it is; None for the ``default`` one.

        Raises Unauthorized.
        """
        if not self:
            if name in (None, DEFAULT_TENANT):
                return None
            raise Unauthorized(f"no tenant {name!r}: none are configured, so leave it out")
        if name is None:
            raise Unauthorized(f"whose request is this? Pass tenant=, one of {self._names()}")
        tenant = self._by_name.get(name)
        if tenant is None:
            raise Unauthorized(f"no tenant {name!r}: there are {self._names()}")
        return tenant

    def _names(self) -> str:
        return ", ".join(self._by_name)


def make_tenant(section: TenantSection, now_ns: int) -> Tenant:
    """*section* as the core has it, its bucket full at *now_ns*."""
    bucket = None
    if section.rate is not None:
        burst = max(1.0, section.rate) if section.burst is None else float(section.burst)
        bucket = TokenBucket(section.rate, burst, now_ns)
    return Tenant(
        section.name,
        weight=section.weight,
        priority=section.priority,
        bucket=bucket,
        max_in_flight=section.max_in_flight,
        max_queued=section.max_queued,
        max_body_bytes=section.max_body,
        models=None if section.models is None else frozenset(section.models),
        slo_ns=section.slo,
    )
