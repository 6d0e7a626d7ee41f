"""Version 2 of the Open Inference Protocol, for existing clients of it.

Input: face crops ``(n, size, size, 1)`` in 0..255. Output: probabilities. Source:
https://github.com/kserve/open-inference-protocol, specification of REST.
"""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from unveil.data.decoding import Pixels
from unveil.inference.decision import answer
from unveil.serving.error_responses import Refused, error_responses
from unveil.serving.model_slot import digest
from unveil.serving.schemas import json_body, request_body
from unveil.serving.state import state_of

NAME = "facial-emotion"
MOST = 64
"""The most faces in one request: parsing more JSON would delay all other requests."""
_BESIDES = 20
"""Values of a request besides the pixels."""

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

Byte = Annotated[int, Field(ge=0, le=255)]


class Tensor(BaseModel):
    """Face crops: gray, square, of the model's input size."""

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
    data: list[Byte] = Field(description="The pixels in row-major order, flat.")


class Inference(BaseModel):
    """A request of the protocol."""

    id: Annotated[str, Field(max_length=100)] | None = None
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=1)]


@router.get("/health/live", summary="Liveness")
async def live() -> dict[str, bool]:
    """Liveness of the server."""
    return {"live": True}


@router.get("/health/ready", summary="Readiness", responses=error_responses(503))
async def ready(request: Request) -> dict[str, bool]:
    """Readiness of the server; 503 if it does not accept requests."""
    if not state_of(request).is_ready:
        raise Refused(503, "not ready")
    return {"ready": True}


@router.get("", summary="Server metadata", responses=error_responses(400, 401))
async def server() -> dict[str, Any]:
    """Return name, version and extensions of the server."""
    return {"name": "unveil", "version": "1", "extensions": []}


@router.get(f"/models/{NAME}", summary="Model metadata", responses=error_responses(400, 401))
async def model(request: Request) -> dict[str, Any]:
    """Describe the inputs and outputs of the active model."""
    bundle = state_of(request).model_slot.bundle
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
    summary="Model readiness",
    responses=error_responses(400, 401, 503),
)
async def model_ready(request: Request) -> dict[str, Any]:
    """Readiness of the model; 503 if the server does not accept requests."""
    await ready(request)
    return {"name": NAME, "ready": True}


@router.post(
    f"/models/{NAME}/infer",
    summary="Classify face crops",
    openapi_extra=request_body(Inference),
    responses=error_responses(400, 401, 408, 413, 415, 422, 429, 503),
)
async def infer(request: Request) -> JSONResponse:
    """Return the class probabilities of face crops."""
    state = state_of(request)
    size = state.model_slot.bundle.image_size
    sent = await json_body(request, Inference, most=MOST * size * size + _BESIDES)
    faces = _faces(sent.inputs[0], size)
    with state.pipeline.queues.light.admit(len(faces)):
        predictions = await state.pipeline.batcher.predict(faces)
    bundle = predictions.bundle
    for row in predictions.probabilities:
        state.metrics.face(answer(row, bundle.classes, bundle.thresholds).emotion or "unsure")
    output = {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": list(predictions.probabilities.shape),
        "data": predictions.probabilities.ravel().tolist(),
    }
    content = {"model_name": NAME, "model_version": digest(bundle), "outputs": [output]}
    return JSONResponse(content if sent.id is None else {**content, "id": sent.id})


def _faces(tensor: Tensor, size: int) -> list[Pixels]:
    count = tensor.shape[0]
    if tensor.shape[1:] != [size, size, 1] or count > MOST:
        raise Refused(422, f"shape must be [n, {size}, {size}, 1], n at most {MOST}")
    if len(tensor.data) != count * size * size:
        raise Refused(422, f"{len(tensor.data)} bytes do not fill the shape")
    return list(np.array(tensor.data, np.uint8).reshape(count, size, size))
