"""a gray picture and what was said of its faces -> the picture with boxes and labels."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from unveil.common.files import replacing
from unveil.data.decoding import Pixels
from unveil.inference.tracking import Box

INK = (255, 210, 0)
PAPER = (0, 0, 0)


def annotate(picture: Pixels, labels: Iterable[tuple[Box, str]], target: Path) -> None:
    """Write a PNG with a box and a label for each face; gray, as the network sees it."""
    image = Image.fromarray(picture).convert("RGB")
    pen = ImageDraw.Draw(image)
    for (x, y, width, height), label in labels:
        pen.rectangle((x, y, x + width - 1, y + height - 1), outline=INK, width=2)
        place = (x + 2, max(0, y - 14))
        pen.rectangle(pen.textbbox(place, label), fill=PAPER)
        pen.text(place, label, fill=INK)
    with replacing(target) as path:
        image.save(path, "PNG")
