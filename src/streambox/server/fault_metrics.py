"""Metrics of what goes wrong, and of what keeps it from spreading; see ``metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from streambox.batcher.served_model import ServedModel


def fault_metrics(models: list[ServedModel]) -> Iterable[Metric]:
    """Each model's isolations, retries, quarantine and circuit breaker, as they are now."""
    bisections = CounterMetricFamily(
        "streambox_bisections", "Failed batches that were split to be run again in halves.", labels=["model"]
    )
    retried = CounterMetricFamily(
        "streambox_requests_retried", "Requests run again after their batch had failed.", labels=["model"]
    )
    budgeted = CounterMetricFamily(
        "streambox_retry_budget",
        "Retries that no row explains, by whether the budget allowed them.",
        labels=["model", "verdict"],
    )
    quarantined = CounterMetricFamily(
        "streambox_requests_quarantined", "Requests refused for an input in quarantine.", labels=["model"]
    )
    held = GaugeMetricFamily("streambox_quarantine_inputs", "Inputs in quarantine.", labels=["model"])
    opened = CounterMetricFamily("streambox_breaker_opened", "Times the breaker opened.", labels=["model"])
    state = GaugeMetricFamily(
        "streambox_breaker_state", "The circuit breaker: 0 closed, 1 open, 2 probing.", labels=["model"]
    )
    for served in models:
        name, guard = served.name, served.guard
        bisections.add_metric([name], guard.bisections)
        retried.add_metric([name], guard.retried)
        budgeted.add_metric([name, "spent"], guard.budget.spent)
        budgeted.add_metric([name, "denied"], guard.budget.denied)
        quarantined.add_metric([name], guard.quarantined)
        held.add_metric([name], len(guard.quarantine))
        opened.add_metric([name], guard.breaker.opened)
        state.add_metric([name], guard.breaker.state)
    return bisections, retried, budgeted, quarantined, held, opened, state
