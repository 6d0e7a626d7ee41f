"""a bundle + drawn faces -> how quickly it answers in this process: one face, frames, many files.

Takes the bundle that `unveil predict` asks and leaves nothing behind. Frames are 640x480 with one
drawn face of 160 to 300 pixels on a background with texture; everything from the gray frame to the
answer is counted, detection in every frame, on one core. Command: ``unveil bench serve``.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unveil import bundle, detect, predict, sample
from unveil.bundle_folder import FILES
from unveil.images import Pixels
from unveil.predict import Asked
from unveil.provenance import hardware
from unveil.video import Frame

SIZE = (480, 640)
BATCH = 64


@dataclass(frozen=True)
class Pace:
    """Seconds of each of many calls, and how many things one call answers."""

    what: str
    seconds: tuple[float, ...]
    things: int = 1
    note: str = ""

    @property
    def p50(self) -> float:
        """The median, in milliseconds."""
        return float(np.median(self.seconds)) * 1000

    @property
    def p99(self) -> float:
        """What 99 of 100 calls stay under, in milliseconds."""
        return float(np.quantile(self.seconds, 0.99)) * 1000

    @property
    def rate(self) -> float:
        """How many things are answered in a second, over all calls."""
        return self.things * len(self.seconds) / sum(self.seconds)


def measure(folder: Path, *, calls: int = 1000) -> list[Pace]:
    """Measure a bundle: ``calls`` of one face, a third of that of frames, fewer of batches."""
    drawn, frames = faces(BATCH), scenes(max(2, calls // 3))
    paces = []
    with one_core():
        for precision in FILES:
            made = bundle.load(folder, precision=precision, threads=1)
            single = _timed(partial(made.probabilities, drawn[:1]), calls)
            paces.append(Pace(f"one face of 48x48, one core, {precision}", single))
        paces.append(_frames(bundle.load(folder, threads=1), frames))
        paces += _fer(frames)
    whole = bundle.load(folder)
    batches = _timed(lambda: whole.probabilities(drawn), max(2, calls // 20))
    paces.append(Pace(f"batch of {BATCH} faces, all cores", batches, BATCH))
    paces.append(_files(bundle.load(folder, threads=1), drawn, frames[:BATCH]))
    return paces


def table(paces: list[Pace]) -> str:
    """Write what was measured as Markdown, with the machine and the date."""
    machine = hardware()
    rows = [
        f"| {one.what} | {one.p50:.2f} | {one.p99:.2f} | {one.rate:.0f} | {one.note} |"
        for one in paces
    ]
    return "\n".join(
        [
            "| in one process | p50 ms | p99 ms | a second | |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"{machine['cores']} cores of {machine['cpu']}, {date.today()}.",
        ]
    )


def faces(count: int) -> Pixels:
    """Draw faces ``(count, 48, 48, 1)``."""
    labels = [sample.CLASSES[number % len(sample.CLASSES)] for number in range(count)]
    drawn = [sample.face(one, np.random.default_rng(place)) for place, one in enumerate(labels)]
    return np.stack(drawn)[..., np.newaxis]


def scenes(count: int) -> list[Pixels]:
    """Draw frames with one face each, which moves and grows, on a background with texture."""
    generator = np.random.default_rng(0)
    drawn, made = faces(8)[..., 0], []
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (30, 40)).astype(np.uint8))
        picture = coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC)
        side = 160 + 140 * number // count
        face = Image.fromarray(drawn[number % len(drawn)]).resize((side, side))
        picture.paste(face, (number % (SIZE[1] - side), number % (SIZE[0] - side)))
        made.append(np.asarray(picture))
    return made


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and threads it begins, on one of its cores."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _timed(act: Callable[[], Any], calls: int) -> tuple[float, ...]:
    act()
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return tuple(seconds)


def _frames(made: bundle.Bundle, frames: list[Pixels]) -> Pace:
    asked = Asked(bundle=made, detect=detect.detector(reach=detect.MOVING))
    film = (Frame(place, place / 30, pixels) for place, pixels in enumerate(frames))
    watched, seconds, found = predict.watch(film, "bench", asked), [], 0
    for _ in frames:
        began = time.perf_counter()
        seen = next(watched)
        seconds.append(time.perf_counter() - began)
        found += seen[0].box is not None
    note = f"a face found in {found} of {len(frames)}"
    return Pace("frame of 640x480 to answer, one core", tuple(seconds), note=note)


def _files(made: bundle.Bundle, drawn: Pixels, frames: list[Pixels]) -> Pace:
    asked = Asked(bundle=made, detect=detect.detector())
    with tempfile.TemporaryDirectory() as name:
        for place, picture in enumerate([*drawn[..., 0], *frames]):
            Image.fromarray(picture).save(Path(name) / f"{place:04d}.png")
        count = len(drawn) + len(frames)
        seconds = _timed(lambda: list(predict.predict([Path(name)], asked)), 3)
    note = f"{len(drawn)} of 48x48, {len(frames)} of 640x480"
    return Pace("files from disk, all cores", seconds, count, note)


def _fer(frames: list[Pixels]) -> list[Pace]:
    """Measure the package fer with its default detector on the same frames, where it is there."""
    if importlib.util.find_spec("fer") is None:
        return []
    from fer.fer import FER  # type: ignore[import-not-found]

    rival, coloured = FER(), [np.repeat(one[..., np.newaxis], 3, 2) for one in frames]
    film = iter(coloured)
    seconds = _timed(lambda: rival.detect_emotions(next(film)), len(frames) - 1)
    return [Pace("the same frames by fer, one core", seconds)]
