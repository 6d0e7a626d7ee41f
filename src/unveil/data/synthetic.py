"""Synthetic faces with known attributes, to run the pipeline without any data.

Draws 48x48 gray faces into a zip archive with ``attributes.csv``. Command: ``unveil sample``.
Results on them say nothing about real faces. Expressions overlap on purpose: the Bayes-optimal
accuracy from the parameters of a face (``EXPRESSIONS``) is 94 %, from its pixels it is lower.
"""

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from unveil.common import csv_writer
from unveil.common.files import atomic_write
from unveil.common.types import SPLITS, Split
from unveil.data.decoding import Pixels

SIZE, FINE = 48, 192
SKIN = {"light": (185, 225), "medium": (140, 170), "dark": (95, 125)}
AGE = {"young": (0.0, 15, 110), "middle": (0.15, 15, 110), "old": (0.3, 130, 220)}
"""For each age band: how much darker than skin its wrinkles are, and the range of hair tones."""
WRINKLES = ((-0.6j, 0.4 - 0.6j), (-0.7j, 0.4 - 0.7j), (0.2, 0.46), (0.17 + 0.26j, 0.42 + 0.6j))
"""End points of the wrinkles in the right half of a face; the left half mirrors them."""
LIGHT = {"left": (1.0, -0.3), "front": (1.0, 0.0), "right": (1.0, 0.3), "dim": (0.65, 0.0)}
"""For each lighting: gain, and how much brighter the right edge is than the middle, as fraction."""

FOLDER = "sample"
"""The outermost folder of synthetic faces, also in archives from `unveil data export`."""
_NAMED = re.compile(
    FOLDER + r"/\w+/\w+/(\d{7}-)*(train|validation|test)_[a-z]+_\d{4,}\.png"
).fullmatch
_FEEDBACK = re.compile(r"/(\d{7}-)*feedback-[0-9a-f]{64}\.png$").search

Points = NDArray[np.complexfloating]
"""Points as ``x + y * 1j``, x to the right and y down, in units of half the head's height."""


@dataclass(frozen=True)
class Expression:
    """Parameters of an expression: 0 at rest, 1 fully moved; brows and mouth also down to -1."""

    mouth_curve: float
    mouth_opening: float
    brow_raise: float
    brow_slant: float
    eye_openness: float


EXPRESSIONS = {
    "happy": (Expression(0.7, 0.25, 0.1, 0.0, 0.8), Expression(0.28, 0.2, 0.3, 0.25, 0.15)),
    "neutral": (Expression(0.05, 0.05, 0.0, 0.0, 0.92), Expression(0.2, 0.08, 0.25, 0.2, 0.13)),
    "sad": (Expression(-0.45, 0.05, -0.05, 0.45, 0.78), Expression(0.25, 0.08, 0.3, 0.28, 0.15)),
    "surprise": (Expression(0.0, 0.65, 0.7, 0.1, 1.2), Expression(0.2, 0.2, 0.3, 0.25, 0.18)),
}
"""For each class: mean and standard deviation of the parameters, as independent Gaussians."""
CLASSES = tuple(EXPRESSIONS)


@dataclass(frozen=True)
class Appearance:
    """The attributes of a face and of its picture, sampled independently of the expression."""

    skin_tone: str
    age_band: str
    glasses: str
    lighting: str


class Canvas:
    """A picture of four times the final size; the head is an ellipsoid around 0, half height 1."""

    def __init__(self, look: Appearance, generator: Generator) -> None:
        """Sample tones, lengths and the pose: yaw and pitch as sines, roll in radians."""
        self.look = look
        self.skin = generator.uniform(*SKIN[look.skin_tone])
        self.hair = generator.uniform(*AGE[look.age_band][1:])
        self.hair_length = generator.choice((0.0, 0.1, 0.1, 0.8, 1.1))
        self.width = generator.uniform(0.7, 0.84)
        self.image = Image.new("L", (FINE, FINE), int(generator.uniform(20, 230)))
        self._yaw, self._pitch, self._roll = generator.normal(0, (0.12, 0.07, 0.07)).clip(-0.4, 0.4)
        self._scale = FINE * generator.uniform(0.4, 0.47)
        self._centre = FINE * complex(*generator.normal((0.5, 0.47), 0.02))

    def mark(self, points: Points, tone: float, *, width: float = 0.0) -> None:
        """Fill an outline or, if ``width`` is given, draw an open line; tones are 0..255."""
        x, y = points.real, points.imag
        depth = 0.7 * np.sqrt(np.maximum(0, 1 - (x / self.width) ** 2 - y**2))
        turned = x * np.sqrt(1 - self._yaw**2) + depth * self._yaw + (y + depth * self._pitch) * 1j
        placed = turned * np.exp(1j * self._roll) * self._scale + self._centre
        pixels = list(zip(placed.real.tolist(), placed.imag.tolist(), strict=True))
        pen, gray = ImageDraw.Draw(self.image), int(np.clip(tone, 0, 255))
        if width:
            pen.line(pixels, fill=gray, width=max(1, round(width * self._scale)))
        else:
            pen.polygon(pixels, fill=gray)


