"""What Prometheus reads at ``/metrics``. Names of collections and stages, never of queries."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of the folder in which several workers keep their figures together."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One process's figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "polyseek_requests", "Requests by route and status.", ["route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.latency = Histogram(
            "polyseek_request_seconds", "Time to the end of the response.", ["route"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.stages = Histogram(
            "polyseek_search_stage_seconds", "Time of a search by stage.", ["collection", "stage"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.inside = Gauge(
            "polyseek_requests_inside", "Requests that are worked on or wait for a thread.",
            registry=self._registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.refused = Counter(
            "polyseek_refused", "Requests refused before any work.", ["reason"],
            registry=self._registry,
        )  # fmt: skip
        self.cache = Counter(
            "polyseek_cache", "Look-ups of query embeddings and previews.", ["cache", "result"],
            registry=self._registry,
        )  # fmt: skip
        self.batch = Histogram(
            "polyseek_encode_batch_size", "Queries that were embedded together.",
            buckets=(1, 2, 4, 8, 16, 32), registry=self._registry,
        )  # fmt: skip

    def searched(self, collection: str, timings_ms: Mapping[str, float]) -> None:
        """Note how long each stage of a search took."""
        for stage, ms in timings_ms.items():
            self.stages.labels(collection, stage).observe(ms / 1e3)

    def looked_up(self, cache: str) -> Callable[[bool], None]:
        """What to call with whether a look-up in this cache found something."""
        found, missed = self.cache.labels(cache, "hit"), self.cache.labels(cache, "miss")
        return lambda was_there: (found if was_there else missed).inc()

    def text(self) -> bytes:
        """In Prometheus' text format: this process, or all workers together."""
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
