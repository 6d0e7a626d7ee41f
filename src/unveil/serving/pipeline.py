"""Bytes of a picture -> its faces, and what each looks like; nothing of them is kept.

A picture is measured first, by its header and what its file is made of. The decoder and the
detector run in processes (`pool.py`), which are killed when it takes too long; the model has a
thread of its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unveil.answer import Answer, answer
from unveil.bundle import LARGEST
from unveil.images import Limits, Measured, Pixels, UnreadableImage, measured
from unveil.serving.batching import Batcher
from unveil.serving.pool import Box, Found, GivenUp, Pool
from unveil.serving.turnstile import Turnstile
from unveil.serving.worker import How

HEAVY = 4_000_000
"""Pixels, times the scans they are read in, from which a request waits with others of its kind."""
HEAVY_BYTES = 1_000_000
"""So it does from these on: formats without compression, and those that Pillow reads in Python."""

Size = Measured | str
"""Of a picture before it is decoded, or why it cannot be read."""


@dataclass(frozen=True)
class Looked:
    """A picture's faces with their boxes, or why there are none: ``no_face`` or what is damaged."""

    faces: tuple[tuple[Box, Answer], ...] = ()
    reason: str | None = None


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
        sizes = await self._measured([picture])
        with self._gate(sizes).passed():
            (found,) = await self._find_all([picture], sizes, moving=False)
        if isinstance(found, str):
            raise UnreadableImage(found)
        if len(found) != 1:
            raise UnreadableImage(f"{len(found)} faces; a picture of one is needed")
        return found[0][1]

    async def _look(
        self, pictures: Sequence[bytes], *, moving: bool, watched: bool
    ) -> list[Looked]:
        sizes = await self._measured(pictures)
        with self._gate(sizes).passed(len(pictures)):
            found = await self._find_all(pictures, sizes, moving=moving)
            faces = [face for one in found if not isinstance(one, str) for face in one]
            answers = iter(await self._answers([crop for _, crop in faces], watched=watched))
        if watched and faces:
            self.sized([max(box[2:]) for box, _ in faces])
        told = []
        for one in found:
            if isinstance(one, str):
                told.append(Looked(reason=one))
                continue
            named = tuple((box, next(answers)) for box, _ in one)
            told.append(Looked(faces=named, reason=None if named else "no_face"))
        return told

    async def _measured(self, pictures: Sequence[bytes]) -> list[Size]:
        """Measure pictures; one that cannot be read has its reason."""
        sizes = await asyncio.to_thread(_measure_all, pictures, self.bounds.picture)
        pixels = sum(one.width * one.height for one in sizes if not isinstance(one, str))
        if len(sizes) > 1 and pixels > self.bounds.batch_pixels:
            most = self.bounds.batch_pixels
            raise UnreadableImage(f"{pixels} pixels in all pictures, more than {most}")
        return sizes

    def _gate(self, sizes: Sequence[Size]) -> Turnstile:
        return self.gates.heavy if _is_heavy(sizes) else self.gates.light

    async def _find_all(
        self, pictures: Sequence[bytes], sizes: Sequence[Size], *, moving: bool
    ) -> list[Found | str]:
        how, heavy = How(moving, self.batcher.image_size), _is_heavy(sizes)
        try:
            async with asyncio.timeout(self.bounds.batch_seconds):
                # One after the other: a batch is not to have all processes.
                return [
                    size if isinstance(size, str) else await self._find(one, how, heavy=heavy)
                    for one, size in zip(pictures, sizes, strict=True)
                ]
        except TimeoutError:
            raise GivenUp(f"it took more than {self.bounds.batch_seconds:g} seconds") from None

    async def _find(self, picture: bytes, how: How, *, heavy: bool) -> Found | str:
        try:
            return await self.pool.find(picture, how, heavy=heavy)
        except UnreadableImage as error:
            return str(error)

    async def _answers(self, crops: Sequence[Pixels], *, watched: bool) -> list[Answer]:
        told: list[Answer] = []
        # In parts: others' faces are asked about in between.
        for start in range(0, len(crops), LARGEST):
            asked = await self.batcher.ask(crops[start : start + LARGEST], watched=watched)
            bundle = asked.bundle
            rows = asked.probabilities
            told += [answer(row, bundle.classes, bundle.abstain_below) for row in rows]
        return told


def _measure_all(pictures: Sequence[bytes], limits: Limits) -> list[Size]:
    return [_measure(one, limits) for one in pictures]


def _measure(picture: bytes, limits: Limits) -> Size:
    try:
        return measured(picture, limits)
    except UnreadableImage as error:
        return str(error)


def _is_heavy(sizes: Sequence[Size]) -> bool:
    read = [one for one in sizes if not isinstance(one, str)]
    work = sum(one.width * one.height * max(1, one.scans) for one in read)
    return work > HEAVY or sum(one.content for one in read) > HEAVY_BYTES


def _readable(looked: Sequence[Looked]) -> Looked:
    (one,) = looked
    if one.reason not in (None, "no_face"):
        raise UnreadableImage(one.reason)
    return one
