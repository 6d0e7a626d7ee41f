"""The HTTP routes: prediction, model, health and metrics; `pages.py` has the pages for people."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from unveil.inference import model_choice
from unveil.serving import device, feedback, inference, pages, request_audit, stream
from unveil.serving.decoder_pool import DecoderPool
from unveil.serving.error_handlers import add_error_handlers
from unveil.serving.error_responses import Refused, error_responses
from unveil.serving.pages import PAGE
from unveil.serving.prediction_pipeline import PictureResult
from unveil.serving.schemas import (
    LARGEST,
    Batch,
    ModelDescription,
    Pictures,
    Prediction,
    base64_bytes,
    json_body,
    picture_json,
    request_body,
)
from unveil.serving.state import State, state_of

TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff")
MINUTE = 60.0
CHECK_INTERVAL, START_INTERVAL = 5.0, 0.1
"""Seconds between two checks of the decoder processes, and of those that have not started yet."""

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of an image file.",
        "content": dict.fromkeys(TYPES, _BYTES),
    }
}
_ERRORS = error_responses(400, 401, 408, 413, 415, 422, 429, 503)


class _Direct(APIRoute):
    """A route that calls its endpoint with the request alone, and sends the response it returns.

    FastAPI's own handler costs 0.2 ms per request, for dependencies and bodies that it parses.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def build(state: State) -> FastAPI:
    """Create the FastAPI application; the web page is in ``static``."""
    app = FastAPI(
        title="unveil",
        summary="Classifies the apparent expression of faces, not what a person feels.",
        version="1",
        lifespan=_lifespan,
        # FastAPI's documentation pages load scripts from other hosts; `pages.py` has our own.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(HTTPBearer(auto_error=False))],
    )
    app.state.unveil = state
    router = APIRouter(route_class=_Direct)
    router.post(
        "/v1/predict",
        summary="Classify the faces of a picture",
        response_model=Prediction,
        openapi_extra=_PICTURE_BODY,
        responses=_ERRORS,
    )(predict)
    router.post(
        "/v1/predict/batch",
        summary="Classify the faces of several pictures",
        response_model=Pictures,
        openapi_extra=request_body(Batch),
        responses=_ERRORS,
    )(predict_batch)
    app.include_router(router)
    _about(app)
    app.include_router(inference.router)
    app.include_router(stream.router)
    app.include_router(device.router)
    app.include_router(pages.router)
    app.include_router(feedback.disabled if state.feedback is None else feedback.router)
    app.mount("/static", StaticFiles(directory=PAGE))
    add_error_handlers(app)
    return app


def _about(app: FastAPI) -> None:
    """Add the routes for model, health and metrics."""
    app.get(
        "/v1/model",
        summary="Describe the active model",
        response_model=ModelDescription,
        responses=error_responses(400, 401),
    )(model)
    app.get("/healthz", summary="Liveness", responses=error_responses(503))(healthz)
    app.get("/readyz", summary="Readiness", responses=error_responses(503))(readyz)
    app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        responses=error_responses(401),
        response_class=PlainTextResponse,
    )(metrics)


async def predict(request: Request) -> Response:
    """Detect the faces of a picture and classify each one. Nothing of the picture is stored."""
    state = state_of(request)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not kind.startswith("image/"):
        raise Refused(415, f"content-type must be one of {', '.join(TYPES)}")
    result = await state.pipeline.predict(await request.body())
    _count(state, [result])
    return JSONResponse(picture_json(result) | {"model": _model_identity(state, [result])})


async def predict_batch(request: Request) -> Response:
    """Classify up to 64 pictures; a picture that cannot be read has the reason in its answer."""
    state = state_of(request)
    batch = await json_body(request, Batch, most=2 * LARGEST)
    pictures = [base64_bytes(picture) for picture in batch.pictures]
    results = await state.pipeline.predict_batch(pictures, watched=batch.watched)
    if batch.watched:
        _count(state, results)
    answers = [picture_json(result) for result in results]
    return JSONResponse({"pictures": answers, "model": _model_identity(state, results)})


async def model(request: Request) -> dict[str, Any]:
    """Describe the active model: identity, classes, input size and thresholds."""
    bundle = state_of(request).model_slot.bundle
    return {
        **model_choice.describe(bundle),
        "sha256": bundle.digest,
        "classes": bundle.classes,
        "image_size": bundle.image_size,
        "abstain_below": min(bundle.thresholds),
        "thresholds": dict(zip(bundle.classes, bundle.thresholds, strict=True)),
    }


async def healthz(request: Request) -> dict[str, str]:
    """Liveness: return 503 if the process should be restarted."""
    if not state_of(request).pipeline.batcher.is_alive:
        raise Refused(503, "the inference thread has died")
    return {"status": "alive"}


async def readyz(request: Request) -> dict[str, str]:
    """Readiness: return 503 unless the model and a decoder run and the server is not stopping."""
    if not state_of(request).is_ready:
        raise Refused(503, "not ready")
    return {"status": "ready"}


async def metrics(request: Request) -> Response:
    """Return all metrics in the text format of Prometheus."""
    kind = "text/plain; version=0.0.4"
    return Response(state_of(request).metrics.text(), media_type=kind)


def _model_identity(state: State, results: list[PictureResult]) -> dict[str, str | None]:
    """Describe the model that answered; it may have been replaced since."""
    bundles = (result.bundle for result in results if result.bundle)
    return state.model_slot.describe(next(bundles, state.model_slot.bundle))


def _count(state: State, results: list[PictureResult]) -> None:
    for result in results:
        state.metrics.picture(result)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.unveil
    state.model_slot.watch()
    tasks = [
        asyncio.create_task(_record_counts(state)),
        asyncio.create_task(_check_decoders(state.pipeline.pool)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        state.model_slot.close()
        await asyncio.to_thread(state.pipeline.batcher.close)
        await asyncio.to_thread(state.pipeline.pool.close)
        request_audit.try_record(state.settings.audit, "stop", answered=state.metrics.tally())


async def _record_counts(state: State) -> None:
    while True:
        await asyncio.sleep(MINUTE)
        if counted := state.metrics.tally():
            request_audit.try_record(state.settings.audit, "minute", answered=counted)


async def _check_decoders(pool: DecoderPool) -> None:
    while True:
        has_started = await asyncio.to_thread(pool.check)
        await asyncio.sleep(CHECK_INTERVAL if has_started else START_INTERVAL)
