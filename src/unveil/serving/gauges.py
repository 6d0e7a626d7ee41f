"""Text of ``/metrics`` -> the values of one of its gauges."""

from prometheus_client.parser import text_string_to_metric_families

from unveil.common.errors import UserError


def values(text: str, name: str, by: str | None = None) -> dict[str, float]:
    """Give the samples of a gauge by one of its labels, or the one it has under ``""``."""
    try:
        return {
            sample.labels.get(by, "") if by else "": float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }
    except (ValueError, KeyError, IndexError):
        raise UserError(
            "what the server answers to /metrics are no metrics of Prometheus"
        ) from None
