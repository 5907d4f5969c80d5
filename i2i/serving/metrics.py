"""Metrics of a service in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one service, in a registry of their own. Label values are endpoints, loaded models and statuses."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "i2i_requests", "Answered requests.", ("endpoint", "model", "status"), registry=registry
        )
        self.latency = Histogram(
            "i2i_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ("endpoint", "model"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "i2i_stage_seconds",
            "Time of an image in the queue, and in decoding, inference and encoding.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.images = Counter("i2i_images", "Translated images.", ("model",), registry=registry)
        self.batches = Histogram("i2i_batch_images", "Images of one inference.", buckets=_BATCHES, registry=registry)
        self.abandoned = Counter(
            "i2i_abandoned", "Images given up before their result.", ("reason",), registry=registry
        )
        self.reloads = Counter("i2i_model_loads", "Models loaded.", ("model", "outcome"), registry=registry)
        self.models = Gauge("i2i_model_info", "Loaded models.", ("model", "provider", "version"), registry=registry)
        self.ready = Gauge("i2i_ready", "1 once all models are loaded and warm.", registry=registry)
        self.videos = Counter("i2i_videos", "Videos that are over, by state.", ("state",), registry=registry)
        self._gauges = {
            "i2i_queue_waiting": "Images that wait for a worker.",
            "i2i_running": "Images in work.",
            "i2i_body_bytes": "Bytes of request bodies in memory.",
            "i2i_connections": "Open connections.",
        }
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """Report the value of a function as the gauge ``name``."""
        Gauge(name, self._gauges[name], registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self._registry)
