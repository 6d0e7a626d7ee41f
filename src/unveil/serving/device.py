"""Private mode: the files a device needs to classify faces itself, so that no picture leaves it.

Serves the bundle's card, its network and that of the face detector. Refused if the server was
started with ``--no-private``.
"""

import asyncio
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from unveil.common.files import sha256
from unveil.inference import (
    face_detector,
    face_following,
    face_network,
    model_choice,
    picture_sizes,
)
from unveil.inference.bundle import Bundle
from unveil.inference.bundle_files import FILES
from unveil.serving.decoder_worker import MAX_FACES
from unveil.serving.error_responses import Refused, error_responses
from unveil.serving.state import State, state_of

_REFUSED = error_responses(401, 404, 503)

router = APIRouter(prefix="/v1/device", responses=_REFUSED)


@router.get("", summary="Configuration for private mode")
async def card(request: Request) -> dict[str, Any]:
    """Describe the network's input and output, and the settings of face detection."""
    state = _private_state(request)
    bundle, network = state.model_slot.bundle, FILES[state.settings.precision]
    content = bundle.card
    return {
        "classes": content.classes,
        "image_size": content.image_size,
        "abstain_below": min(bundle.thresholds),
        "thresholds": dict(zip(bundle.classes, bundle.thresholds, strict=True)),
        "architecture": content.architecture,
        "model": model_choice.describe(bundle),
        "digest": content.digests[network],
        "detector": face_detector.description(),
        "face_side": face_detector.FACE_SIDE,
        "most": MAX_FACES,
        "still": asdict(picture_sizes.STILL),
        "moving": asdict(picture_sizes.MOVING),
        "following": face_following.description(),
    }


@router.get("/model.onnx", summary="The active network", response_class=Response)
async def network(request: Request) -> Response:
    """Return the file of the network that the server uses, or 304 for ``If-None-Match``."""
    state = _private_state(request)
    bundle, name = state.model_slot.bundle, FILES[state.settings.precision]
    headers = {"etag": f'"{bundle.card.digests[name]}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    file = await asyncio.to_thread(_file, bundle, name, state.settings.keep)
    # Streamed from disk: a slow reader of a large network occupies no memory.
    return FileResponse(file, media_type="application/octet-stream", headers=headers)


@router.get("/detector.onnx", summary="The face detector", response_class=Response)
async def detector(request: Request) -> Response:
    """Return the network of the face detector, or 304 if ``If-None-Match`` has its digest."""
    _private_state(request)
    headers = {"etag": f'"{face_network.DIGEST}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    path = face_network.NETWORK
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def _private_state(request: Request) -> State:
    state = state_of(request)
    if not state.settings.private:
        raise Refused(404, "private mode is disabled on this server: --no-private")
    return state


def _file(bundle: Bundle, name: str, keep: Path) -> Path:
    # The folder may hold a newer or broken bundle while another one is active.
    for folder in (bundle.folder, keep):
        path = folder / name
        with suppress(OSError):
            if sha256(path) == bundle.card.digests[name]:
                return path
    raise Refused(503, "the network's file is missing", retry_after="1")
