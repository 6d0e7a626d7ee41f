"""The schema of knowledge distillation, a part of a schedule in params.yaml."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from unveil.common.types import Share
from unveil.config.strictness import STRICT

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, config=STRICT)
class Distillation:
    """Knowledge distillation: the targets are the mean answer of ``teachers``.

    Each is the folder of a bundle with the sha256 of its ``bundle.json``. They answer ``views``
    augmented copies of each training face, and of the faces of ``unlabelled``, zip archives with
    their sha256. A share ``mix`` of the copies is mixed with another face.
    """

    teachers: Annotated[dict[str, Digest], Field(min_length=1)]
    views: Annotated[int, Field(gt=0, le=1000)]
    mix: Share = 0.0
    unlabelled: dict[str, Digest] = Field(default_factory=dict)
