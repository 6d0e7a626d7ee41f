"""The pages for people: the web page, its sample pictures, the notice and the API documentation."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from unveil.serving import privacy_notice, samples
from unveil.serving.error_responses import Refused
from unveil.serving.state import state_of

PAGE = Path(__file__).with_name("static")
_HTML = {"content": {"text/html": {"schema": {"type": "string"}}}}

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """Return the web page; its files are below /static."""
    return FileResponse(PAGE / "index.html")


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """Return Swagger UI; its files are below /static/vendor."""
    return FileResponse(PAGE / "docs.html")


@router.get("/samples/{name}.png", include_in_schema=False)
def sample(name: str) -> Response:
    """Return a drawn picture to try the page with."""
    if name not in samples.SAMPLES:
        raise Refused(404, f"samples are {', '.join(samples.SAMPLES)}")
    return Response(samples.png(name), media_type="image/png")


@router.get(
    "/notice",
    summary="Notice for affected people",
    response_class=PlainTextResponse,
    responses={200: _HTML},
)
async def notice(request: Request) -> Response:
    """Return the notice to display where faces are analysed: text, or HTML for browsers."""
    state = state_of(request)
    wants_html = prefers_html(request.headers.get("accept", ""))
    write = privacy_notice.html if wants_html else privacy_notice.text
    content = write(state.purpose, state.settings, state.model_slot.bundle.classes)
    kind = HTMLResponse if wants_html else PlainTextResponse
    return kind(content, headers={"vary": "accept"})


def prefers_html(accept: str) -> bool:
    """Whether a client names HTML, as browsers do, and wants plain text less."""
    weights = {}
    for one in accept.lower().split(","):
        kind, _, parameters = one.partition(";")
        weights[kind.strip()] = _weight(parameters)
    return weights.get("text/html", 0.0) > weights.get("text/plain", 0.0)


def _weight(parameters: str) -> float:
    """Return the quality of a media type in an Accept header, 0 to 1."""
    for one in parameters.split(";"):
        name, _, value = one.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
