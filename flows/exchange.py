"""What machines tell each other about data; in one checkout there is nothing to tell."""

from typing import Any


def order() -> dict[str, Any]:
    """Say what is to be trained on."""
    return {}


def accept(order: dict[str, Any]) -> None:
    """Lay out what the order names, or refuse it."""


def hand_over(architecture: str) -> None:
    """Give what was made back."""


def collect(architecture: str) -> None:
    """Take what was made elsewhere."""
