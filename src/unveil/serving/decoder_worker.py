"""The process that decodes pictures and detects faces; `decoder_pool.py` starts and kills it.

Receives over a socket its configuration, then for each picture the options and the bytes; sends
the boxes of the faces as JSON and the faces as pixels. No pickle: a decoder reads untrusted input.
Command: ``python -m unveil.serving.decoder_worker FD``.
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
from unveil.inference.face_crop import Detection, cut, whole
from unveil.inference.face_detector import MOVING, STILL, Detect, detector, is_face

FoundFaces = list[tuple[Detection, Pixels]]
"""The faces of a picture: the place and the crop of each."""

MAX_FACES = 32
"""The most faces answered per picture, the largest first; it bounds the work of a picture."""

_ROOM = 512 << 20
"""Bytes of memory a worker may use beyond those at its start and those for the pixels."""
_OF_A_PIXEL = 40
"""Bytes per pixel: three copies of RGBA, and three of 64 bits for 16-bit images."""


@dataclass(frozen=True)
class DecodeOptions:
    """Options for one picture: is it a frame of a video, and the side of the crops in pixels."""

    moving: bool
    size: int


@dataclass(frozen=True)
class WorkerConfig:
    """The configuration of a worker process."""

    limits: Limits

    def to_json(self) -> bytes:
        """Serialize to JSON."""
        return json.dumps(asdict(self)).encode()


def main(descriptor: int) -> None:
    """Process pictures until the other end closes; the parent enforces the time limit."""
    # A terminal and a supervisor signal all processes; pictures in progress are still answered.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with Connection(descriptor) as connection, suppress(EOFError, ConnectionError):
        limits = Limits(**json.loads(connection.recv_bytes())["limits"])
        detects = {False: detector(STILL), True: detector(MOVING)}
        _bound_memory(_ROOM + _OF_A_PIXEL * limits.max_pixels)
        connection.send_bytes(b"ready")
        while True:
            options = DecodeOptions(**json.loads(connection.recv_bytes()))
            detect, picture = detects[options.moving], connection.recv_bytes()
            answer, faces = _answer(picture, detect, limits, options.size)
            connection.send_bytes(json.dumps(answer).encode())
            connection.send_bytes(faces)


def _answer(
    picture: bytes, detect: Detect, limits: Limits, size: int
) -> tuple[dict[str, Any], bytes]:
    try:
        faces = find_faces(picture, detect, limits, size)
    except UnreadableImage as error:
        return {"reason": str(error)}, b""
    except Exception as error:  # from ONNX Runtime, or out of memory: the next picture may work
        return {"failed": type(error).__name__}, b""
    cuts = np.array([face for _, face in faces], np.uint8)
    return {"found": [asdict(found) for found, _ in faces], "size": size}, cuts.tobytes()


def find_faces(picture: bytes, detect: Detect, limits: Limits, size: int) -> FoundFaces:
    """Decode a picture and return its faces, each cropped to ``(size, size)``."""
    pixels = decode(picture, limits, in_colour=True).pixels
    faces = [whole(pixels)] if is_face(pixels) else detect(pixels)[:MAX_FACES]
    return [(one, cut(pixels, one, size)) for one in faces]


def _bound_memory(more: int) -> None:
    """Limit the process to ``more`` bytes than it uses now; no limit without /proc."""
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
