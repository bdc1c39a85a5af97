"""The operator's figures: what it judges of each cluster. A site's own exact figures are its agent's."""

from collections.abc import Iterator
from time import monotonic

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from multiserver.api.status import Status
from multiserver.control.queue import Key

STATUS_VALUES = {"True": 1.0, "False": 0.0, "Unknown": -1.0}
CONDITION = "multiserver_condition"
ROUND_AGE = "multiserver_round_age_seconds"
FIGURES = {
    CONDITION: ("Condition of a cluster: 1 True, 0 False, -1 Unknown.", ("namespace", "cluster", "type", "reason")),
    ROUND_AGE: ("Seconds since the operator last finished looking at a cluster.", ("namespace", "cluster")),
}
"""By name the meaning and the labels; `make metrics` writes them into docs/metrics.md."""


class ControlMetrics(Collector):
    """Conditions of all clusters, and how long ago each was looked at. Read at scrape."""

    def __init__(self) -> None:
        self._told: dict[Key, Status] = {}
        self._told_at: dict[Key, float] = {}

    def tell(self, key: Key, status: Status | None) -> None:
        """Remember what is told of a cluster; None when it is gone."""
        if status is None:
            self._told.pop(key, None)
            self._told_at.pop(key, None)
        else:
            self._told[key] = status
            self._told_at[key] = monotonic()

    def forget(self) -> None:
        """Forget all: another operator leads, and only its figures are true."""
        self._told.clear()
        self._told_at.clear()

    def collect(self) -> Iterator[Metric]:
        """Give the figures."""
        conditions = _gauge(CONDITION)
        for key, status in self._told.items():
            for condition in status.conditions:
                conditions.add_metric([*key, condition.type, condition.reason], STATUS_VALUES[condition.status])
        yield conditions
        ages = _gauge(ROUND_AGE)
        now = monotonic()
        for key, moment in self._told_at.items():
            ages.add_metric(list(key), now - moment)
        yield ages


def _gauge(name: str) -> GaugeMetricFamily:
    meaning, labels = FIGURES[name]
    return GaugeMetricFamily(name, meaning, labels=labels)


def page() -> str:
    """Give the last part of docs/metrics.md."""
    rows = "".join(f"| `{name}` | {', '.join(labels)} | {meaning} |\n" for name, (meaning, labels) in FIGURES.items())
    return (
        "\n## The operator\n"
        "The operator that leads serves them on its own port 8080 at `/metrics`; one that waits has none.\n\n"
        "| metric | labels | meaning |\n| --- | --- | --- |\n" + rows
    )


if __name__ == "__main__":
    print(page(), end="")
