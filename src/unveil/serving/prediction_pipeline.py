"""The prediction pipeline: bytes of a picture -> faces -> classes; nothing of them is stored.

The size of a picture is checked first, from its header and file structure. Decoder and detector
run in processes (`decoder_pool.py`) that are killed after a timeout; a picture as small as a face
is decoded in the server itself. The model runs in a thread of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from unveil.data.decoding import ImageInfo, Limits, Pixels, UnreadableImage, inspect
from unveil.inference.bundle import MAX_BATCH, Bundle
from unveil.inference.decision import Answer, answer
from unveil.inference.face_crop import Detection, Square
from unveil.inference.face_detector import FACE_SIDE
from unveil.serving.admission_queue import AdmissionQueue
from unveil.serving.batching import Batcher
from unveil.serving.decoder_pool import DecoderPool, DecodingFailed
from unveil.serving.decoder_worker import DecodeOptions, FoundFaces, find_faces

HEAVY_PIXELS = 4_000_000
"""Pixels times scans above which a request uses the queue for expensive requests."""
HEAVY_BYTES = 1_000_000
"""The same limit in bytes: for uncompressed formats and those that Pillow decodes in Python."""

TINY_BYTES = 8_000
"""The most bytes of a picture that is inspected in the event loop: a thread would take longer.

Of the worst that fit, 8,000 parts of a file, the inspection takes about 5 ms.
"""
COMPRESSED_TEXT = (b"zTXt", b"iTXt")
"""Chunks of PNG files that may have a thousand times their size."""
SMALL_BYTES = 64_000
"""The most bytes of a picture of one face that is decoded in the server itself."""

Inspected = ImageInfo | FoundFaces | str
"""The result of an inspection: the size of a picture, its face if small, or the error message."""


@dataclass(frozen=True)
class PictureResult:
    """A picture's faces with places and answers, or the reason: ``no_face`` or the decoding error.

    ``bundle`` is the one that answered; ``None`` if the model was not needed.
    """

    faces: tuple[tuple[Detection, Answer], ...] = ()
    reason: str | None = None
    bundle: Bundle | None = None


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request: of each picture, and the pixels and seconds of a batch."""

    picture: Limits
    batch_pixels: int
    batch_seconds: float


@dataclass(frozen=True)
class AdmissionQueues:
    """Admission control: ``light`` for cheap requests, ``heavy`` for expensive ones."""

    light: AdmissionQueue
    heavy: AdmissionQueue


