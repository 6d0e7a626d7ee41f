"""Frames of a video or a camera -> the apparent expression of every face, tracked over time."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from unveil.inference import annotated_video, face_following, tracking
from unveil.inference.annotate import draw
from unveil.inference.face_crop import Detection
from unveil.inference.face_following import FollowedFaces
from unveil.inference.predict import (
    FacePrediction,
    PredictionSettings,
    crop_faces,
    decide,
    detect_faces,
    labels,
    no_face,
)
from unveil.inference.tracking import Track
from unveil.inference.video_frames import Frame, Stream


def predict_video(
    stream: Stream, source: str, settings: PredictionSettings, target: Path | None = None
) -> Iterator[list[FacePrediction]]:
    """Predict every face of each frame, with probabilities smoothed over its track.

    The annotated frames are written to ``target``, an mp4 file.
    """
    known, next_number, size, followed = list[Track](), 0, (0, 0), FollowedFaces()
    opened = annotated_video.opened(target, stream.rate) if target else nullcontext()
    with opened as writer:
        for frame in stream.frames:
            found = _detect(frame, followed, settings)
            known, size = _rescaled(known, size, frame), frame.pixels.shape[:2]
            known = _tracks(frame, found, known, next_number, settings)
            next_number = max([next_number, *(track.number + 1 for track in known)])
            seen = _predictions(known[: len(found)], source, frame, settings)
            if writer:
                writer.write(draw(frame.pixels, labels(frame.pixels, seen)))
            yield seen


def _detect(frame: Frame, followed: FollowedFaces, settings: PredictionSettings) -> list[Detection]:
    near = followed.near(frame.time)
    detect = partial(face_following.detect, settings.detect, near=near)
    found = detect_faces(frame.pixels, detect, faces=settings.faces)
    followed.update(found)
    return found


def _rescaled(known: list[Track], size: tuple[int, ...], frame: Frame) -> list[Track]:
    """Return the tracks in the pixels of ``frame``; a stream may change its size ``(h, w)``."""
    height, width = frame.pixels.shape[:2]
    if size == (height, width):
        return known
    return [tracking.rescale(one, width / size[1], height / size[0]) for one in known]


def _tracks(
    frame: Frame,
    found: list[Detection],
    known: list[Track],
    next_number: int,
    settings: PredictionSettings,
) -> list[Track]:
    """Return the tracks, those of this frame first."""
    probabilities = settings.bundle.probabilities(crop_faces(frame.pixels, found, settings))
    boxes = [one.box for one in found]
    return tracking.update_tracks(
        known, boxes, probabilities, now=frame.time, next_number=next_number
    )


def _predictions(
    tracks: list[Track], source: str, frame: Frame, settings: PredictionSettings
) -> list[FacePrediction]:
    return [
        FacePrediction(source, decide(one.probabilities, settings), one.number, one.box, frame.time)
        for one in tracks
    ] or [no_face(source, frame.pixels, settings, frame.time)]
