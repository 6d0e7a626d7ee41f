"""Face detection in a video: near the faces of the frame before, at times in the whole frame.

As in MediaPipe's face tracking: a part of the frame around a known face is a tenth of the work.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from unveil.data.decoding import Pixels
from unveil.inference.face_crop import Detection, Square, box_of
from unveil.inference.face_detector import Closeup, FaceDetector, is_same_face

CLOSEUP = Closeup(room=1.7, size=64, border=0, share=0.6)
"""A face may move by a third of its side from one frame to the next.

It was there, so a lower score is enough.
"""
MOST = 3
"""The most faces that are followed; with more, looking at the whole frame is no more work."""
INTERVAL = 0.25
"""Seconds between two looks at the whole frame, which find new faces."""


@dataclass
class FollowedFaces:
    """The faces of a video's last frame, and when the whole frame is searched again."""

    squares: tuple[Square, ...] = ()
    due: float = field(default=0.0)

    def near(self, now: float) -> tuple[Square, ...]:
        """Return where the faces of the next frame, at ``now`` in seconds, are searched for.

        Empty if it is the whole frame.
        """
        if now < self.due and len(self.squares) <= MOST:
            return self.squares
        self.due = now + INTERVAL
        return ()

    def update(self, found: Sequence[Detection]) -> None:
        """Note the faces of a frame."""
        self.squares = tuple(one.square for one in found if one.square is not None)


def detect(detector: FaceDetector, picture: Pixels, near: Sequence[Square]) -> list[Detection]:
    """Detect the faces of a frame, gray ``(height, width)`` or RGB ``(h, w, 3)``, largest first.

    Searches the whole frame if a face is no longer ``near`` where it was, or none was.
    """
    found = [detector.near(picture, square, CLOSEUP) for square in near]
    squares = [one for one in found if one is not None]
    if not near or len(squares) < len(near) or _has_twice(squares):
        return detector(picture)
    squares.sort(key=lambda one: one.side, reverse=True)
    return [Detection(box_of(one, picture.shape), one) for one in squares]


def description() -> dict[str, Any]:
    """Return what another implementation needs, for JSON."""
    return {"closeup": asdict(CLOSEUP), "most": MOST, "interval": INTERVAL}


def _has_twice(squares: Sequence[Square]) -> bool:
    pairs = ((one, other) for at, one in enumerate(squares) for other in squares[:at])
    return any(is_same_face(one, other) for one, other in pairs)
