"""User feedback about answers: disabled unless the operator names a folder.

Takes a label and, with consent and if the operator allows it, a picture. Stores entries and gray
faces (`unveil.data.feedback_store`). The face is cropped as the model sees it; the picture itself
is discarded.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from unveil.common.errors import UserError
from unveil.data.feedback_store import FeedbackEntry, FeedbackFull, encode_png
from unveil.serving.error_responses import Refused, error_responses
from unveil.serving.model_slot import digest
from unveil.serving.schemas import Encoded, base64_bytes, json_body, request_body
from unveil.serving.state import State, state_of

DAY = 86_400
_VALUES = 20
_EXAMPLE: dict[str, Any] = {"emotion": "sad", "answered": "neutral"}


class FeedbackRequest(BaseModel):
    """The correct class of an expression according to a person, and the model's answer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})
    emotion: str = Field(description="The correct class.")
    answered: str | None = Field(None, description="The model's answer; null for unsure.")
    picture: Encoded | None = Field(
        None, description="A picture of one face, base64; only with consent."
    )
    # Strict: only `true` is consent, neither 1 nor "yes".
    consent: bool = Field(
        False, strict=True, description="Whether the person in the picture agreed to its storage."
    )


class FeedbackReceipt(BaseModel):
    """The stored feedback; ``picture`` is the name needed to withdraw it."""

    picture: str | None


router = APIRouter()
disabled = APIRouter()
"""The same path on a server without a folder for feedback."""


@router.post(
    "/v1/feedback",
    summary="Submit the correct class of an expression",
    response_model=FeedbackReceipt,
    openapi_extra=request_body(FeedbackRequest),
    responses=error_responses(400, 401, 408, 413, 415, 422, 429, 503),
)
async def feedback(request: Request) -> JSONResponse:
    """Store a label and, with consent, the face."""
    state = state_of(request)
    sent = await json_body(request, FeedbackRequest, most=_VALUES)
    _check(sent, state)
    name, content = await _face(sent.picture, state) if sent.picture is not None else (None, None)
    day, bundle = datetime.now(UTC).date().isoformat(), state.model_slot.bundle
    entry = FeedbackEntry(day, sent.emotion, sent.answered, digest(bundle), name)
    assert state.feedback is not None
    try:
        await asyncio.to_thread(state.feedback.keep, entry, content)
    except FeedbackFull:
        full = "the feedback storage is full; this feedback was not stored"
        raise Refused(429, full, retry_after=str(DAY)) from None
    except UserError:
        raise Refused(503, "feedback cannot be stored now") from None
    return JSONResponse({"picture": name})


@disabled.post("/v1/feedback", include_in_schema=False)
async def refuse() -> None:
    """Refuse feedback, and name the option that enables it."""
    raise Refused(404, "feedback is off; `unveil serve --feedback FOLDER` enables it")


def _check(sent: FeedbackRequest, state: State) -> None:
    classes = state.model_slot.bundle.classes
    if sent.emotion not in classes or sent.answered not in (None, *classes):
        raise Refused(422, f"emotion and answered must be one of {', '.join(classes)}")
    if sent.picture is None:
        return
    if not state.settings.feedback_pictures:
        raise Refused(422, "this server stores no pictures; send only the label")
    if not sent.consent:
        raise Refused(422, "a picture needs consent: send consent true, or no picture")


async def _face(picture: str, state: State) -> tuple[str, bytes]:
    return encode_png(await state.pipeline.face(base64_bytes(picture)))
