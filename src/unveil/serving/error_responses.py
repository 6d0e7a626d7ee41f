"""Error responses: one line of JSON, and a Retry-After header where a retry makes sense."""

from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse


class Refusal(BaseModel):
    """The body of an error response: the reason in one line."""

    error: str


class Refused(Exception):
    """A request is refused, with an HTTP status and a reason in one line."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        """Set status, reason and headers; underscores in header names become dashes."""
        super().__init__(error)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


REASONS = {
    400: "The Host header names no host of this server.",
    401: "The token is missing or invalid.",
    403: "This origin is not allowed.",
    404: "This resource is not available on this server.",
    408: "The body did not arrive in time.",
    413: "The body is larger than this server's limit.",
    415: "The content type is not supported.",
    422: "The content is invalid; the error line gives the reason.",
    429: "Too many requests to answer in time; retry after Retry-After seconds.",
    503: "The picture took too long, the model failed on its faces, or is not ready.",
}
"""Descriptions of the error statuses in the OpenAPI document."""


def error_response(error: Refused) -> JSONResponse:
    """Create the JSON response of a refused request."""
    return JSONResponse({"error": str(error)}, error.status, error.headers)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error responses of a route for the OpenAPI document."""
    described = {status: {"description": REASONS[status]} for status in statuses}
    # 400 is Starlette's own response, plain text.
    return {
        status: {**one, "model": Refusal} if status > 400 else one
        for status, one in described.items()
    }
