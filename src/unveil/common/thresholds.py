"""The thresholds below which no class is named, as text."""

from collections.abc import Sequence


def describe_thresholds(classes: Sequence[str], thresholds: Sequence[float]) -> str:
    """Return one number if all classes have the same threshold, otherwise each with its class."""
    if len(set(thresholds)) == 1:
        return f"{thresholds[0]:.3f}"
    pairs = zip(classes, thresholds, strict=True)
    return ", ".join(f"{name} {threshold:.3f}" for name, threshold in pairs)
