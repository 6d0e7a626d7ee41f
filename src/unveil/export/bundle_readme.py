"""``bundle.json`` -> the bundle's README.md: purpose, metrics with intervals, limits.

A bundle is used without the project, so it contains its own documentation.
"""

from unveil.common.thresholds import describe_thresholds
from unveil.evaluation.metrics import Estimate
from unveil.inference.bundle import Card

NOT_STATED = "not stated"

TEXT = """# {architecture}: apparent expression of a face

Classifies a gray face of {size}x{size} pixels by its apparent expression: {classes}. This is not a
statement about what a person feels, wants or is.

| on {images} test images | macro-F1, 95 % interval | labels that differ from Keras |
|---|---|---|
| `model.onnx` | {float32} | {changed_float32} |
| `model.int8.onnx` | {int8} | {changed_int8} |

- Data: {data}
- {calibration} {threshold}
- Training faces: see the data sheet of the project that trained this network. On faces unlike these
  (other ages, skin tones, poses, light, cameras, cultures) it may be confidently wrong.
- Not for decisions about people; not at work or in education (Regulation (EU) 2024/1689, Art.
  5(1)(f)).

`bundle.json` contains the sha256 of the files and their origin.
"""


def render(card: Card) -> str:
    """Return the text of README.md, with the numbers of ``card``."""
    parity = card.parity
    return TEXT.format(
        architecture=card.architecture,
        classes=", ".join(card.classes),
        size=card.image_size,
        images=parity["float32"]["images"],
        float32=score(card, "float32"),
        int8=score(card, "int8"),
        changed_float32=parity["float32"]["changed_labels"],
        changed_int8=parity["int8"]["changed_labels"],
        data=card.lineage.get("data", NOT_STATED),
        calibration=_calibration(card),
        threshold=_threshold(card),
    )


def score(card: Card, precision: str) -> str:
    """Return macro-F1 with its interval for one of the files, or ``not stated``."""
    found = card.numbers.get("macro_f1" if precision == "float32" else f"macro_f1_{precision}")
    return str(Estimate(**found)) if found else NOT_STATED


def is_calibrated(card: Card) -> bool:
    """Whether the card has a calibration or a threshold of its own report."""
    return bool(card.scale) or card.temperature != 1 or card.abstain_below is not None


def _calibration(card: Card) -> str:
    if card.scale:
        weights = zip(card.classes, card.scale, card.bias, strict=True)
        terms = ", ".join(f"{name} {scale:.3f} and {bias:+.3f}" for name, scale, bias in weights)
        return f"Calibrated with vector scaling, scale and bias of log p: {terms}."
    if is_calibrated(card):
        return f"Calibrated with temperature {card.temperature:.3f}."
    return "Not calibrated."


def _threshold(card: Card) -> str:
    below = describe_thresholds(card.classes, card.class_thresholds)
    text = f"Below a probability of {below} it is unsure."
    missed = card.lineage.get("target_missed", [])
    if missed and len(missed) < len(card.classes):
        whose = f"the error rate of {', '.join(missed)}"
    elif card.abstain_below is not None and card.lineage.get("target_kept", True):
        return text
    else:
        whose = "its error rate"
    return f"{text} No threshold is known that keeps {whose} at a target."
