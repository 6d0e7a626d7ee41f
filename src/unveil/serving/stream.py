"""Video over a WebSocket: frames in, answers out; outdated frames are dropped.

A client sends each frame as one binary message, the bytes of an image file, without waiting for
the answer. While a frame is processed, the newest one waits and replaces any older waiting frame.
Each answer is a text message: the JSON of a ``Picture`` with the number of its frame (from 0) and
the number of dropped frames, ``{"frame", "dropped", "faces", "reason"}``. If the server is
overloaded, the frame is dropped and its reason is ``busy``. ``{"frame", "dropped", "error"}`` means
that the frame cannot be read, took too long, or that the model failed. Only a replaced frame gets
no answer.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from unveil.data.decoding import UnreadableImage
from unveil.inference.face_following import FollowedFaces
from unveil.serving.admission_queue import QueueFull
from unveil.serving.batching import ModelFailed
from unveil.serving.decoder_pool import DecodingFailed
from unveil.serving.error_responses import Refused, error_response
from unveil.serving.middleware import TOKEN_CHECK
from unveil.serving.prediction_pipeline import PictureResult
from unveil.serving.schemas import picture_json
from unveil.serving.state import State, state_of

DRIFT_INTERVAL = 1.0
"""Seconds between two frames on which drift is measured: neighbouring frames are alike."""

BUSY = "busy"
"""The reason of a frame that was dropped because the server is overloaded."""
IDLE_TIMEOUT = 60.0
"""Seconds without a frame after which a stream is closed."""
PAUSE = 0.1
"""Seconds to wait after a ``busy`` answer, since a client may send its next frame at once."""
TOKEN_CHECK_INTERVAL = 1.0
"""Seconds between two checks of a stream's token."""

router = APIRouter()


class LatestFrame:
    """Holds at most one waiting frame; a newer frame replaces it."""

    def __init__(self) -> None:
        """Create an empty holder."""
        self.dropped = 0
        self._reported = 0
        self._count = 0
        self._held: tuple[int, bytes] | None = None
        self._there = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Store the next frame; a frame that still waits is dropped."""
        self.dropped += self._held is not None
        self._held = (self._count, frame)
        self._count += 1
        self._there.set()

    def newly_dropped(self) -> int:
        """Return the number of frames dropped since the last call."""
        new, self._reported = self.dropped - self._reported, self.dropped
        return new

    async def take(self) -> tuple[int, bytes]:
        """Wait for a frame; returns its number and bytes."""
        await self._there.wait()
        self._there.clear()
        assert self._held is not None
        taken, self._held = self._held, None
        return taken


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Classify the frames of one video until the client disconnects."""
    state = state_of(socket)
    if state.streams >= state.settings.streams:
        busy = error_response(Refused(429, "too many streams", retry_after="1"))
        await socket.send_denial_response(busy)
        return
    state.streams += 1
    try:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol="unveil" if "unveil" in offered else None)
        await _serve(socket, state)
    finally:
        state.streams -= 1


async def _serve(socket: WebSocket, state: State) -> None:
    newest = LatestFrame()
    reading = asyncio.ensure_future(_read(socket, newest))
    answering = asyncio.ensure_future(_answer(socket, state, newest))
    checking = asyncio.ensure_future(_watch_token(socket.scope.get(TOKEN_CHECK, lambda: True)))
    tasks = (reading, answering, checking)
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    state.metrics.frame("dropped", newest.newly_dropped())
    code = next((end for end in ends if isinstance(end, int)), 1011)
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)


async def _read(socket: WebSocket, newest: LatestFrame) -> int:
    """Receive frames until the stream ends; returns the WebSocket close code."""
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), IDLE_TIMEOUT)
        except TimeoutError:
            return 1000
        if message["type"] == "websocket.disconnect":
            return 1000
        frame = message.get("bytes")
        if frame is None:
            return 1003
        newest.put(frame)


async def _watch_token(is_valid: Callable[[], bool]) -> int:
    """Wait until the client's token is revoked; returns the WebSocket close code."""
    while is_valid():
        await asyncio.sleep(TOKEN_CHECK_INTERVAL)
    return 1008


async def _answer(socket: WebSocket, state: State, newest: LatestFrame) -> None:
    due, followed = 0.0, FollowedFaces()
    while True:
        number, frame = await newest.take()
        watched = (now := time.monotonic()) >= due
        due = now + DRIFT_INTERVAL if watched else due
        near = followed.near(now)
        predicted = state.pipeline.predict_frame(frame, watched=watched, near=near)
        answer = await _predict(state, newest, followed, predicted)
        state.metrics.frame("dropped", newest.newly_dropped())
        line = json.dumps({"frame": number, "dropped": newest.dropped, **answer})
        # A client that does not read is disconnected.
        await asyncio.wait_for(socket.send_text(line), IDLE_TIMEOUT)
        if answer.get("reason") == BUSY:
            await asyncio.sleep(PAUSE)


async def _predict(
    state: State, newest: LatestFrame, followed: FollowedFaces, frame: Awaitable[PictureResult]
) -> dict[str, Any]:
    try:
        result = await frame
    except QueueFull:
        newest.dropped += 1
        return picture_json(PictureResult(reason=BUSY))
    except (ModelFailed, DecodingFailed) as error:
        newest.dropped += 1
        return {"error": str(error)}
    except UnreadableImage as error:
        state.metrics.frame("unreadable")
        return {"error": str(error)}
    followed.update([found for found, _ in result.faces])
    state.metrics.frame("answered")
    state.metrics.picture(result)
    return picture_json(result)
