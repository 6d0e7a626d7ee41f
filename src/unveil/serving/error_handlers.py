"""Turns the exceptions of the routes into responses."""

import errno

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from unveil.data.decoding import UnreadableImage
from unveil.serving.admission_queue import QueueFull
from unveil.serving.batching import ModelFailed
from unveil.serving.decoder_pool import DecodingFailed
from unveil.serving.error_responses import Refused, error_response
from unveil.serving.middleware import OVERLOADED


def add_error_handlers(app: FastAPI) -> None:
    """Answer the exceptions of the routes with their status and one line."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return error_response(error)

    @app.exception_handler(QueueFull)
    async def full(_: Request, error: QueueFull) -> Response:
        return error_response(Refused(429, OVERLOADED, retry_after=str(error.retry_after)))

    @app.exception_handler(UnreadableImage)
    async def unreadable(_: Request, error: UnreadableImage) -> Response:
        return error_response(Refused(422, str(error)))

    @app.exception_handler(ModelFailed)
    async def failed(_: Request, error: ModelFailed) -> Response:
        return error_response(Refused(503, str(error), retry_after="1"))

    @app.exception_handler(DecodingFailed)
    async def not_decoded(_: Request, error: DecodingFailed) -> Response:
        return error_response(Refused(503, str(error), retry_after=str(error.retry_after)))

    @app.exception_handler(OSError)
    async def too_many_files(_: Request, error: OSError) -> Response:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise error
        return error_response(Refused(503, "too many files are open", retry_after="1"))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_response(Refused(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return JSONResponse({"error": error.detail}, error.status_code, headers)
