"""Inference latency of a bundle in this process: single faces, video frames, batches, files.

Takes the bundle that `unveil predict` uses and leaves no files behind. Frames are 640x480 with one
synthetic face of 160 to 300 pixels on a textured background; a frame's time includes face
detection, on one core. Command: ``unveil bench serve``.
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

from unveil.config.provenance import hardware
from unveil.data import synthetic
from unveil.data.decoding import Pixels
from unveil.inference import bundle, face_detector, picture_sizes, predict
from unveil.inference.bundle_files import FILES
from unveil.inference.predict import PredictionSettings
from unveil.inference.predict_video import predict_video
from unveil.inference.video_frames import Frame, Stream

SIZE = (480, 640)
BATCH = 64


@dataclass(frozen=True)
class Latency:
    """Seconds of each call, and how many items a call processes."""

    name: str
    seconds: tuple[float, ...]
    items: int = 1
    note: str = ""

    @property
    def p50(self) -> float:
        """The median, in milliseconds."""
        return float(np.median(self.seconds)) * 1000

    @property
    def p99(self) -> float:
        """The 99th percentile, in milliseconds."""
        return float(np.quantile(self.seconds, 0.99)) * 1000

    @property
    def rate(self) -> float:
        """Items per second, over all calls."""
        return self.items * len(self.seconds) / sum(self.seconds)


def measure(folder: Path, *, calls: int = 1000) -> list[Latency]:
    """Measure a bundle: ``calls`` single faces, a third as many frames, and fewer batches."""
    drawn, frames = faces(BATCH), scenes(max(2, calls // 3))
    results = []
    with one_core():
        for precision in FILES:
            made = bundle.load(folder, precision=precision, threads=1)
            single = _timed(partial(made.probabilities, drawn[:1]), calls)
            results.append(Latency(f"one face of 48x48, one core, {precision}", single))
        for precision in FILES:
            made = bundle.load(folder, precision=precision, threads=1)
            results.append(_frames(made, frames, precision))
        results += _fer(frames)
    whole = bundle.load(folder)
    batches = _timed(lambda: whole.probabilities(drawn), max(2, calls // 20))
    results.append(Latency(f"batch of {BATCH} faces, all cores", batches, BATCH))
    results.append(_files(bundle.load(folder, threads=1), drawn, frames[:BATCH]))
    return results


def table(results: list[Latency]) -> str:
    """Format the results as Markdown, with the machine and the date."""
    machine = hardware()
    rows = [
        f"| {one.name} | {one.p50:.2f} | {one.p99:.2f} | {one.rate:.0f} | {one.note} |"
        for one in results
    ]
    return "\n".join(
        [
            "| in one process | p50 ms | p99 ms | per second | |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"{machine['cores']} cores of {machine['cpu']}, {date.today()}.",
        ]
    )


def faces(count: int) -> Pixels:
    """Draw synthetic faces ``(count, 48, 48, 1)``."""
    labels = [synthetic.CLASSES[number % len(synthetic.CLASSES)] for number in range(count)]
    drawn = [
        synthetic.draw_face(one, np.random.default_rng(place)) for place, one in enumerate(labels)
    ]
    return np.stack(drawn)[..., np.newaxis]


def scenes(count: int) -> list[Pixels]:
    """Draw frames with one moving and growing face each, on a textured background."""
    generator = np.random.default_rng(0)
    drawn, made = faces(16)[::2, ..., 0], []
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
    """Pin this process and the threads it starts to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _timed(call: Callable[[], Any], calls: int) -> tuple[float, ...]:
    call()
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return tuple(seconds)


def _frames(made: bundle.Bundle, frames: list[Pixels], precision: str) -> Latency:
    settings = PredictionSettings(bundle=made, detect=face_detector.detector(picture_sizes.MOVING))
    film = (Frame(place, place / 30, pixels) for place, pixels in enumerate(frames))
    predictions, seconds, found = predict_video(Stream(30, film), "bench", settings), [], 0
    for _ in frames:
        began = time.perf_counter()
        seen = next(predictions)
        seconds.append(time.perf_counter() - began)
        found += seen[0].box is not None
    note = f"a face found in {found} of {len(frames)}"
    name = f"frame of 640x480, faces found and classified, one core, {precision}"
    return Latency(name, tuple(seconds), note=note)


def _files(made: bundle.Bundle, drawn: Pixels, frames: list[Pixels]) -> Latency:
    settings = PredictionSettings(bundle=made, detect=face_detector.detector())
    with tempfile.TemporaryDirectory() as name:
        for place, picture in enumerate([*drawn[..., 0], *frames]):
            Image.fromarray(picture).save(Path(name) / f"{place:04d}.png")
        count = len(drawn) + len(frames)
        seconds = _timed(lambda: list(predict.predict([Path(name)], settings)), 3)
    note = f"{len(drawn)} of 48x48, {len(frames)} of 640x480"
    return Latency("files from disk, all cores", seconds, count, note)


def _fer(frames: list[Pixels]) -> list[Latency]:
    """Measure the package fer with its default detector on the same frames, if installed."""
    if importlib.util.find_spec("fer") is None:
        return []
    from fer.fer import FER  # type: ignore[import-not-found]

    fer_detector, coloured = FER(), [np.repeat(one[..., np.newaxis], 3, 2) for one in frames]
    film = iter(coloured)
    seconds = _timed(lambda: fer_detector.detect_emotions(next(film)), len(frames) - 1)
    return [Latency("the same frames by fer, one core", seconds)]
