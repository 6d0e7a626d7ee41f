"""Video: frames come in over a WebSocket, answers go out, and a frame that is stale is dropped.

A client sends each frame as one binary message, an image file's bytes, and need not wait. While a
frame is looked at the newest one waits and replaces any that waited before it. Each answer is a
text message, JSON of a ``Picture`` with the number of its frame (from 0) and how many were dropped:
``{"frame", "dropped", "faces", "reason"}``. Where the server has too much to do the frame is one of
these, and the reason is ``busy``; ``{"frame", "dropped", "error"}`` says that it cannot be read,
took too long or that the model failed. Only a frame that was replaced has no answer, but the newer
one has.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from unveil.data.decoding import UnreadableImage
from unveil.serving.admission import Full
from unveil.serving.batching import ModelFailed
from unveil.serving.decoder_pool import GivenUp
from unveil.serving.middleware import WELCOME
from unveil.serving.pipeline import Looked
from unveil.serving.refusal import Refused, refuse
from unveil.serving.schemas import told
from unveil.serving.state import State, state_of

WATCHED = 1.0
"""Seconds between two frames on which drift is measured: neighbours show the same face."""

BUSY = "busy"
"""The reason of a frame that was not looked at since the server is full."""
IDLE = 60.0
"""Seconds without a frame after which a stream is closed."""
PAUSE = 0.1
"""Seconds in which a server that is full takes no frame: a client may send the next at once."""
AGAIN = 1.0
"""Seconds after which a stream is asked again whether its token still is one."""

router = APIRouter()


class Newest:
    """One frame that waits: a newer one takes its place."""

    def __init__(self) -> None:
        """Hold none."""
        self.dropped = 0
        self._said = 0
        self._count = 0
        self._held: tuple[int, bytes] | None = None
        self._there = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Hold the next frame, and drop the one that was held."""
        self.dropped += self._held is not None
        self._held = (self._count, frame)
        self._count += 1
        self._there.set()

    def newly_dropped(self) -> int:
        """How many were dropped since this was last asked."""
        new, self._said = self.dropped - self._said, self.dropped
        return new

    async def take(self) -> tuple[int, bytes]:
        """Wait for a frame; gives its number, too."""
        await self._there.wait()
        self._there.clear()
        assert self._held is not None
        taken, self._held = self._held, None
        return taken


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Answer the frames of one video until its client is gone."""
    state = state_of(socket)
    if state.streams >= state.settings.streams:
        busy = refuse(Refused(429, "too many streams", retry_after="1"))
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
    newest = Newest()
    reading = asyncio.ensure_future(_read(socket, newest))
    answering = asyncio.ensure_future(_answer(socket, state, newest))
    judging = asyncio.ensure_future(_judge(socket.scope.get(WELCOME, lambda: True)))
    tasks = (reading, answering, judging)
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    state.metrics.frame("dropped", newest.newly_dropped())
    code = next((end for end in ends if isinstance(end, int)), 1011)
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)


async def _read(socket: WebSocket, newest: Newest) -> int:
    """Take frames until there are no more; gives the code to close with."""
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), IDLE)
        except TimeoutError:
            return 1000
        if message["type"] == "websocket.disconnect":
            return 1000
        frame = message.get("bytes")
        if frame is None:
            return 1003
        newest.put(frame)


async def _judge(is_welcome: Callable[[], bool]) -> int:
    """Wait until the client's token is taken back; gives the code to close with."""
    while is_welcome():
        await asyncio.sleep(AGAIN)
    return 1008


async def _answer(socket: WebSocket, state: State, newest: Newest) -> None:
    due = 0.0
    while True:
        number, frame = await newest.take()
        watched = (now := time.monotonic()) >= due
        due = now + WATCHED if watched else due
        answer = await _looked(state, newest, frame, watched=watched)
        state.metrics.frame("dropped", newest.newly_dropped())
        line = json.dumps({"frame": number, "dropped": newest.dropped, **answer})
        # Who does not read is not waited for.
        await asyncio.wait_for(socket.send_text(line), IDLE)
        if answer.get("reason") == BUSY:
            await asyncio.sleep(PAUSE)


async def _looked(state: State, newest: Newest, frame: bytes, *, watched: bool) -> dict[str, Any]:
    try:
        looked = await state.pipeline.look_at_frame(frame, watched=watched)
    except Full:
        newest.dropped += 1
        return told(Looked(reason=BUSY))
    except (ModelFailed, GivenUp) as error:
        newest.dropped += 1
        return {"error": str(error)}
    except UnreadableImage as error:
        state.metrics.frame("unreadable")
        return {"error": str(error)}
    state.metrics.frame("answered")
    state.metrics.looked(looked)
    return told(looked)
