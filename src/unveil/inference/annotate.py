"""A gray picture and labelled boxes -> the annotated picture."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from unveil.common.files import atomic_write
from unveil.data.decoding import Pixels
from unveil.inference.tracking import Box

COLOUR = (255, 210, 0)
BACKGROUND = (0, 0, 0)


def annotate(picture: Pixels, labels: Iterable[tuple[Box, str]], target: Path) -> None:
    """Write a PNG with a box and a label for each face, in gray as the network sees it."""
    image = Image.fromarray(picture).convert("RGB")
    pen = ImageDraw.Draw(image)
    for (x, y, width, height), label in labels:
        pen.rectangle((x, y, x + width - 1, y + height - 1), outline=COLOUR, width=2)
        place = (x + 2, max(0, y - 14))
        pen.rectangle(pen.textbbox(place, label), fill=BACKGROUND)
        pen.text(place, label, fill=COLOUR)
    with atomic_write(target) as path:
        image.save(path, "PNG")
