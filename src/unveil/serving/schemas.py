"""What is asked and answered, as JSON; the OpenAPI document has each with an example."""

import base64
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unveil.serving.pipeline import Looked
from unveil.serving.refusal import Refused

LARGEST = 64
"""Pictures in one batch."""
_NESTED = 100
"""Arrays and objects in one body, at most."""

_FACE = {
    "emotion": "happy",
    "reason": None,
    "probabilities": {"happy": 0.91, "neutral": 0.05, "sad": 0.01, "surprise": 0.03},
    "box": [212, 98, 160, 160],
}
_PICTURE = {"faces": [_FACE], "reason": None}
_MODEL = {
    "architecture": "cnn5_gray",
    "version": "3",
    "trained_on": "real faces",
    "digest": "9f86d081884c",
}
_UNDERSTOOD = {
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "classes": ["happy", "neutral", "sad", "surprise"],
    "image_size": 48,
    "abstain_below": 0.8,
}


def _example(content: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [content]})


class Face(BaseModel):
    """What one face looks like: an apparent expression, or `unsure` with the reason."""

    model_config = _example(_FACE)
    emotion: str | None = Field(description="The apparent expression; null when unsure.")
    reason: str | None = Field(description="`unsure` when there is no emotion.")
    probabilities: dict[str, float] = Field(
        description="Calibrated, of every class; their sum is 1."
    )
    box: tuple[int, int, int, int] = Field(
        description="Left, top, width, height in pixels of the upright picture."
    )


class Picture(BaseModel):
    """The faces of a picture; a picture without one is an answer, too."""

    model_config = _example(_PICTURE)
    faces: list[Face]
    reason: str | None = Field(
        description="`no_face`; in a batch also why a picture cannot be read."
    )


class Named(BaseModel):
    """Which model answers."""

    model_config = _example(_MODEL)
    architecture: str
    version: str | None = Field(description="Of the registry; null for one that never was in it.")
    trained_on: str = Field(description="`real faces`, `synthetic faces` or `not stated`.")
    digest: str = Field(description="The start of the SHA-256 of its card.")


class ModelDescription(Named):
    """Which model answers, and what its answers need to be understood."""

    model_config = _example(_MODEL | _UNDERSTOOD)
    sha256: str = Field(description="Of its card.")
    classes: list[str] = Field(description="In the order of the probabilities.")
    image_size: int = Field(description="The side of the face it takes, in pixels.")
    abstain_below: float = Field(description="The probability under which it is unsure.")


class Answered(Picture):
    """The faces of a picture, and which model answered."""

    model_config = _example({**_PICTURE, "model": _MODEL})
    model: Named


class Pictures(BaseModel):
    """The answers of a batch, in the order of its pictures, and which model gave them."""

    model_config = _example(
        {"pictures": [_PICTURE, {"faces": [], "reason": "no_face"}], "model": _MODEL}
    )
    pictures: list[Picture]
    model: Named


Encoded = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]


class Batch(BaseModel):
    """Pictures, each as its file's bytes in base64; no paths and no URLs."""

    model_config = _example({"pictures": ["iVBORw0KGgo...", "/9j/4AAQSkZJRg..."]})
    pictures: Annotated[list[Encoded], Field(min_length=1, max_length=LARGEST)]
    watched: bool = Field(
        default=True,
        description="False for pictures that were changed: no number and no drift counts them.",
    )


Model = TypeVar("Model", bound=BaseModel)


def described(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a body of JSON, which a route reads itself, for the OpenAPI document."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def asked(request: Request, model: type[Model], *, most: int) -> Model:
    """Read a body of JSON with ``most`` values; what does not fit is ``Refused``, not quoted."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "content-type is to be application/json")
    body = await request.body()
    # Reading holds up everybody, whatever thread does it: 6 MB of `[],` took 7 s and 600 MB.
    if body.count(b",") > most or body.count(b"[") + body.count(b"{") > _NESTED:
        raise Refused(422, f"JSON of more than {most} values, or of {_NESTED} arrays and objects")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise Refused(422, f"{where}: {first['msg']}" if where else first["msg"]) from None


def decoded(picture: str) -> bytes:
    """Read base64; what is none is ``Refused``."""
    try:
        return base64.b64decode(picture, validate=True)
    except ValueError:
        raise Refused(422, "a picture is not base64") from None


def told(looked: Looked) -> dict[str, Any]:
    """Write an answer as JSON of a ``Picture``."""
    faces = [
        {
            "emotion": answer.emotion,
            "reason": answer.reason,
            "probabilities": answer.probabilities,
            "box": box,
        }
        for box, answer in looked.faces
    ]
    return {"faces": faces, "reason": looked.reason}
