"""What people say about an answer, where the operator wants to know: off unless a folder is named.

Takes a label and, where people consent and the operator allows it, the picture it is about. Keeps
lines and gray faces (`unveil.feedback`); the face is what the model would see, cut out of the
picture, and the picture itself is dropped.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from unveil.common.errors import UserError
from unveil.data.feedback import Entry, Filled, encoded
from unveil.serving.model_slot import digest
from unveil.serving.refusal import Refused, documented
from unveil.serving.schemas import Encoded, asked, decoded, described
from unveil.serving.state import State, state_of

DAY = 86_400
_VALUES = 20
_EXAMPLE: dict[str, Any] = {"emotion": "sad", "answered": "neutral"}


class Said(BaseModel):
    """What an expression is, by somebody who should know, and what was answered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})
    emotion: str = Field(description="The class it is.")
    answered: str | None = Field(None, description="The class that was answered; null for unsure.")
    picture: Encoded | None = Field(None, description="Of one face, base64; with consent only.")
    # Strict: nothing but `true` is a consent, no 1 and no "yes".
    consent: bool = Field(
        False, strict=True, description="Whether who is pictured agreed that it is kept."
    )


class Kept(BaseModel):
    """What is kept now; ``picture`` is the name by which it can be taken back."""

    picture: str | None


router = APIRouter()


@router.post(
    "/v1/feedback",
    summary="What an expression is",
    response_model=Kept,
    openapi_extra=described(Said),
    responses=documented(400, 401, 408, 413, 415, 422, 429, 503),
)
async def feedback(request: Request) -> JSONResponse:
    """Keep what somebody says an expression is, and the face where they consent."""
    state = state_of(request)
    said = await asked(request, Said, most=_VALUES)
    _check(said, state)
    name, content = await _face(said.picture, state) if said.picture is not None else (None, None)
    day, bundle = datetime.now(UTC).date().isoformat(), state.live.bundle
    entry = Entry(day, said.emotion, said.answered, digest(bundle), name)
    assert state.feedback is not None
    try:
        await asyncio.to_thread(state.feedback.keep, entry, content)
    except Filled:
        full = "as much feedback is kept as may be; nothing of this was"
        raise Refused(429, full, retry_after=str(DAY)) from None
    except UserError:
        raise Refused(503, "feedback cannot be kept now") from None
    return JSONResponse({"picture": name})


def _check(said: Said, state: State) -> None:
    classes = state.live.bundle.classes
    if said.emotion not in classes or said.answered not in (None, *classes):
        raise Refused(422, f"emotion and answered are to be of {', '.join(classes)}")
    if said.picture is None:
        return
    if not state.settings.feedback_pictures:
        raise Refused(422, "no pictures are kept here; send the label alone")
    if not said.consent:
        raise Refused(422, "a picture is kept with consent only: send consent true, or no picture")


async def _face(picture: str, state: State) -> tuple[str, bytes]:
    return encoded(await state.pipeline.face(decoded(picture)))
