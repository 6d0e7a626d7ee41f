"""bundle.json -> README.md beside it: what the network is, its numbers with intervals, its limits.

The bundle travels without the project, so what one has to know of it travels along.
"""

from unveil.common.metrics import Estimate
from unveil.inference.bundle import Card
from unveil.inference.decision import bound

NOT_STATED = "not stated"

TEXT = """# {architecture}: apparent expression of a face

Says which of {classes} a gray face of {size}x{size} pixels looks like to the network. That is no
statement about what a person feels, wants or is.

| on {images} test images | macro-F1, 95 % interval | labels changed against Keras |
|---|---|---|
| `model.onnx` | {float32} | {changed_float32} |
| `model.int8.onnx` | {int8} | {changed_int8} |

- Data: {data}
- {calibrated} {abstaining}
- Faces it learned from: see the data sheet of the project that made it. What it was not shown
  (other ages, skin tones, poses, light, cameras, cultures) it may name wrongly with confidence.
- Not for decisions about people; not at work or in education (Regulation (EU) 2024/1689, Art.
  5(1)(f)).

`bundle.json` has the digests of the files, and where they are from.
"""


def leaflet(card: Card) -> str:
    """Write the page; its numbers are those of ``card``."""
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
        calibrated=_calibrated(card),
        abstaining=_abstaining(card),
    )


def score(card: Card, precision: str) -> str:
    """Give macro-F1 with its interval, of one of the files, where it is known."""
    found = card.numbers.get("macro_f1" if precision == "float32" else f"macro_f1_{precision}")
    return str(Estimate(**found)) if found else NOT_STATED


def is_calibrated(card: Card) -> bool:
    """Whether a report of its own said how sure it may be."""
    return card.temperature != 1 or card.abstain_below is not None


def _calibrated(card: Card) -> str:
    if is_calibrated(card):
        return f"Calibrated with temperature {card.temperature:.3f}."
    return "Not calibrated."


def _abstaining(card: Card) -> str:
    said = f"Under a probability of {bound(card.abstain_below):.3f} it names no class."
    if card.abstain_below is not None and card.lineage.get("target_kept", True):
        return said
    return f"{said} No threshold is known that would keep a target for its errors."
