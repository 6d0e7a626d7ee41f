"""What limits a training: a part of the images, or a backbone that starts from random weights.

Takes the parameters of a training's ``run.json``. Tables show it beside the score.
"""

from collections.abc import Mapping
from typing import Any

from unveil.common.files import read_json
from unveil.common.paths import MODELS

NOT_FROM_IMAGENET = ("none", "None")


def conditions(parameters: Mapping[str, Any], images: int | None = None) -> list[str]:
    """Describe the conditions of a training, one phrase each; empty if there are none.

    ``images`` is the number of images in the training split; ``None`` if it is not known.
    """
    described = []
    part = str(parameters.get("train_images", "all"))
    if part.isdecimal() and (images is None or int(part) < images):
        whole = f" of {images:,}" if images else ""
        described.append(f"trained on {int(part):,}{whole} images")
    if is_random_backbone(parameters):
        described.append("random backbone, no ImageNet weights")
    return described


def is_random_backbone(parameters: Mapping[str, Any]) -> bool:
    """Return whether a network with a backbone started from random weights."""
    builder, weights = (parameters.get(f"network.{name}") for name in ("builder", "weights"))
    return builder == "transfer" and str(weights) in NOT_FROM_IMAGENET


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """List the parameters in which two trainings differ, by name; their keys are left out."""
    names = first.keys() | second.keys()
    return sorted(name for name in names - {"architecture"} if first.get(name) != second.get(name))


def training_parameters(key: str) -> dict[str, Any]:
    """Return the parameters of an architecture's training; ``{}`` without ``run.json``."""
    path = MODELS / key / "run.json"
    run = read_json(path, made_by=f"unveil train {key}") if path.exists() else {}
    return dict(run.get("parameters", {}))
