"""The section ``calibration`` of a report -> fields of the bundle's card.

Sections of older reports have one threshold for all classes, and a temperature.
"""

from typing import Any

Section = dict[str, Any]

DECISION_KEYS = ("target_risk", "target_kept", "confidence_level")
"""Keys of the section that are copied to the card's lineage."""


def calibration_fields(section: Section) -> Section:
    """Return calibration and thresholds as the card has them."""
    is_vector = section.get("method") == "vector"
    return {
        "temperature": float(section.get("temperature", 1.0)),
        "abstain_below": section.get("abstain_below"),
        "thresholds": tuple(section.get("thresholds", ())),
        "scale": tuple(section["scale"]) if is_vector else (),
        "bias": tuple(section["bias"]) if is_vector else (),
    }


def decision_lineage(section: Section) -> Section:
    """Return the target of the thresholds, and ``target_missed``: the classes that miss it."""
    found = {name: section[name] for name in DECISION_KEYS if name in section}
    if "classes" in section:
        missed = [name for name, own in section["classes"].items() if not own["target_kept"]]
        found["target_missed"] = missed
    return found
