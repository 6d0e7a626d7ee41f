"""Faces that wait -> their probabilities, all that wait at once in one call of the model.

While the model works on a batch the next one gathers: a single face waits for nobody, and the more
there are the larger are the batches. One thread asks the model; an error of it is the error of
those faces alone.
"""

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unveil.data.decoding import Pixels, resize
from unveil.inference.bundle import LARGEST, Answers, Bundle

SLOWEST = 30.0
"""Seconds after which nobody waits for the model any more."""


class ModelFailed(Exception):
    """The model raised, or its answers are no numbers; the message names no face."""


class Current(Protocol):
    """What has a bundle of now, which may be another one later."""

    @property
    def bundle(self) -> Bundle:
        """The bundle of now."""


class Watched(Protocol):
    """What is told of each batch: how many faces it had and how many seconds it took."""

    def __call__(self, faces: int, seconds: float) -> None:
        """Count it."""


class Witness(Protocol):
    """What is told, after the answers are out, of faces ``(n, s, s, 1)`` and what was said."""

    def __call__(self, bundle: Bundle, images: NDArray[np.uint8], answers: Answers) -> None:
        """Count them; nothing of them may be kept."""


_FAILED = "the model failed on these faces"


@dataclass(frozen=True)
class Asked:
    """Probabilities ``(n, classes)`` of some faces, and the bundle that gave them."""

    bundle: Bundle
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class _Item:
    faces: Sequence[Pixels]
    answer: asyncio.Future[Asked]
    loop: asyncio.AbstractEventLoop
    watched: bool


class Batcher:
    """The thread that asks the model, and the faces that wait for it.

    Nothing here bounds how many wait: the turnstile does, before a face is found.
    """

    def __init__(self, live: Current, watched: Watched, looked: Witness | None = None) -> None:
        """Start to answer with whatever bundle ``live`` has at the time."""
        self._live = live
        self._watched = watched
        self._looked = looked
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether there is a thread that answers."""
        return self._thread.is_alive()

    @property
    def image_size(self) -> int:
        """The side of the faces it had best be asked about, in pixels."""
        return self._live.bundle.image_size

    async def ask(self, faces: Sequence[Pixels], *, watched: bool = True) -> Asked:
        """Wait for the probabilities of faces, gray of any size; the model's error is raised.

        Drift is not measured on those that are not ``watched``.
        """
        loop = asyncio.get_running_loop()
        item = _Item(faces, loop.create_future(), loop, watched)
        self._waiting.put(item)
        try:
            async with asyncio.timeout(SLOWEST):
                return await item.answer
        except TimeoutError:
            raise ModelFailed("the model did not answer in time") from None

    def close(self) -> None:
        """Answer those that wait, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while first := self._waiting.get():
            items, count = [first], len(first.faces)
            while count < LARGEST and not self._waiting.empty():
                another = self._waiting.get()
                if another is None:
                    self._waiting.put(None)
                    break
                items.append(another)
                count += len(another.faces)
            self._answer(items)

    def _answer(self, items: list[_Item]) -> None:
        began, bundle = time.perf_counter(), self._live.bundle
        try:
            images = _images(bundle, [face for item in items for face in item.faces])
            answers = bundle.answers(images)
            self._watched(len(images), time.perf_counter() - began)
        except Exception as error:
            print(f"unveil: the model failed: {error}", file=sys.stderr, flush=True)
            for item in items:
                _tell(item, ModelFailed(_FAILED))
            return
        start, chosen = 0, np.zeros(len(images), bool)
        for item in items:
            end = start + len(item.faces)
            rows = answers.probabilities[start:end]
            finite = bool(np.isfinite(rows).all())
            _tell(item, Asked(bundle, rows) if finite else ModelFailed(_FAILED))
            chosen[start:end] = finite and item.watched
            start = end
        self._look(bundle, images[chosen], _of(answers, chosen))

    def _look(self, bundle: Bundle, images: NDArray[np.uint8], answers: Answers) -> None:
        if self._looked is None or not len(images):
            return
        try:
            self._looked(bundle, images, answers)
        except Exception as error:  # who only watches may not end the thread that answers
            print(f"unveil: drift is not measured: {error}", file=sys.stderr, flush=True)


def _images(bundle: Bundle, faces: Sequence[Pixels]) -> NDArray[np.uint8]:
    # Resized here and not before: between the two another bundle may have come, of another size.
    return np.stack([resize(face, bundle.image_size) for face in faces])[..., np.newaxis]


def _of(answers: Answers, chosen: NDArray[np.bool_]) -> Answers:
    embeddings = answers.embeddings
    return Answers(
        answers.probabilities[chosen], None if embeddings is None else embeddings[chosen]
    )


def _tell(item: _Item, outcome: Asked | Exception) -> None:
    def settle() -> None:
        if item.answer.done():
            return
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome)

    try:
        item.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return