@dataclass(frozen=True)
class Pipeline:
    """Admits, decodes, detects and classifies pictures."""

    pool: DecoderPool
    batcher: Batcher
    queues: AdmissionQueues
    limits: RequestLimits
    observe_sizes: Callable[[Sequence[float]], None]
    """Called with the longer side of each face's box, in pixels."""

    async def predict(self, picture: bytes) -> PictureResult:
        """Classify the faces of a picture.

        Raises, as the methods below do:
            UnreadableImage: if the picture cannot be decoded or exceeds a limit.
            QueueFull: if it would wait too long.
            DecodingFailed: if decoding takes too long.
            ModelFailed: if the model fails.
        """
        return _readable(await self.predict_batch([picture]))

    async def predict_frame(
        self, frame: bytes, *, watched: bool, near: tuple[Square, ...] = ()
    ) -> PictureResult:
        """Classify the faces of a video frame; only larger ones, or those ``near`` known ones."""
        options = DecodeOptions(self.batcher.image_size, moving=True, near=near)
        return _readable(await self._predict([frame], options, watched=watched))

    async def predict_batch(
        self, pictures: Sequence[bytes], *, watched: bool = True
    ) -> list[PictureResult]:
        """Classify several pictures; the result of an unreadable one has the reason."""
        options = DecodeOptions(self.batcher.image_size)
        return await self._predict(pictures, options, watched=watched)

    async def face(self, picture: bytes) -> Pixels:
        """Crop the only face of a picture as the model sees it, gray ``(size, size)``.

        Raises:
            UnreadableImage: also if there is not exactly one face.
        """
        async with self._admitted([picture]) as inspected:
            options = DecodeOptions(self.batcher.image_size)
            (found,) = await self._find_all([picture], inspected, options)
        if isinstance(found, str):
            raise UnreadableImage(found)
        if len(found) != 1:
            raise UnreadableImage(f"{len(found)} faces; a picture of one face is required")
        return found[0][1]

    async def _predict(
        self, pictures: Sequence[bytes], options: DecodeOptions, *, watched: bool
    ) -> list[PictureResult]:
        async with self._admitted(pictures) as inspected:
            found = await self._find_all(pictures, inspected, options)
            faces = [face for one in found if not isinstance(one, str) for face in one]
            answers = iter(await self._answers([crop for _, crop in faces], watched=watched))
        if watched and faces:
            self.observe_sizes([max(found.box[2:]) for found, _ in faces])
        results = []
        for one in found:
            if isinstance(one, str):
                results.append(PictureResult(reason=one))
                continue
            answered = [(place, *next(answers)) for place, _ in one]
            if not answered:
                results.append(PictureResult(reason="no_face"))
            else:
                named = tuple((place, face) for place, face, _ in answered)
                results.append(PictureResult(faces=named, bundle=answered[0][2]))
        return results

    @asynccontextmanager
    async def _admitted(self, pictures: Sequence[bytes]) -> AsyncIterator[list[Inspected]]:
        """Inspect pictures and hold their places in the queue that fits their cost."""
        with ExitStack() as place:
            place.enter_context(self.queues.light.admit(len(pictures)))
            limits, size = self.limits.picture, self.batcher.image_size
            if is_tiny(pictures):
                inspected = _inspect_all(pictures, limits, size)
            else:
                inspected = await asyncio.to_thread(_inspect_all, pictures, limits, size)
            pixels = sum(one.width * one.height for one in inspected if isinstance(one, ImageInfo))
            if len(inspected) > 1 and pixels > self.limits.batch_pixels:
                most = self.limits.batch_pixels
                raise UnreadableImage(f"{pixels} pixels in all pictures, more than {most}")
            if _is_heavy(inspected):
                place.close()
                place.enter_context(self.queues.heavy.admit(len(pictures)))
            yield inspected

    async def _find_all(
        self, pictures: Sequence[bytes], inspected: Sequence[Inspected], options: DecodeOptions
    ) -> list[FoundFaces | str]:
        found = [one for one in inspected if not isinstance(one, ImageInfo)]
        if len(found) == len(inspected):
            return found
        heavy, seconds = _is_heavy(inspected), self.limits.batch_seconds
        try:
            async with asyncio.timeout(seconds):
                # One after the other: a batch must not occupy all processes.
                return [
                    await self._find(picture, options, heavy=heavy)
                    if isinstance(one, ImageInfo)
                    else one
                    for picture, one in zip(pictures, inspected, strict=True)
                ]
        except TimeoutError:
            raise DecodingFailed(f"it took more than {seconds:g} seconds") from None

    async def _find(
        self, picture: bytes, options: DecodeOptions, *, heavy: bool
    ) -> FoundFaces | str:
        try:
            return await self.pool.find(picture, options, heavy=heavy)
        except UnreadableImage as error:
            return str(error)

    async def _answers(
        self, crops: Sequence[Pixels], *, watched: bool
    ) -> list[tuple[Answer, Bundle]]:
        answers: list[tuple[Answer, Bundle]] = []
        # In parts, so that faces of other requests are processed in between.
        for start in range(0, len(crops), MAX_BATCH):
            part = await self.batcher.predict(crops[start : start + MAX_BATCH], watched=watched)
            bundle = part.bundle
            rows = part.probabilities
            answers += [(answer(row, bundle.classes, bundle.thresholds), bundle) for row in rows]
        return answers


def is_tiny(pictures: Sequence[bytes]) -> bool:
    """Whether the pictures cost so little that the event loop inspects them itself."""
    return (
        len(pictures) == 1
        and len(pictures[0]) <= TINY_BYTES
        and not any(chunk in pictures[0] for chunk in COMPRESSED_TEXT)
    )


def _inspect_all(pictures: Sequence[bytes], limits: Limits, size: int) -> list[Inspected]:
    return [_inspect(one, limits, size) for one in pictures]


def _inspect(picture: bytes, limits: Limits, size: int) -> Inspected:
    try:
        one = inspect(picture, limits)
        if max(one.width, one.height) > FACE_SIDE or one.content > SMALL_BYTES:
            return one
        # As small as a face: sending it to another process would take longer than decoding it.
        return find_faces(picture, DecodeOptions(size), limits)
    except UnreadableImage as error:
        return str(error)


def _is_heavy(inspected: Sequence[Inspected]) -> bool:
    sizes = [one for one in inspected if isinstance(one, ImageInfo)]
    work = sum(one.width * one.height * max(1, one.scans) for one in sizes)
    return work > HEAVY_PIXELS or sum(one.content for one in sizes) > HEAVY_BYTES


def _readable(results: Sequence[PictureResult]) -> PictureResult:
    (result,) = results
    if result.reason not in (None, "no_face"):
        raise UnreadableImage(result.reason)
    return result
