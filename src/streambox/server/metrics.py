"""``GET /metrics``: the hot path's plain counters, turned into Prometheus families at scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streambox.server.fault_metrics import fault_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from streambox.batcher.counters import Histogram
    from streambox.batcher.served_model import ServedModel
    from streambox.roster import Roster
    from streambox.server.edge import Edge
    from streambox.serving import Serving

_NS_PER_S: Final = 1e9
_ENDS: Final = ("completed", "failed", "expired", "cancelled")


class StreamBoxCollector(Collector):
    """Reads the counters of *serving* and *edge*; keeps nothing itself."""

    def __init__(self, serving: Serving, edge: Edge) -> None:
        self._serving = serving
        self._edge = edge

    def collect(self) -> Iterable[Metric]:
        models = list(self._serving.models.values())
        yield from self._requests(models)
        yield from self._batches(models)
        yield from self._workers(models)
        yield from self._tenants(self._serving.roster)
        yield from fault_metrics(models)
        yield from self._http()

    @staticmethod
    def _requests(models: list[ServedModel]) -> Iterable[Metric]:
        received = CounterMetricFamily(
            "streambox_requests_received",
            "Well-formed requests; equals refused + accepted.",
            labels=["model"],
        )
        refused = CounterMetricFamily(
            "streambox_requests_refused", "Requests refused at admission.", labels=["model"]
        )
        accepted = CounterMetricFamily(
            "streambox_requests_accepted",
            "Requests queued; equals the ended ones + in flight.",
            labels=["model"],
        )
        ended = CounterMetricFamily(
            "streambox_requests_ended", "Accepted requests by how they ended.", labels=["model", "outcome"]
        )
        in_flight = GaugeMetricFamily(
            "streambox_requests_in_flight", "Accepted requests that have not ended.", labels=["model"]
        )
        depth = GaugeMetricFamily("streambox_queue_depth", "Requests waiting for a batch.", labels=["model"])
        parts = CounterMetricFamily(
            "streambox_request_parts",
            "Parts that requests too large for a batch were cut into.",
            labels=["model"],
        )
        for served in models:
            counters = served.counters
            received.add_metric([served.name], counters.received)
            refused.add_metric([served.name], counters.refused)
            accepted.add_metric([served.name], counters.accepted)
            in_flight.add_metric([served.name], counters.in_flight)
            depth.add_metric([served.name], counters.queued)
            parts.add_metric([served.name], served.parts.accepted)
            for outcome in _ENDS:
                ended.add_metric([served.name, outcome], getattr(counters, outcome))
        return received, refused, accepted, ended, in_flight, depth, parts

    @staticmethod
    def _batches(models: list[ServedModel]) -> Iterable[Metric]:
        flushes = CounterMetricFamily(
            "streambox_batches", "Batches dispatched, by why they left the queue.", labels=["model", "reason"]
        )
        padding = CounterMetricFamily(
            "streambox_padding_rows", "Rows added to batches to fill them up.", labels=["model"]
        )
        size = HistogramMetricFamily("streambox_batch_size_rows", "Rows per batch.", labels=["model"])
        wait = HistogramMetricFamily(
            "streambox_wait_seconds", "Time from acceptance to dispatch, per request.", labels=["model"]
        )
        service = HistogramMetricFamily(
            "streambox_service_seconds", "Time in the model, per batch.", labels=["model"]
        )
        for served in models:
            counters = served.counters
            for reason, count in sorted(counters.flushes.items()):
                flushes.add_metric([served.name, reason], count)
            padding.add_metric([served.name], counters.padding_rows)
            _add_histogram(size, served.name, counters.batch_size, 1.0)
            _add_histogram(wait, served.name, counters.wait_ns, _NS_PER_S)
            _add_histogram(service, served.name, counters.service_ns, _NS_PER_S)
        return flushes, padding, size, wait, service

    @staticmethod
    def _workers(models: list[ServedModel]) -> Iterable[Metric]:
        restarts = CounterMetricFamily(
            "streambox_worker_restarts", "Workers that ended and were replaced.", labels=["model"]
        )
        ready = GaugeMetricFamily(
            "streambox_model_ready", "1 when the model can take a batch.", labels=["model"]
        )
        for served in models:
            health = served.executor.health()
            restarts.add_metric([served.name], health.restarts)
            ready.add_metric([served.name], float(served.available))
        return restarts, ready

    @staticmethod
    def _tenants(roster: Roster) -> Iterable[Metric]:
        """Of those that are configured and no others, whatever names requests may bring."""
        accepted, refused, completed, rows = (
            CounterMetricFamily(f"streambox_tenant_{name}", text, labels=["tenant", *labels])
            for name, text, labels in (
                ("requests_accepted", "Requests of the tenant queued.", ()),
                ("requests_refused", "Requests of the tenant not accepted, by error code.", ("code",)),
                ("requests_completed", "Requests of the tenant answered with their rows.", ()),
                ("rows", "Rows in the completed requests of the tenant.", ()),
            )
        )
        in_flight = GaugeMetricFamily(
            "streambox_tenant_requests_in_flight", "Accepted requests that have not ended.", labels=["tenant"]
        )
        depth = GaugeMetricFamily(
            "streambox_tenant_queue_depth", "Requests waiting for a batch.", labels=["tenant"]
        )
        for tenant in roster:
            accepted.add_metric([tenant.name], tenant.accepted)
            completed.add_metric([tenant.name], tenant.completed)
            rows.add_metric([tenant.name], tenant.rows)
            in_flight.add_metric([tenant.name], tenant.in_flight)
            depth.add_metric([tenant.name], tenant.queued)
            for code, count in sorted(tenant.refused.items()):
                refused.add_metric([tenant.name, code], count)
        return accepted, refused, completed, rows, in_flight, depth

    def _http(self) -> Iterable[Metric]:
        edge = self._edge
        errors = CounterMetricFamily(
            "streambox_http_errors", "Error replies of the inference routes, by error code.", labels=["code"]
        )
        for code, count in sorted(edge.errors.items()):
            errors.add_metric([code], count)
        answers = CounterMetricFamily(
            "streambox_http_answers", "Inference requests answered 200.", value=edge.answered
        )
        connections = GaugeMetricFamily(
            "streambox_http_connections", "Open connections.", value=len(edge.connections)
        )
        buffered = GaugeMetricFamily(
            "streambox_http_buffered_bytes", "Bytes of request bodies held.", value=edge.buffered_bytes
        )
        return errors, answers, connections, buffered


def _add_histogram(family: HistogramMetricFamily, model: str, histogram: Histogram, unit: float) -> None:
    buckets = []
    cumulative = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        cumulative += count
        buckets.append((f"{bound / unit:g}", float(cumulative)))
    buckets.append(("+Inf", float(cumulative + histogram.counts[-1])))
    family.add_metric([model], buckets, sum_value=histogram.total / unit)


def metrics_page(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The page and its content type, in the format that *accept* asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
