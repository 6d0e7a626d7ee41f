"""Annotated frames -> an mp4 file with H.264, which browsers play."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unveil.common.errors import UserError, reason
from unveil.common.files import atomic_write


class VideoWriter:
    """Writes pictures as the frames of a video; all of them get the size of the first one."""

    def __init__(self, path: Path, rate: float) -> None:
        """Prepare to write ``path`` with ``rate`` frames per second."""
        self._path, self._rate = path, Fraction(rate).limit_denominator(100_000)
        self._container: Any = None
        self._stream: Any = None

    def write(self, picture: Image.Image) -> None:
        """Append an RGB picture."""
        import av

        if self._container is None:
            self._open(picture.size)
        size = self._stream.width, self._stream.height
        frame = picture if picture.size == size else picture.resize(size)
        self._container.mux(
            self._stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame.convert("RGB"))))
        )

    def _open(self, size: tuple[int, int]) -> None:
        import av

        self._container = av.open(f"file:{self._path}", "w", format="mp4")
        self._stream = self._container.add_stream("libx264", self._rate, {"crf": "20"})
        # H.264 with halved colour planes has even sides only.
        self._stream.width, self._stream.height = (max(2, side - side % 2) for side in size)
        self._stream.pix_fmt = "yuv420p"

    @property
    def has_frames(self) -> bool:
        """Whether a frame was written."""
        return self._container is not None

    def close(self) -> None:
        """Finish the file; raises ``UserError`` if there was no frame."""
        if self._container is None:
            raise UserError(f"{self._path.name}: the video has no frame")
        self._container.mux(self._stream.encode())

    def release(self) -> None:
        """Close the file, complete or not."""
        if self._container is not None:
            self._container.close()


@contextmanager
def opened(target: Path, rate: float) -> Iterator[VideoWriter]:
    """Write a video that appears as ``target`` at the end.

    An interrupted one is kept, because a camera has no other end. Raises ``UserError`` if it cannot
    be written.
    """
    import av

    stopped: BaseException | None = None
    with atomic_write(target) as path:
        writer = VideoWriter(path, rate)
        try:
            try:
                yield writer
            except (KeyboardInterrupt, GeneratorExit) as stop:
                if not writer.has_frames:
                    raise
                stopped = stop
            writer.close()
        except av.FFmpegError as error:
            raise UserError(f"{target} cannot be written: {reason(error)}") from None
        finally:
            writer.release()
    if stopped:
        raise stopped
