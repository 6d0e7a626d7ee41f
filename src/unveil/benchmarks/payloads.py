"""The pictures that the server is measured with: drawn faces, alone, in frames and in a photo."""

import base64
import io
import json
from functools import cache

import numpy as np
from PIL import Image

from unveil.benchmarks import load_generator
from unveil.benchmarks.inference import scenes
from unveil.data.synthetic import CLASSES, draw_face

BATCH_SIZE = 64
"""Pictures per batch request."""
PHOTO = (4032, 3024)
"""Width and height of a photo of 12 megapixels."""


@cache
def pictures() -> list[bytes]:
    """Return PNG files of one face each, 48x48."""
    generator, made = np.random.default_rng(0), []
    for number in range(BATCH_SIZE):
        face = draw_face(CLASSES[number % len(CLASSES)], generator)
        made.append(_encoded(Image.fromarray(face), "PNG"))
    return made


@cache
def frame() -> bytes:
    """Return a JPEG file of 640x480 with one face."""
    return _encoded(Image.fromarray(scenes(1)[0]), "JPEG")


@cache
def photo() -> bytes:
    """Return a JPEG file in colour of 12 megapixels with six faces, not progressive."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (30, 40, 3)).astype(np.uint8))
    picture = coarse.resize(PHOTO, Image.Resampling.BICUBIC)
    for number in range(6):
        face = Image.fromarray(draw_face(CLASSES[number % len(CLASSES)], generator))
        side = 400 + 120 * number
        place = (150 + 1300 * (number % 3), 150 + 1500 * (number // 3))
        picture.paste(face.resize((side, side), Image.Resampling.BICUBIC).convert("RGB"), place)
    return _encoded(picture, "JPEG")


def single_request() -> bytes:
    """Return a request with one face."""
    return load_generator.request("/v1/predict", "image/png", pictures()[0])


def frame_request() -> bytes:
    """Return a request with a frame."""
    return load_generator.request("/v1/predict", "image/jpeg", frame())


def batch_request() -> bytes:
    """Return a request with a batch of faces."""
    encoded = [base64.b64encode(picture).decode() for picture in pictures()]
    body = json.dumps({"pictures": encoded}).encode()
    return load_generator.request("/v1/predict/batch", "application/json", body)


def _encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()
