"""Bytes of a picture -> its faces, and what each looks like; nothing of them is kept.

The decoder and the detector run in threads, one for each core; the model has its own.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from unveil.answer import Answer, answer
from unveil.bundle import Bundle
from unveil.detect import Detect, cut, is_face, whole
from unveil.images import Limits, Pixels, UnreadableImage, decode, resize
from unveil.serving.batching import Batcher
from unveil.serving.turnstile import Turnstile

Box = tuple[int, int, int, int]
"""Of a face in its upright picture: left, top, width, height in pixels."""

MOST = 32
"""Faces in one picture that are answered, the largest: a picture may not ask for more work."""


@dataclass(frozen=True)
class Looked:
    """A picture's faces with their boxes, or why there are none: ``no_face`` or what is damaged.

    ``bundle`` is who answered; ``None`` where nobody had to be asked.
    """

    faces: tuple[tuple[Box, Answer], ...] = ()
    reason: str | None = None
    bundle: Bundle | None = None


@dataclass(frozen=True)
class Pipeline:
    """What a picture passes through."""

    detect: Detect
    follow: Detect
    """Finds the faces of a video's frames, where time is short; ``detect`` those of pictures."""
    batcher: Batcher
    turnstile: Turnstile
    threads: ThreadPoolExecutor
    limits: Limits
    sized: Callable[[Sequence[float]], None]
    """Is told the longer side of each face's box, in pixels."""

    async def look(self, picture: bytes) -> Looked:
        """Look at a picture; raises ``UnreadableImage``, or ``Full`` when it would wait long."""
        return _readable(await self.look_at_all([picture]))

    async def look_at_frame(self, frame: bytes, *, watched: bool) -> Looked:
        """Look at a frame of a video, as at a picture, but for larger faces alone."""
        return _readable(await self._look([frame], self.follow, watched=watched))

    async def look_at_all(self, pictures: Sequence[bytes], *, watched: bool = True) -> list[Looked]:
        """Look at several at once; one that cannot be read has its reason."""
        return await self._look(pictures, self.detect, watched=watched)

    async def _look(
        self, pictures: Sequence[bytes], detect: Detect, *, watched: bool
    ) -> list[Looked]:
        with self.turnstile.passed(len(pictures)):
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self.threads, self._find_all, pictures, detect)
            crops = [crop for one in found if not isinstance(one, str) for _, crop in one]
            asked = await self.batcher.ask(crops, watched=watched) if crops else None
        if asked is None:
            return [_looked(one, iter(())) for one in found]
        if watched:
            boxes = [box for one in found if not isinstance(one, str) for box, _ in one]
            self.sized([max(box[2:]) for box in boxes])
        bundle = asked.bundle
        answers = (answer(row, bundle.classes, bundle.abstain_below) for row in asked.probabilities)
        return [replace(_looked(one, answers), bundle=bundle) for one in found]

    async def face(self, picture: bytes) -> Pixels:
        """Cut the one face out of a picture as the model sees it; else ``UnreadableImage``."""
        with self.turnstile.passed():
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self.threads, self._find, picture, self.detect)
        if isinstance(found, str):
            raise UnreadableImage(found)
        if len(found) != 1:
            raise UnreadableImage(f"{len(found)} faces; a picture of one is needed")
        return resize(found[0][1], self.batcher.image_size)

    def _find_all(
        self, pictures: Sequence[bytes], detect: Detect
    ) -> list[list[tuple[Box, Pixels]] | str]:
        return [self._find(picture, detect) for picture in pictures]

    def _find(self, picture: bytes, detect: Detect) -> list[tuple[Box, Pixels]] | str:
        try:
            pixels = decode(picture, self.limits).pixels
        except UnreadableImage as error:
            return str(error)
        found = [whole(pixels)] if is_face(pixels) else detect(pixels)[:MOST]
        return [(face.box, cut(pixels, face, self.batcher.image_size)) for face in found]


def _readable(looked: Sequence[Looked]) -> Looked:
    (one,) = looked
    if one.reason not in (None, "no_face"):
        raise UnreadableImage(one.reason)
    return one


def _looked(found: list[tuple[Box, Pixels]] | str, answers: Iterator[Answer]) -> Looked:
    if isinstance(found, str):
        return Looked(reason=found)
    faces = tuple((box, next(answers)) for box, _ in found)
    return Looked(faces=faces, reason=None if faces else "no_face")