def draw_dataset(folder_zip: Path, *, counts: Mapping[Split, int], seed: int) -> None:
    """Write a zip archive of synthetic faces: sample/SPLIT/CLASS/NAME.png, sample/attributes.csv.

    ``counts`` are the faces of each split, balanced over the classes. The same seed (0 or more)
    gives the same bytes, and larger counts do not change the first faces.
    """
    cast = sorted(_members(counts, seed))
    looks = (
        (Path(member).name, *astuple(_sample_appearance(default_rng(key))))
        for member, _, key in cast
    )
    table = csv_writer.to_lines([("file", "skin_tone", "age_band", "glasses", "lighting"), *looks])
    with atomic_write(folder_zip) as path, zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("sample/attributes.csv"), table)
        for member, label, key in tqdm(cast, desc="draw", unit=" faces", delay=2):
            buffer = io.BytesIO()
            # Uncompressed: the bytes would depend on the version of zlib.
            Image.fromarray(draw_face(label, default_rng(key))).save(
                buffer, "PNG", compress_level=0
            )
            archive.writestr(zipfile.ZipInfo(member), buffer.getvalue())


def is_synthetic(members: Iterable[str]) -> bool:
    """Return whether all faces, and at least one, are synthetic, by the names of their members.

    Pictures from user feedback, which are for training only, are ignored.
    """
    names = [name for name in members if not _FEEDBACK(f"/{name}")]
    return bool(names) and all(map(_NAMED, names))


def are_all_drawn(members: Iterable[str]) -> bool:
    """Return whether every single face is synthetic, so that a page may show them all."""
    return all(is_synthetic([name]) for name in members)


def draw_face(label: str, generator: Generator) -> Pixels:
    """Draw one face, ``(48, 48)`` in 0..255."""
    look = _sample_appearance(generator)
    expression = Expression(*generator.normal(*map(astuple, EXPRESSIONS[label])))
    canvas = Canvas(look, generator)
    _head(canvas)
    _lines_and_nose(canvas)
    _mouth(canvas, expression)
    _eyes(canvas, expression)
    _brows(canvas, expression)
    return _photograph(canvas, generator)


