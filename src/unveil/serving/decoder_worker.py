"""The process that decodes pictures and finds their faces; `pool.py` starts, asks and kills it.

Takes over a socket the settings, then of each picture how it is looked at and its bytes; gives the
boxes of its faces as JSON, and the faces as pixels. Nothing of it is pickled: a decoder reads what
strangers send. Command: ``python -m unveil.serving.worker FD``.
"""

import json
import re
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, Pixels, UnreadableImage, decode
from unveil.inference.face_detector import MOVING, STILL, Detect, cut, detector, is_face, whole

Box = tuple[int, int, int, int]
"""Of a face in its upright picture: left, top, width, height in pixels."""
Found = list[tuple[Box, Pixels]]
"""The faces of a picture: where each is, and cut out."""

MOST = 32
"""Faces in one picture that are answered, the largest: a picture may not ask for more work."""

_ROOM = 256 << 20
"""Bytes that a worker may take besides what it has at the start and what its pixels need."""
_OF_A_PIXEL = 40
"""Bytes: RGBA three times, and 64 bits three times where values have 16."""


@dataclass(frozen=True)
class How:
    """How a picture is looked at: as a frame of a video, and how large its faces are cut."""

    moving: bool
    size: int


@dataclass(frozen=True)
class Task:
    """What a worker is told at its start."""

    limits: Limits
    detector: str | None
    digest: str

    def written(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self)).encode()


def main(descriptor: int) -> None:
    """Answer until the other end is closed; who asks decides when it has been too long."""
    # A terminal and a supervisor signal all processes: what is inside is answered nevertheless.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with Connection(descriptor) as connection, suppress(EOFError, ConnectionError):
        told = json.loads(connection.recv_bytes())
        limits = Limits(**told["limits"])
        file = Path(told["detector"]) if told["detector"] else None
        reaches = {False: STILL, True: MOVING}
        detects = {key: detector(file, told["digest"], reach=one) for key, one in reaches.items()}
        _bound_memory(_ROOM + _OF_A_PIXEL * limits.max_pixels)
        connection.send_bytes(b"ready")
        while True:
            how = How(**json.loads(connection.recv_bytes()))
            answer, faces = _looked(connection.recv_bytes(), detects[how.moving], limits, how.size)
            connection.send_bytes(json.dumps(answer).encode())
            connection.send_bytes(faces)


def _looked(
    picture: bytes, detect: Detect, limits: Limits, size: int
) -> tuple[dict[str, Any], bytes]:
    try:
        faces = found(picture, detect, limits, size)
    except UnreadableImage as error:
        return {"reason": str(error)}, b""
    except Exception as error:  # of OpenCV, or no memory left: the next picture is answered
        return {"failed": type(error).__name__}, b""
    cuts = np.array([face for _, face in faces], np.uint8)
    return {"boxes": [box for box, _ in faces], "size": size}, cuts.tobytes()


def found(picture: bytes, detect: Detect, limits: Limits, size: int) -> Found:
    """Give the faces of a picture, each cut out ``(size, size)``."""
    pixels = decode(picture, limits).pixels
    faces = [whole(pixels)] if is_face(pixels) else detect(pixels)[:MOST]
    return [(one.box, cut(pixels, one, size)) for one in faces]


def _bound_memory(more: int) -> None:
    """Let the process take ``more`` bytes than it has; where Linux does not say, all it wants."""
    with suppress(OSError, ValueError):
        status = Path("/proc/self/status").read_text()
        if has := re.search(r"VmData:\s+(\d+) kB", status):
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = int(has[1]) * 1024 + more
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except UserError as error:
        sys.exit(f"unveil: {error}")
