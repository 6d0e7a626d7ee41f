"""The JSON schemas of requests and responses, each with an example for the OpenAPI document."""

import base64
from dataclasses import astuple
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unveil.serving.error_responses import Refused
from unveil.serving.prediction_pipeline import PictureResult

LARGEST = 64
"""The most pictures in one batch."""
_NESTED = 100
"""The most arrays and objects in one body."""

_FACE = {
    "emotion": "happy",
    "reason": None,
    "probabilities": {"happy": 0.91, "neutral": 0.05, "sad": 0.01, "surprise": 0.03},
    "box": [212, 98, 160, 160],
    "square": [291.6, 178.2, 160.3, -4.2],
}
_PICTURE = {"faces": [_FACE], "reason": None}
_MODEL = {
    "architecture": "cnn5_gray",
    "version": "3",
    "trained_on": "real faces",
    "digest": "9f86d081884c",
}
_DESCRIPTION = {
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "classes": ["happy", "neutral", "sad", "surprise"],
    "image_size": 48,
    "abstain_below": 0.6,
    "thresholds": {"happy": 0.6, "neutral": 0.9, "sad": 0.8, "surprise": 0.8},
}


def _example(content: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [content]})


class Face(BaseModel):
    """The answer for one face: an apparent expression, or `unsure`."""

    model_config = _example(_FACE)
    emotion: str | None = Field(description="The apparent expression; null when unsure.")
    reason: str | None = Field(description="`unsure` if there is no emotion.")
    probabilities: dict[str, float] = Field(
        description="Calibrated probabilities of all classes; their sum is 1."
    )
    box: tuple[int, int, int, int] = Field(
        description="Left, top, width, height in pixels of the upright picture."
    )
    square: tuple[float, float, float, float] | None = Field(
        default=None,
        description="What the network saw: the centre's x and y and the side in pixels, and the "
        "angle in degrees by which the face is turned clockwise. Null if the picture is the face.",
    )


class Picture(BaseModel):
    """The faces of a picture; the list may be empty."""

    model_config = _example(_PICTURE)
    faces: list[Face]
    reason: str | None = Field(
        description="`no_face`; in a batch also the reason why a picture cannot be read."
    )


class ModelIdentity(BaseModel):
    """The identity of a model."""

    model_config = _example(_MODEL)
    architecture: str
    version: str | None = Field(description="The registry version; null if not registered.")
    trained_on: str = Field(description="`real faces`, `synthetic faces` or `not stated`.")
    digest: str = Field(description="The first 12 digits of the SHA-256 of its card.")


class ModelDescription(ModelIdentity):
    """The identity of a model, with its classes, input size and thresholds."""

    model_config = _example(_MODEL | _DESCRIPTION)
    sha256: str = Field(description="The SHA-256 of its card.")
    classes: list[str] = Field(description="In the order of the probabilities.")
    image_size: int = Field(description="The side of its input, in pixels.")
    abstain_below: float = Field(
        description="The lowest of the thresholds: below it, no class is named."
    )
    thresholds: dict[str, float] = Field(
        description="The probability below which it is unsure, for each most probable class."
    )


class Prediction(Picture):
    """The faces of a picture, and the model that answered."""

    model_config = _example({**_PICTURE, "model": _MODEL})
    model: ModelIdentity


class Pictures(BaseModel):
    """The answers of a batch, in the order of its pictures, and the model that gave them."""

    model_config = _example(
        {"pictures": [_PICTURE, {"faces": [], "reason": "no_face"}], "model": _MODEL}
    )
    pictures: list[Picture]
    model: ModelIdentity


Encoded = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]


class Batch(BaseModel):
    """Pictures, each as the base64 of its file; no paths and no URLs."""

    model_config = _example({"pictures": ["iVBORw0KGgo...", "/9j/4AAQSkZJRg..."]})
    pictures: Annotated[list[Encoded], Field(min_length=1, max_length=LARGEST)]
    watched: bool = Field(
        default=True,
        description="False for modified pictures: they are left out of metrics and drift.",
    )


Model = TypeVar("Model", bound=BaseModel)


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON body for the OpenAPI document, for a route that parses it itself."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def json_body(request: Request, model: type[Model], *, most: int) -> Model:
    """Parse a JSON body with at most ``most`` values.

    Raises:
        Refused: if it is invalid or too large; the content is not quoted.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "content-type must be application/json")
    body = await request.body()
    # Parsing blocks all requests, in any thread: 6 MB of `[],` took 7 s and 600 MB.
    if body.count(b",") > most or body.count(b"[") + body.count(b"{") > _NESTED:
        raise Refused(422, f"JSON of more than {most} values, or of {_NESTED} arrays and objects")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise Refused(422, f"{where}: {first['msg']}" if where else first["msg"]) from None


def base64_bytes(picture: str) -> bytes:
    """Decode base64; raises ``Refused`` if it is malformed."""
    try:
        return base64.b64decode(picture, validate=True)
    except ValueError:
        raise Refused(422, "a picture is not base64") from None


def picture_json(result: PictureResult) -> dict[str, Any]:
    """Convert a result to the JSON content of a ``Picture``."""
    faces = [
        {
            "emotion": answer.emotion,
            "reason": answer.reason,
            "probabilities": answer.probabilities,
            "box": found.box,
            "square": found.square and [round(one, 2) for one in astuple(found.square)],
        }
        for found, answer in result.faces
    ]
    return {"faces": faces, "reason": result.reason}