def _members(counts: Mapping[Split, int], seed: int) -> Iterator[tuple[str, str, SeedSequence]]:
    for split in counts:
        for class_index, label in enumerate(CLASSES):
            for number in range((counts[split] + len(CLASSES) - 1 - class_index) // len(CLASSES)):
                member = f"sample/{split}/{label}/{split}_{label}_{number + 1:04d}.png"
                key = (SPLITS.index(split), class_index, number)
                yield member, label, SeedSequence(seed, spawn_key=key)


def _sample_appearance(generator: Generator) -> Appearance:
    kinds = (tuple(SKIN), tuple(AGE), ("no", "no", "yes"), tuple(LIGHT))
    return Appearance(*(str(generator.choice(kind)) for kind in kinds))


def _ellipse(centre: complex, radii: complex) -> Points:
    angle = np.linspace(0, 2 * np.pi, 41)
    return centre + radii.real * np.cos(angle) + radii.imag * np.sin(angle) * 1j


def _head(canvas: Canvas) -> None:
    skin, width, x = canvas.skin, canvas.width, np.linspace(-1, 1, 31)
    if canvas.hair_length:
        canvas.mark(_ellipse(-0.12j, width * 1.16 + 1.02j), canvas.hair)
        down = canvas.hair_length * np.array([0, 0, 1j, 1j])
        canvas.mark(down + 1.16 * width * np.array([-1, 1, 1, -1]), canvas.hair)
    canvas.mark(_ellipse(1.9j, 1.5 + 0.65j), 255 - skin)
    canvas.mark(np.array([-0.36 + 0.5j, 0.36 + 0.5j, 0.42 + 1.4j, -0.42 + 1.4j]), skin * 0.68)
    for ear in (-width, width):
        canvas.mark(_ellipse(ear, 0.09 + 0.2j), skin * 0.8)
    for part in np.linspace(1, 0.5, 7):
        outline = _ellipse(0, part * (width + 1j))
        outline.real *= 1 - 0.14 * np.maximum(0, outline.imag)
        canvas.mark(outline, skin * (1.12 - 0.3 * part))
    if canvas.hair_length:
        crown, fringe = -0.05 - 1.06 * np.sqrt(1 - x**2), 0.5 * x**4 - 0.7
        rim = np.r_[x, x[::-1]] * width * 1.03
        canvas.mark(rim + np.r_[crown, fringe[::-1]] * 1j, canvas.hair)


def _lines_and_nose(canvas: Canvas) -> None:
    skin, depth = canvas.skin, AGE[canvas.look.age_band][0]
    for start, end in WRINKLES if depth else ():
        line = np.linspace(start, end, 5)
        canvas.mark(line, skin * (1 - depth), width=0.035)
        canvas.mark(-line.conj(), skin * (1 - depth), width=0.035)
    canvas.mark(np.array([0.06 - 0.1j, 0.12 + 0.2j, 0.05 + 0.25j]), skin * 0.78, width=0.035)
    for nostril in (-0.075 + 0.24j, 0.075 + 0.24j):
        canvas.mark(_ellipse(nostril, 0.04 + 0.025j), skin * 0.45)


def _mouth(canvas: Canvas, expression: Expression) -> None:
    skin, x = canvas.skin, np.linspace(-1, 1, 21)
    curve, opening = expression.mouth_curve, max(0.0, expression.mouth_opening)
    line = x * (0.35 + 0.06 * curve - 0.12 * opening) + (0.52 + 0.24 * curve * (0.5 - x**2)) * 1j
    gap, lip = opening * np.sqrt(1 - x**2) * 1j, 0.075j * (1 - x**2)
    upper, lower = line - 0.13 * gap, line + 0.36 * gap
    canvas.mark(np.r_[upper - lip, (lower + lip)[::-1]], skin * 0.66)
    canvas.mark(np.r_[upper, lower[::-1]], 22)
    if curve > 0.25:
        canvas.mark(np.r_[upper, (upper + 1j * np.minimum(0.09, 0.4 * gap.imag))[::-1]], 225)
    canvas.mark(upper, skin * 0.36, width=0.035)


def _eyes(canvas: Canvas, expression: Expression) -> None:
    skin, x = canvas.skin, np.linspace(-1, 1, 15)
    height = 0.1 * max(0.12, expression.eye_openness)
    for centre in (-0.33 - 0.12j, 0.33 - 0.12j):
        upper, lower = (centre + 0.17 * x + y * (1 - x**2) * 1j for y in (-height, 0.75 * height))
        canvas.mark(_ellipse(centre, 0.23 + 0.17j), skin * 0.9)
        canvas.mark(np.r_[upper, lower[::-1]], 110 + 0.55 * skin)
        canvas.mark(_ellipse(centre, 0.085 + min(0.085, 0.8 * height) * 1j), 18)
        canvas.mark(upper, skin * 0.3, width=0.045)
        if canvas.look.glasses == "yes":
            canvas.mark(_ellipse(centre, 0.25 + 0.2j), 30, width=0.045)
            canvas.mark(np.array([centre.imag * 1j, 0.27 * centre]), 30, width=0.045)


def _brows(canvas: Canvas, expression: Expression) -> None:
    x = np.linspace(-1, 1, 9)
    y = -0.36 - 0.1 * expression.brow_raise + 0.1 * expression.brow_slant * x - 0.04 * (1 - x**2)
    tone = min(canvas.hair, canvas.skin * 0.5)
    for across in (-0.34 - 0.19 * x, 0.34 + 0.19 * x):
        canvas.mark(across + y * 1j, tone, width=0.075)


def _photograph(canvas: Canvas, generator: Generator) -> Pixels:
    blurred = canvas.image.filter(ImageFilter.GaussianBlur(generator.uniform(0, 3)))
    small = np.asarray(blurred.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    gain, slope = LIGHT[canvas.look.lighting]
    lit = small * gain * (1 + slope * np.linspace(-1, 1, SIZE))
    developed = lit.mean() + generator.uniform(0.8, 1.2) * (lit - lit.mean())
    noise = generator.normal(0, generator.uniform(2, 6), small.shape)
    return np.asarray(np.clip(np.rint(developed + noise), 0, 255), dtype=np.uint8)
