"""Accuracy of the starter network on real test faces with other light, sharpness and position.

The public training faces are equalised, pictures from a camera are not.
"""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter
from tests.conftest import ROOT

from unveil.dataset import arrays
from unveil.evaluation import metrics
from unveil.inference import bundle

pytestmark = pytest.mark.slow


def curve(to):
    return lambda face: face.point([int(np.clip(round(to(value)), 0, 255)) for value in range(256)])


def moved(zoom: float, down: float = 0.0):
    """Enlarge about the middle, and move down by a share of the side."""

    def move(face: Image.Image) -> Image.Image:
        side, part = face.width, face.width / zoom
        left, top = (side - part) / 2, (side - part) / 2 - down * side
        # What lies outside is the edge, as a crop of a larger picture would have something there.
        wide = np.pad(np.asarray(face), side, mode="edge")
        box = (left + side, top + side, left + side + part, top + side + part)
        return Image.fromarray(wide).resize((side, side), Image.Resampling.BILINEAR, box=box)

    return move


CHANGES = {
    "as they are": lambda face: face,
    "half the contrast": curve(lambda value: (value - 128) / 2 + 128),
    "a quarter of the contrast": curve(lambda value: (value - 128) / 4 + 128),
    "half the contrast, dark": curve(lambda value: (value - 128) / 2 + 70),
    "darker by 60": curve(lambda value: value - 60),
    "brighter by 60": curve(lambda value: value + 60),
    "gamma 0.5": curve(lambda value: 255 * (value / 255) ** 0.5),
    "gamma 2": curve(lambda value: 255 * (value / 255) ** 2),
    "blurred, sigma 1 pixel": lambda face: face.filter(ImageFilter.GaussianBlur(1)),
    "24 pixels, enlarged": lambda face: face.resize((24, 24), Image.Resampling.BOX).resize(
        (48, 48)
    ),
    "20 % larger": moved(1.2),
    "20 % smaller": moved(0.8),
    "a tenth lower": moved(1.0, down=0.1),
}


def test_light_alone_costs_little(real):
    test, starter = arrays.load("test"), bundle.load(ROOT / "models/starter")
    faces = [Image.fromarray(image[..., 0]) for image in test.images]
    equalised = np.stack([cv2.equalizeHist(image[..., 0]) for image in test.images])
    apart = np.abs(equalised.astype(int) - test.images[..., 0]).mean()
    print(f"\nequalising moves a pixel by {apart:.1f} on average; n = {len(test)}")
    found = {}
    for name, change in CHANGES.items():
        images = np.stack([np.asarray(change(face)) for face in faces])[..., np.newaxis]
        answers = starter.probabilities(images).argmax(1)
        matrix = metrics.confusion_matrix(test.labels, answers, len(starter.classes))
        found[name] = metrics.confidence_interval(metrics.macro_f1, matrix)
        print(f"| {name} | {found[name]} |")
    best = found["as they are"].value
    assert best == pytest.approx(starter.card.numbers["macro_f1"]["value"])
    light = [name for name in CHANGES if name.startswith(("half", "darker", "brighter", "gamma"))]
    assert len(light) == 6
    assert all(best - found[name].value < 0.05 for name in light)
    contrast = [name for name in CHANGES if "contrast" in name]
    assert len(contrast) == 3
    assert all(best - found[name].value < 0.01 for name in contrast)
