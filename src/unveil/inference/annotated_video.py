"""Annotated frames -> an mp4 file, in MPEG-4 Part 2, which the wheels of OpenCV can write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unveil.common.errors import UserError
from unveil.common.files import atomic_write


class VideoWriter:
    """Writes pictures as the frames of a video; all of them get the size of the first one."""

    def __init__(self, path: Path, rate: float) -> None:
        """Prepare to write ``path`` with ``rate`` frames per second."""
        self._path, self._rate = path, rate
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, picture: Image.Image) -> None:
        """Append an RGB picture; raises ``UserError`` if the file cannot be written."""
        if self._writer is None:
            self._open(picture.size)
        frame = picture if picture.size == self._size else picture.resize(self._size)
        self._writer.write(np.ascontiguousarray(np.asarray(frame)[:, :, ::-1]))

    def _open(self, size: tuple[int, int]) -> None:
        import cv2

        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._size = size
        self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
        if not self._writer.isOpened():
            raise UserError(f"{self._path.name}: this OpenCV cannot write an mp4 video")

    @property
    def has_frames(self) -> bool:
        """Whether a frame was written."""
        return self._writer is not None

    def close(self) -> None:
        """Finish the file; raises ``UserError`` if there was no frame."""
        if self._writer is None:
            raise UserError(f"{self._path.name}: the video has no frame")
        self._writer.release()


@contextmanager
def opened(target: Path, rate: float) -> Iterator[VideoWriter]:
    """Write a video that appears as ``target`` at the end.

    An interrupted one is kept, because a camera has no other end.
    """
    stopped: BaseException | None = None
    with atomic_write(target) as path:
        writer = VideoWriter(path, rate)
        try:
            yield writer
        except (KeyboardInterrupt, GeneratorExit) as stop:
            if not writer.has_frames:
                raise
            stopped = stop
        writer.close()
    if stopped:
        raise stopped
