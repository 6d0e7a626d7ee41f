"""A picture and labelled boxes -> the annotated picture."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from unveil.common.files import atomic_write
from unveil.data.decoding import Pixels
from unveil.inference.face_crop import Box

COLOUR = (255, 210, 0)
BACKGROUND = (0, 0, 0)


LABEL_SHARE = 1 / 24
"""Height of a label as a share of the shorter side of the picture."""
MIN_LABEL, MAX_LABEL = 10, 64
"""Range of this height in pixels."""


def draw(picture: Pixels, labels: Iterable[tuple[Box, str]]) -> Image.Image:
    """Return the picture with a box and a label for each face; gray or RGB."""
    image = Image.fromarray(picture).convert("RGB")
    pen = ImageDraw.Draw(image)
    height = min(MAX_LABEL, max(MIN_LABEL, round(min(picture.shape[:2]) * LABEL_SHARE)))
    font, line = ImageFont.load_default(height), max(2, height // 8)
    for (x, y, wide, high), label in labels:
        pen.rectangle((x, y, x + wide - 1, y + high - 1), outline=COLOUR, width=line)
        place = (x + line, max(0, y - round(height * 1.4)))
        pen.rectangle(pen.textbbox(place, label, font), fill=BACKGROUND)
        pen.text(place, label, COLOUR, font)
    return image


def annotate(picture: Pixels, labels: Iterable[tuple[Box, str]], target: Path) -> None:
    """Write the picture of ``draw`` as a PNG."""
    image = draw(picture, labels)
    with atomic_write(target) as path:
        image.save(path, "PNG")
