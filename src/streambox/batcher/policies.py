"""Policies by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from streambox.batcher.policy import EagerPolicy, SloPolicy, WindowPolicy
from streambox.batcher.sizes import PreferredSizes
from streambox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streambox.batcher.interface import QueueSettings
    from streambox.batcher.policy import Outlook, Policy

POLICIES: Final[Mapping[str, Callable[[QueueSettings, Outlook], Policy]]] = {
    "window": lambda settings, _: WindowPolicy(settings.time_window_ns, settings.max_batch_size),
    "eager": lambda settings, _: EagerPolicy(settings.time_window_ns, settings.max_batch_size),
    "slo": lambda settings, outlook: SloPolicy(settings.time_window_ns, settings.max_batch_size, outlook),
}


def make_policy(settings: QueueSettings, outlook: Outlook) -> Policy:
    """
    The policy that *settings* name: one of ours, or a user's ``package.module:Class``, made as
    ``Class(time_window_ns, max_batch_size, outlook)``. It minds preferred sizes, where there are some.

    Raises ConfigError.
    """
    policy = _named(settings, outlook)
    sizes = settings.preferred_batch_size
    return PreferredSizes(policy, sizes) if sizes else policy


def _named(settings: QueueSettings, outlook: Outlook) -> Policy:
    ours = POLICIES.get(settings.policy)
    if ours is not None:
        return ours(settings, outlook)
    module, colon, name = settings.policy.partition(":")
    if not colon:
        raise ConfigError(f"policy: {settings.policy!r} is none of {', '.join(POLICIES)}, nor 'module:Class'")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"policy: cannot load {settings.policy!r}: {why}") from None
    try:
        made: Policy = found(settings.time_window_ns, settings.max_batch_size, outlook)
    except Exception as error:  # noqa: BLE001 - a user's class may raise anything
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"policy: cannot make {settings.policy!r}: {why}") from None
    return made
