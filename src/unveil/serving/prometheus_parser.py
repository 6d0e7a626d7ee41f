"""Parses the values of one gauge from the text of ``/metrics``."""

from prometheus_client.parser import text_string_to_metric_families

from unveil.common.errors import UserError


def values(text: str, name: str, by: str | None = None) -> dict[str, float]:
    """Return the samples of a gauge by the label ``by``; without it under the key ``""``.

    Raises:
        UserError: if the text is not in the format of Prometheus.
    """
    try:
        return {
            sample.labels.get(by, "") if by else "": float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }
    except (ValueError, KeyError, IndexError):
        raise UserError("the server's answer to /metrics has no metrics of Prometheus") from None
