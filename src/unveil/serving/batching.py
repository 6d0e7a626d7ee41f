"""Dynamic batching: all waiting faces go to the model in one call.

While the model works on a batch, the next one collects: a single face is processed at once, and
batches grow with the load. One thread runs the model; an error affects only the faces of that
batch.
"""

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unveil.data.decoding import Pixels, resize
from unveil.inference.bundle import MAX_BATCH, Answers, Bundle

TIMEOUT = 30.0
"""Seconds to wait for the model."""


class ModelFailed(Exception):
    """The model raised an error or returned non-finite numbers; the message names no face."""


class BundleSource(Protocol):
    """Provides the active bundle, which may change over time."""

    @property
    def bundle(self) -> Bundle:
        """The active bundle."""


class BatchObserver(Protocol):
    """Called after each batch with its number of faces and its seconds."""

    def __call__(self, faces: int, seconds: float) -> None:
        """Count the batch."""


class AnswerObserver(Protocol):
    """Called with faces ``(n, s, s, 1)`` and their answers, after these were returned."""

    def __call__(self, bundle: Bundle, images: NDArray[np.uint8], answers: Answers) -> None:
        """Count them; no face or answer may be stored."""


_FAILED = "the model failed on these faces"


@dataclass(frozen=True)
class Predictions:
    """Probabilities ``(n, classes)`` of some faces, and the bundle that computed them."""

    bundle: Bundle
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class _Item:
    faces: Sequence[Pixels]
    answer: asyncio.Future[Predictions]
    loop: asyncio.AbstractEventLoop
    watched: bool


class Batcher:
    """The inference thread and the queue of faces that wait for it.

    The queue is unbounded: ``AdmissionQueue`` limits the pictures before their faces are detected.
    """

    def __init__(
        self,
        source: BundleSource,
        observe_batch: BatchObserver,
        observe_answers: AnswerObserver | None = None,
    ) -> None:
        """Start the thread; each batch uses the bundle that ``source`` has at that time."""
        self._source = source
        self._observe_batch = observe_batch
        self._observe_answers = observe_answers
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the inference thread runs."""
        return self._thread.is_alive()

    @property
    def image_size(self) -> int:
        """The side of the model's input, in pixels; faces of other sizes are resized."""
        return self._source.bundle.image_size

    async def predict(self, faces: Sequence[Pixels], *, watched: bool = True) -> Predictions:
        """Return the probabilities of faces, gray ``(h, w)`` of any size.

        Drift is only measured on faces that are ``watched``.

        Raises:
            ModelFailed: if the model failed or did not answer within ``TIMEOUT`` seconds.
        """
        loop = asyncio.get_running_loop()
        item = _Item(faces, loop.create_future(), loop, watched)
        self._waiting.put(item)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await item.answer
        except TimeoutError:
            raise ModelFailed("the model did not answer in time") from None

    def close(self) -> None:
        """Answer the waiting requests, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while first := self._waiting.get():
            items, count = [first], len(first.faces)
            while count < MAX_BATCH and not self._waiting.empty():
                another = self._waiting.get()
                if another is None:
                    self._waiting.put(None)
                    break
                items.append(another)
                count += len(another.faces)
            self._answer(items)

    def _answer(self, items: list[_Item]) -> None:
        began, bundle = time.perf_counter(), self._source.bundle
        try:
            images = _images(bundle, [face for item in items for face in item.faces])
            answers = bundle.answers(images)
            self._observe_batch(len(images), time.perf_counter() - began)
        except Exception as error:
            print(f"unveil: the model failed: {error}", file=sys.stderr, flush=True)
            _resolve([(item, ModelFailed(_FAILED)) for item in items])
            return
        start, chosen = 0, np.zeros(len(images), bool)
        outcomes: list[tuple[_Item, Predictions | Exception]] = []
        for item in items:
            end = start + len(item.faces)
            rows = answers.probabilities[start:end]
            finite = bool(np.isfinite(rows).all())
            outcomes.append((item, Predictions(bundle, rows) if finite else ModelFailed(_FAILED)))
            chosen[start:end] = finite and item.watched
            start = end
        _resolve(outcomes)
        self._observe(bundle, images[chosen], _selected(answers, chosen))

    def _observe(self, bundle: Bundle, images: NDArray[np.uint8], answers: Answers) -> None:
        if self._observe_answers is None or not len(images):
            return
        try:
            self._observe_answers(bundle, images, answers)
        except Exception as error:  # an observer must not end the inference thread
            print(f"unveil: drift is not measured: {error}", file=sys.stderr, flush=True)


def _images(bundle: Bundle, faces: Sequence[Pixels]) -> NDArray[np.uint8]:
    # Resized only now: a new bundle with another input size may have become active meanwhile.
    return np.stack([resize(face, bundle.image_size) for face in faces])[..., np.newaxis]


def _selected(answers: Answers, chosen: NDArray[np.bool_]) -> Answers:
    embeddings = answers.embeddings
    return Answers(
        answers.probabilities[chosen], None if embeddings is None else embeddings[chosen]
    )


def _resolve(outcomes: Sequence[tuple[_Item, Predictions | Exception]]) -> None:
    """Settle the futures of a batch: one call for all, since each wakes the event loop's thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Item, Predictions | Exception]]] = {}
    for item, outcome in outcomes:
        by_loop.setdefault(item.loop, []).append((item, outcome))
    for loop, settled in by_loop.items():
        # A closed event loop raises: no client is waiting.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(outcomes: Sequence[tuple[_Item, Predictions | Exception]]) -> None:
    for item, outcome in outcomes:
        if item.answer.done():
            continue
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome)
