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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from unveil.common.errors import UserError
from unveil.data.decoding import DecodedImage, Limits, Pixels, UnreadableImage, decode
from unveil.inference import face_following
from unveil.inference.face_crop import Detection, Square, box_of, cut, whole
from unveil.inference.face_detector import detector, is_face
from unveil.inference.picture_sizes import MOVING, STILL

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
    """Options for one picture: the side of the crops in pixels, and how faces are searched for.

    A frame of a video is ``moving``; its faces may be searched for ``near`` those before.
    """

    size: int
    moving: bool = False
    near: tuple[Square, ...] = ()

    def to_json(self) -> bytes:
        """Serialize to JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "DecodeOptions":
        """Read what `to_json` wrote."""
        values = json.loads(content)
        near = tuple(Square(**one) for one in values.pop("near"))
        return cls(**values, near=near)


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
        detector()  # loads the network
        _bound_memory(_ROOM + _OF_A_PIXEL * limits.max_pixels)
        connection.send_bytes(b"ready")
        while True:
            options = DecodeOptions.from_json(connection.recv_bytes())
            answer, faces = _answer(connection.recv_bytes(), options, limits)
            connection.send_bytes(json.dumps(answer).encode())
            connection.send_bytes(faces)


def _answer(picture: bytes, options: DecodeOptions, limits: Limits) -> tuple[dict[str, Any], bytes]:
    try:
        faces = find_faces(picture, options, limits)
    except UnreadableImage as error:
        return {"reason": str(error)}, b""
    except Exception as error:  # from ONNX Runtime, or out of memory: the next picture may work
        return {"failed": type(error).__name__}, b""
    cuts = np.array([face for _, face in faces], np.uint8)
    found = [asdict(one) for one, _ in faces]
    return {"found": found, "size": options.size}, cuts.tobytes()


def find_faces(picture: bytes, options: DecodeOptions, limits: Limits) -> FoundFaces:
    """Decode a picture and return its faces, each cropped to ``(options.size, options.size)``."""
    settings = MOVING if options.moving else STILL
    enough = None if options.moving else settings.most
    small = decode(picture, limits, in_colour=True, enough=enough)
    if is_face(small.pixels):
        face = whole(small.pixels)
        return [(face, cut(small.pixels, face, options.size))]
    detect = detector(settings.reduced(small.factor))
    faces = face_following.detect(detect, small.pixels, options.near)[:MAX_FACES]
    if small.factor > 1:
        return _enlarged(faces, small, options.size, partial(decode, picture, limits))
    return [(one, cut(small.pixels, one, options.size)) for one in faces]


def _enlarged(
    faces: Sequence[Detection], small: DecodedImage, size: int, again: Callable[[], DecodedImage]
) -> FoundFaces:
    """Return the faces of a reduced picture as they are in the whole one."""
    squares = [one.square for one in faces if one.square is not None]
    larger = [one.times(small.factor) for one in squares]
    placed = [Detection(box_of(one, small.shape), one) for one in larger]
    if all(one.side >= size for one in squares):
        return [(one, cut(small.pixels, own, size)) for one, own in zip(placed, faces, strict=True)]
    pixels = again().pixels
    return [(one, cut(pixels, one, size)) for one in placed]


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
