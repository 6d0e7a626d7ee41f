"""What a client that gets no answer is told: one line of JSON, and when to come back."""

from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse


class Refusal(BaseModel):
    """Why there is no answer, in one line."""

    error: str


class Refused(Exception):
    """A request that gets no answer, with its HTTP status and one line."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        """Say why; underscores in the names of headers are dashes."""
        super().__init__(error)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


REASONS = {
    400: "The Host header names no host of this server.",
    401: "No token, or one that is not known.",
    403: "Pages of that origin may not ask.",
    404: "This server does not give that away.",
    408: "The body did not arrive in time.",
    413: "The body is larger than this server takes.",
    415: "Not a type of content that is taken here.",
    422: "The content cannot be read; the line says why.",
    429: "More is asked than can be answered in time; come back after Retry-After seconds.",
    503: "The picture took too long, the model failed on its faces, or is not ready.",
}
"""Statuses other than 200, and what they say in the OpenAPI document."""


def refuse(error: Refused) -> JSONResponse:
    """Make the response."""
    return JSONResponse({"error": str(error)}, error.status, error.headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe refusals of a route for its OpenAPI document."""
    said = {status: {"description": REASONS[status]} for status in statuses}
    # 400 is Starlette's own answer, plain text.
    return {
        status: {**one, "model": Refusal} if status > 400 else one for status, one in said.items()
    }
