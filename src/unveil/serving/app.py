"""The routes: pictures in, answers out; health, numbers, and the notice for exposed people."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from unveil.data.decoding import UnreadableImage
from unveil.inference import model_choice
from unveil.inference.decision import bound
from unveil.serving import audit, device, feedback, inference, notice, stream
from unveil.serving.admission import Full
from unveil.serving.batching import ModelFailed
from unveil.serving.decoder_pool import GivenUp
from unveil.serving.pipeline import Looked
from unveil.serving.refusal import Refused, documented, refuse
from unveil.serving.schemas import (
    LARGEST,
    Answered,
    Batch,
    ModelDescription,
    Pictures,
    asked,
    decoded,
    described,
    told,
)
from unveil.serving.state import State, state_of

PAGE = Path(__file__).with_name("static")
TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff")
MINUTE = 60.0

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of an image file.",
        "content": dict.fromkeys(TYPES, _BYTES),
    }
}
_ASKED = documented(400, 401, 408, 413, 415, 422, 429, 503)


def build(state: State) -> FastAPI:
    """Make the application; its page is what lies in ``static``."""
    app = FastAPI(
        title="unveil",
        summary="What the expression of a face looks like, never what a person feels.",
        version="1",
        lifespan=_lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(HTTPBearer(auto_error=False))],
    )
    app.state.unveil = state
    app.post(
        "/v1/predict",
        summary="Faces of a picture",
        response_model=Answered,
        openapi_extra=_PICTURE,
        responses=_ASKED,
    )(predict)
    app.post(
        "/v1/predict/batch",
        summary="Faces of several pictures",
        response_model=Pictures,
        openapi_extra=described(Batch),
        responses=_ASKED,
    )(predict_batch)
    _about(app)
    app.include_router(inference.router)
    app.include_router(stream.router)
    app.include_router(device.router)
    if state.feedback is not None:
        app.include_router(feedback.router)
    app.get("/", include_in_schema=False)(page)
    app.mount("/static", StaticFiles(directory=PAGE))
    _refusals(app)
    return app


def _about(app: FastAPI) -> None:
    """Add the routes about the server itself."""
    app.get(
        "/v1/model",
        summary="Which model answers now",
        response_model=ModelDescription,
        responses=documented(400, 401),
    )(model)
    app.get("/healthz", summary="Whether the server runs", responses=documented(503))(healthz)
    app.get("/readyz", summary="Whether the server answers", responses=documented(503))(readyz)
    text = PlainTextResponse
    app.get(
        "/metrics",
        summary="Numbers for Prometheus",
        responses=documented(401),
        response_class=text,
    )(metrics)
    app.get("/notice", summary="For people who are looked at", response_class=text)(exposed)


async def predict(request: Request) -> Response:
    """Find the faces of a picture and say what each looks like. Nothing of it is kept."""
    state = state_of(request)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not kind.startswith("image/"):
        raise Refused(415, f"content-type is to be one of {', '.join(TYPES)}")
    looked = await state.pipeline.look(await request.body())
    _count(state, [looked])
    return JSONResponse(told(looked) | {"model": _named(state, [looked])})


async def predict_batch(request: Request) -> Response:
    """Answer for up to 64 pictures in one request; one that cannot be read has its reason."""
    state = state_of(request)
    batch = await asked(request, Batch, most=2 * LARGEST)
    pictures = [decoded(picture) for picture in batch.pictures]
    looked = await state.pipeline.look_at_all(pictures, watched=batch.watched)
    if batch.watched:
        _count(state, looked)
    told_all = [told(one) for one in looked]
    return JSONResponse({"pictures": told_all, "model": _named(state, looked)})


async def model(request: Request) -> dict[str, Any]:
    """Name the model that answers now, with what its answers need to be understood."""
    bundle = state_of(request).live.bundle
    return {
        **model_choice.described(bundle),
        "sha256": bundle.digest,
        "classes": bundle.classes,
        "image_size": bundle.image_size,
        "abstain_below": bound(bundle.abstain_below),
    }


async def page() -> Response:
    """Give the page; what it needs lies below /static."""
    return FileResponse(PAGE / "index.html")


async def healthz(request: Request) -> dict[str, str]:
    """Say whether it is of use to let the process run on."""
    if not state_of(request).pipeline.batcher.is_alive:
        raise Refused(503, "the thread that asks the model has died")
    return {"status": "alive"}


async def readyz(request: Request) -> dict[str, str]:
    """Say whether a request would be answered."""
    if not state_of(request).is_ready:
        raise Refused(503, "not ready")
    return {"status": "ready"}


async def metrics(request: Request) -> Response:
    """Give all numbers."""
    kind = "text/plain; version=0.0.4"
    return Response(state_of(request).metrics.text(), media_type=kind)


async def exposed(request: Request) -> str:
    """Give the text to show where faces are looked at."""
    state = state_of(request)
    return notice.text(state.purpose, state.settings, state.live.bundle.classes)


def _named(state: State, looked: list[Looked]) -> dict[str, str | None]:
    """Name who answered, which may have been replaced since."""
    asked = (one.bundle for one in looked if one.bundle)
    return model_choice.described(next(asked, state.live.bundle))


def _count(state: State, looked: list[Looked]) -> None:
    for one in looked:
        state.metrics.looked(one)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.unveil
    state.live.watch()
    telling = asyncio.create_task(_tell(state))
    try:
        yield
    finally:
        telling.cancel()
        state.live.close()
        await asyncio.to_thread(state.pipeline.batcher.close)
        await asyncio.to_thread(state.pipeline.pool.close)
        audit.note(state.settings.audit, "stop", answered=state.metrics.tally())


async def _tell(state: State) -> None:
    while True:
        await asyncio.sleep(MINUTE)
        if counted := state.metrics.tally():
            audit.note(state.settings.audit, "minute", answered=counted)


def _refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return refuse(error)

    @app.exception_handler(Full)
    async def full(_: Request, error: Full) -> Response:
        line = "more is asked than can be answered in time"
        return refuse(Refused(429, line, retry_after=str(error.retry_after)))

    @app.exception_handler(UnreadableImage)
    async def unreadable(_: Request, error: UnreadableImage) -> Response:
        return refuse(Refused(422, str(error)))

    @app.exception_handler(ModelFailed)
    async def failed(_: Request, error: ModelFailed) -> Response:
        return refuse(Refused(503, str(error), retry_after="1"))

    @app.exception_handler(GivenUp)
    async def given_up(_: Request, error: GivenUp) -> Response:
        return refuse(Refused(503, str(error), retry_after=str(error.retry_after)))

    @app.exception_handler(OSError)
    async def no_room(_: Request, error: OSError) -> Response:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise error
        return refuse(Refused(503, "too many files are open", retry_after="1"))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return refuse(Refused(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return JSONResponse({"error": error.detail}, error.status_code, headers)
