"""Pictures for tests: enlarged synthetic faces on a background, and videos of them."""

from pathlib import Path

import cv2
import numpy as np

from unveil.data import synthetic

SHOWN = 0
"""The number of a synthetic face that is detected."""


def drawn(number: int = SHOWN) -> np.ndarray:
    """Draw a synthetic face ``(48, 48)`` of the sample."""
    label = synthetic.CLASSES[number % len(synthetic.CLASSES)]
    return synthetic.draw_face(label, np.random.default_rng(number))


def scene(*places: tuple[int, int, int], number: int = SHOWN, size=(480, 640)) -> np.ndarray:
    """Paste a synthetic face at each (x, y, side) on a uniform background."""
    picture = np.full(size, 120, np.uint8)
    for x, y, side in places:
        face = cv2.resize(drawn(number), (side, side), interpolation=cv2.INTER_CUBIC)
        picture[y : y + side, x : x + side] = face
    return picture


def film(path: Path, frames: list[np.ndarray], rate: float = 25.0) -> Path:
    """Write gray frames as a video."""
    height, width = frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def camera(path: Path, frames: list[np.ndarray]) -> Path:
    """Write gray frames as a fake camera for Chromium: Y4M, 30 frames per second, in a loop."""
    height, width = frames[0].shape
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420\n".encode())
        for frame in frames:
            # Gray values 0..255 are 16..235 in a video.
            luma = np.round(16 + frame * (219 / 255)).astype(np.uint8)
            file.write(b"FRAME\n" + luma.tobytes() + bytes([128]) * (width * height // 2))
    return path
