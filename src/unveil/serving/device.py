"""What a device needs to answer by itself, so that its pictures never leave it (private mode).

Gives the bundle's card and network, and the cascade that finds faces; takes nothing. Refused where
the server was started with ``--no-private``.
"""

import asyncio
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from unveil import detect, lineage
from unveil.answer import bound
from unveil.bundle import Bundle
from unveil.bundle_folder import FILES
from unveil.files import sha256
from unveil.serving.refusal import Refused, documented
from unveil.serving.state import State, state_of
from unveil.serving.worker import MOST

NETWORK = FILES["float32"]
_REFUSED = documented(401, 404, 503)

router = APIRouter(prefix="/v1/device", responses=_REFUSED)


@router.get("", summary="What a device is to know to answer by itself")
async def card(request: Request) -> dict[str, Any]:
    """Say what the network takes and means, and how faces are looked for."""
    bundle = _served(request).live.bundle
    told = bundle.card
    return {
        "classes": told.classes,
        "image_size": told.image_size,
        "abstain_below": bound(told.abstain_below),
        "architecture": told.architecture,
        "model": lineage.described(bundle),
        "digest": told.digests[NETWORK],
        "cascade_digest": detect.CASCADE,
        "face_side": detect.FACE_SIDE,
        "most": MOST,
        "still": asdict(detect.STILL),
        "moving": asdict(detect.MOVING),
    }


@router.get("/model.onnx", summary="The network that answers now", response_class=Response)
async def network(request: Request) -> Response:
    """Give the network's file; who names its digest in ``If-None-Match`` gets it but once."""
    state = _served(request)
    bundle = state.live.bundle
    headers = {"etag": f'"{bundle.card.digests[NETWORK]}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    file = await asyncio.to_thread(_file, bundle, state.settings.keep)
    # In pieces: a slow reader of a large network holds none of it.
    return FileResponse(file, media_type="application/octet-stream", headers=headers)


@router.get("/cascade.xml", summary="What finds faces", response_class=Response)
async def cascade(request: Request) -> Response:
    """Give OpenCV's cascade as OpenCV wrote it, licence included."""
    _served(request)
    return FileResponse(detect.cascade_file(), media_type="application/xml")


def _served(request: Request) -> State:
    state = state_of(request)
    if not state.settings.private:
        raise Refused(404, "this server gives its network to nobody: --no-private")
    return state


def _file(bundle: Bundle, keep: Path) -> Path:
    # The folder may have a newer bundle, or a broken one, while another answers.
    for folder in (bundle.folder, keep):
        path = folder / NETWORK
        with suppress(OSError):
            if sha256(path) == bundle.card.digests[NETWORK]:
                return path
    raise Refused(503, "the network's file is away", retry_after="1")
