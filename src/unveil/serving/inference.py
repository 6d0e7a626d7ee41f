"""Version 2 of the Open Inference Protocol, for clients that speak it already.

Faces go in as they are packed, ``(n, size, size, 1)`` in 0..255; probabilities come out. Source:
https://github.com/kserve/open-inference-protocol, specification of REST.
"""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from unveil.data.decoding import Pixels
from unveil.inference.decision import answer
from unveil.serving.model_slot import digest
from unveil.serving.refusal import Refused, documented
from unveil.serving.schemas import asked, described
from unveil.serving.state import state_of

NAME = "facial-emotion"
MOST = 64
"""Faces in one request: to read the JSON of more would hold up all others."""
_BESIDES = 20
"""Values of a request that are no pixels."""

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

Byte = Annotated[int, Field(ge=0, le=255)]


class Tensor(BaseModel):
    """Faces: gray, square, of the model's size."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "faces",
                    "shape": [1, 2, 2, 1],
                    "datatype": "UINT8",
                    "data": [0, 90, 9, 255],
                }
            ]
        }
    )
    name: Literal["faces"]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=4, max_length=4)]
    datatype: Literal["UINT8"]
    data: list[Byte] = Field(description="Row by row, flat.")


class Inference(BaseModel):
    """A request of the protocol."""

    id: Annotated[str, Field(max_length=100)] | None = None
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=1)]


@router.get("/health/live", summary="Whether the server runs")
async def live() -> dict[str, bool]:
    """Say that it does."""
    return {"live": True}


@router.get("/health/ready", summary="Whether the server answers", responses=documented(503))
async def ready(request: Request) -> dict[str, bool]:
    """Say whether it does."""
    if not state_of(request).is_ready:
        raise Refused(503, "not ready")
    return {"ready": True}


@router.get("", summary="What the server is", responses=documented(400, 401))
async def server() -> dict[str, Any]:
    """Name the server."""
    return {"name": "unveil", "version": "1", "extensions": []}


@router.get(f"/models/{NAME}", summary="What the model is", responses=documented(400, 401))
async def model(request: Request) -> dict[str, Any]:
    """Describe inputs and outputs of the model of now."""
    bundle = state_of(request).live.bundle
    size = bundle.image_size
    return {
        "name": NAME,
        "versions": [digest(bundle)],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "faces", "datatype": "UINT8", "shape": [-1, size, size, 1]}],
        "outputs": [
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [-1, len(bundle.classes)],
                "parameters": {"classes": list(bundle.classes)},
            }
        ],
    }


@router.get(
    f"/models/{NAME}/ready",
    summary="Whether the model answers",
    responses=documented(400, 401, 503),
)
async def model_ready(request: Request) -> dict[str, Any]:
    """Say whether it does."""
    await ready(request)
    return {"name": NAME, "ready": True}


@router.post(
    f"/models/{NAME}/infer",
    summary="Probabilities of faces",
    openapi_extra=described(Inference),
    responses=documented(400, 401, 408, 413, 415, 422, 429, 503),
)
async def infer(request: Request) -> JSONResponse:
    """Answer for faces that were cut out already."""
    state = state_of(request)
    size = state.live.bundle.image_size
    wanted = await asked(request, Inference, most=MOST * size * size + _BESIDES)
    faces = _faces(wanted.inputs[0], size)
    with state.pipeline.gates.light.passed(len(faces)):
        answered = await state.pipeline.batcher.ask(faces)
    bundle = answered.bundle
    for row in answered.probabilities:
        state.metrics.face(answer(row, bundle.classes, bundle.abstain_below).emotion or "unsure")
    output = {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": list(answered.probabilities.shape),
        "data": answered.probabilities.ravel().tolist(),
    }
    told = {"model_name": NAME, "model_version": digest(bundle), "outputs": [output]}
    return JSONResponse(told if wanted.id is None else {**told, "id": wanted.id})


def _faces(tensor: Tensor, size: int) -> list[Pixels]:
    count = tensor.shape[0]
    if tensor.shape[1:] != [size, size, 1] or count > MOST:
        raise Refused(422, f"shape is to be [n, {size}, {size}, 1], n at most {MOST}")
    if len(tensor.data) != count * size * size:
        raise Refused(422, f"{len(tensor.data)} bytes do not fill the shape")
    return list(np.array(tensor.data, np.uint8).reshape(count, size, size))
