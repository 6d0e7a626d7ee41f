"""Throughput, latency and memory of the HTTP server, compared to in-process inference.

Takes a bundle; starts `unveil serve` on a free port and sends synthetic faces of 48x48 pixels. The
load generator shares the machine with the server, so the server alone would reach more. Command:
``unveil bench serve``.
"""

import base64
import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unveil.benchmarks import load_generator
from unveil.benchmarks.inference import scenes
from unveil.data.decoding import decode, resize
from unveil.data.synthetic import CLASSES, draw_face
from unveil.inference import bundle as bundles
from unveil.inference.bundle import MAX_BATCH

BATCH_SIZE = 64
"""Pictures per batch request."""


@dataclass(frozen=True)
class ServerMeasurements:
    """The results; rates in faces per second, times in seconds.

    ``capacity`` is for single pictures, ``offered`` four times as much. ``memory_growth`` is the
    increase in MB over ``requests`` requests, one in ten a frame of 640x480, after a warm-up of a
    tenth as many.
    """

    ready: float
    in_process: float
    batches: float
    capacity: float
    offered: float
    answered: float
    refused_share: float
    p99_accepted: float
    requests: int
    memory_growth: float


def server(bundle: Path, *, seconds: float = 10.0, requests: int = 100_000) -> ServerMeasurements:
    """Measure a server: ``seconds`` for each rate, ``requests`` for its memory."""
    pictures = _pictures()
    in_process = _in_process(bundle, pictures, seconds)
    with _running(bundle.absolute()) as (url, ready):
        batch = load_generator.rate(url, _batch(pictures), clients=4, seconds=seconds)
        single = load_generator.request("/v1/predict", "image/png", pictures[0])
        start_rate = load_generator.rate(url, single, clients=8, seconds=seconds)
        capacity = load_generator.capacity(url, single, rate=start_rate, seconds=seconds)
        overload = load_generator.offer(url, single, rate=4 * capacity, seconds=seconds)
        accepted = [one.seconds for one in load_generator.answered(overload)]
        mixed = [single] * 9 + [_frame()]
        load_generator.send_count(url, mixed, requests // 10)
        before = _memory(url)
        load_generator.send_count(url, mixed, requests)
        memory_growth = _memory(url) - before
    return ServerMeasurements(
        ready=ready,
        in_process=in_process,
        batches=BATCH_SIZE * batch,
        capacity=capacity,
        offered=len(overload) / seconds,
        answered=len(accepted) / seconds,
        refused_share=sum(one.status == 429 for one in overload) / len(overload),
        p99_accepted=float(np.quantile(accepted, 0.99)),
        requests=requests,
        memory_growth=memory_growth,
    )


def table(served: ServerMeasurements) -> str:
    """Format the results as Markdown, with their targets."""
    share = served.batches / served.in_process
    rows = [
        ("ready", f"{served.ready:.1f} s", "under 3 s"),
        ("in process, decoding and batched inference", f"{served.in_process:.0f} faces/s", ""),
        (f"server, {BATCH_SIZE} pictures per request", f"{served.batches:.0f} faces/s", ""),
        ("the same, as a share of in process", f"{share:.0%}", "at least 80 %"),
        ("server, one picture per request, at most", f"{served.capacity:.0f} faces/s", ""),
        ("offered load, 4 times that", f"{served.offered:.0f} requests/s", ""),
        ("answered of these", f"{served.answered:.0f} faces/s", ""),
        ("answered with 429", f"{served.refused_share:.0%}", "the rest"),
        ("p99 latency of those answered", f"{1000 * served.p99_accepted:.0f} ms", "under 250 ms"),
        (
            f"memory after {served.requests} requests",
            f"{served.memory_growth:+.1f} MB",
            "under 1 MB",
        ),
    ]
    lines = [f"| {name} | {value} | {target} |" for name, value, target in rows]
    return "\n".join(["| | measured | target |", "|---|---|---|", *lines])


def _pictures() -> list[bytes]:
    generator, pictures = np.random.default_rng(0), []
    for number in range(BATCH_SIZE):
        buffer = io.BytesIO()
        Image.fromarray(draw_face(CLASSES[number % len(CLASSES)], generator)).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    return pictures


def _in_process(bundle: Path, pictures: Sequence[bytes], seconds: float) -> float:
    """Decode and predict without a server; the next batch is decoded concurrently."""
    ready, count = bundles.load(bundle), 0

    def decoded(start: int) -> np.ndarray:
        chosen = pictures[start : start + MAX_BATCH]
        faces = [resize(decode(one).pixels, ready.image_size) for one in chosen]
        return np.stack(faces)[..., np.newaxis]

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(decoded, 0)
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            faces = following.result()
            following = thread.submit(decoded, (count + MAX_BATCH) % BATCH_SIZE)
            ready.probabilities(faces)
            count += len(faces)
    return count / spent


@contextmanager
def _running(bundle: Path) -> Iterator[tuple[str, float]]:
    """Run a server in a temporary folder; yields its URL and the seconds until it was ready."""
    command = [sys.executable, "-m", "unveil", "serve", "--purpose", "measure the server itself"]
    command += ["--bundle", str(bundle), "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            _wait_until_ready(url, deadline=began + 60)
            yield url, time.perf_counter() - began
        finally:
            process.terminate()
            process.communicate()


def _wait_until_ready(url: str, *, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=30):
                return
        except urllib.error.HTTPError as error:  # its decoders are starting
            if error.code != 503 or time.perf_counter() > deadline:
                raise
        time.sleep(0.05)


def _frame() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scenes(1)[0]).save(buffer, "JPEG")
    return load_generator.request("/v1/predict", "image/jpeg", buffer.getvalue())


def _batch(pictures: Sequence[bytes]) -> bytes:
    encoded = [base64.b64encode(picture).decode() for picture in pictures]
    body = json.dumps({"pictures": encoded}).encode()
    return load_generator.request("/v1/predict/batch", "application/json", body)


def _memory(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    name = "process_resident_memory_bytes "
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name)) / 1e6
