"""Bytes of a picture -> its faces, and what each looks like; nothing of them is kept.

A picture is measured first, by its header and what its file is made of. The decoder and the
detector run in processes (`pool.py`), which are killed when it takes too long, but for pictures as
small as a face; the model has a thread of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from unveil.data.decoding import Limits, Measured, Pixels, UnreadableImage, measured
from unveil.inference.bundle import LARGEST, Bundle
from unveil.inference.decision import Answer, answer
from unveil.inference.face_detector import FACE_SIDE
from unveil.inference.face_detector import Found as Face
from unveil.serving.admission import Turnstile
from unveil.serving.batching import Batcher
from unveil.serving.decoder_pool import GivenUp, Pool
from unveil.serving.decoder_worker import Box, Found, How, found

HEAVY = 4_000_000
"""Pixels, times the scans they are read in, from which a request waits with others of its kind."""
HEAVY_BYTES = 1_000_000
"""So it does from these on: formats without compression, and those that Pillow reads in Python."""

SMALL_BYTES = 64_000
"""Up to which a picture of one face is decoded in the server itself."""

First = Measured | Found | str
"""What a first look gives: how large a picture is; its face if it is one; why it is unreadable."""


@dataclass(frozen=True)
class Looked:
    """A picture's faces with their boxes, or why there are none: ``no_face`` or what is damaged.

    ``bundle`` is who answered; ``None`` where nobody had to be asked.
    """

    faces: tuple[tuple[Box, Answer], ...] = ()
    reason: str | None = None
    bundle: Bundle | None = None


@dataclass(frozen=True)
class Bounds:
    """What a request may ask for: each picture, the pixels of a batch, and its seconds."""

    picture: Limits
    batch_pixels: int
    batch_seconds: float


@dataclass(frozen=True)
class Gates:
    """Who is let in: ``light`` counts requests that cost little, ``heavy`` the others."""

    light: Turnstile
    heavy: Turnstile


@dataclass(frozen=True)
class Pipeline:
    """What a picture passes through."""

    pool: Pool
    batcher: Batcher
    gates: Gates
    bounds: Bounds
    sized: Callable[[Sequence[float]], None]
    """Is told the longer side of each face's box, in pixels."""

    async def look(self, picture: bytes) -> Looked:
        """Look at a picture; raises ``UnreadableImage``, or ``Full`` when it would wait long.

        ``GivenUp`` where it takes too long, here and below.
        """
        return _readable(await self.look_at_all([picture]))

    async def look_at_frame(self, frame: bytes, *, watched: bool) -> Looked:
        """Look at a frame of a video, as at a picture, but for larger faces alone."""
        return _readable(await self._look([frame], moving=True, watched=watched))

    async def look_at_all(self, pictures: Sequence[bytes], *, watched: bool = True) -> list[Looked]:
        """Look at several at once; one that cannot be read has its reason."""
        return await self._look(pictures, moving=False, watched=watched)

    async def face(self, picture: bytes) -> Pixels:
        """Cut the one face out of a picture as the model sees it; else ``UnreadableImage``."""
        async with self._inside([picture]) as first:
            (found,) = await self._find_all([picture], first, moving=False)
        if isinstance(found, str):
            raise UnreadableImage(found)
        if len(found) != 1:
            raise UnreadableImage(f"{len(found)} faces; a picture of one is needed")
        return found[0][1]

    async def _look(
        self, pictures: Sequence[bytes], *, moving: bool, watched: bool
    ) -> list[Looked]:
        async with self._inside(pictures) as first:
            found = await self._find_all(pictures, first, moving=moving)
            faces = [face for one in found if not isinstance(one, str) for face in one]
            answers = iter(await self._answers([crop for _, crop in faces], watched=watched))
        if watched and faces:
            self.sized([max(box[2:]) for box, _ in faces])
        told = []
        for one in found:
            if isinstance(one, str):
                told.append(Looked(reason=one))
                continue
            named = [(box, *next(answers)) for box, _ in one]
            answered = tuple((box, said) for box, said, _ in named)
            if not named:
                told.append(Looked(reason="no_face"))
            else:
                told.append(Looked(faces=answered, bundle=named[0][2]))
        return told

    @asynccontextmanager
    async def _inside(self, pictures: Sequence[bytes]) -> AsyncIterator[list[First]]:
        """Be inside with pictures that are measured; what costs much has a gate of its own."""
        with ExitStack() as gate:
            gate.enter_context(self.gates.light.passed(len(pictures)))
            limits, size = self.bounds.picture, self.batcher.image_size
            first = await asyncio.to_thread(_first_all, pictures, limits, size)
            pixels = sum(one.width * one.height for one in first if isinstance(one, Measured))
            if len(first) > 1 and pixels > self.bounds.batch_pixels:
                most = self.bounds.batch_pixels
                raise UnreadableImage(f"{pixels} pixels in all pictures, more than {most}")
            if _is_heavy(first):
                gate.close()
                gate.enter_context(self.gates.heavy.passed(len(pictures)))
            yield first

    async def _find_all(
        self, pictures: Sequence[bytes], first: Sequence[First], *, moving: bool
    ) -> list[Found | str]:
        how, heavy = How(moving, self.batcher.image_size), _is_heavy(first)
        try:
            async with asyncio.timeout(self.bounds.batch_seconds):
                # One after the other: a batch is not to have all processes.
                return [
                    await self._find(picture, how, heavy=heavy)
                    if isinstance(one, Measured)
                    else one
                    for picture, one in zip(pictures, first, strict=True)
                ]
        except TimeoutError:
            raise GivenUp(f"it took more than {self.bounds.batch_seconds:g} seconds") from None

    async def _find(self, picture: bytes, how: How, *, heavy: bool) -> Found | str:
        try:
            return await self.pool.find(picture, how, heavy=heavy)
        except UnreadableImage as error:
            return str(error)

    async def _answers(
        self, crops: Sequence[Pixels], *, watched: bool
    ) -> list[tuple[Answer, Bundle]]:
        told: list[tuple[Answer, Bundle]] = []
        # In parts: others' faces are asked about in between.
        for start in range(0, len(crops), LARGEST):
            asked = await self.batcher.ask(crops[start : start + LARGEST], watched=watched)
            bundle = asked.bundle
            rows = asked.probabilities
            told += [(answer(row, bundle.classes, bundle.abstain_below), bundle) for row in rows]
        return told


def _first_all(pictures: Sequence[bytes], limits: Limits, size: int) -> list[First]:
    return [_first(one, limits, size) for one in pictures]


def _first(picture: bytes, limits: Limits, size: int) -> First:
    try:
        one = measured(picture, limits)
        if max(one.width, one.height) > FACE_SIDE or one.content > SMALL_BYTES:
            return one
        # A face already: to have it cut out elsewhere would take longer than to do it.
        return found(picture, _none, limits, size)
    except UnreadableImage as error:
        return str(error)


def _none(picture: Pixels) -> list[Face]:
    return []


def _is_heavy(first: Sequence[First]) -> bool:
    read = [one for one in first if isinstance(one, Measured)]
    work = sum(one.width * one.height * max(1, one.scans) for one in read)
    return work > HEAVY or sum(one.content for one in read) > HEAVY_BYTES


def _readable(looked: Sequence[Looked]) -> Looked:
    (one,) = looked
    if one.reason not in (None, "no_face"):
        raise UnreadableImage(one.reason)
    return one
