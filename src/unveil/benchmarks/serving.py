"""How a real server keeps up, beside the model in one process of its own: both in one run.

Takes a bundle; starts `unveil serve` with it on a free port and asks for drawn faces of 48x48
pixels over HTTP. Client and server share the machine, so that the server could take more than is
said here. ``unveil bench serve`` prints what ``server`` gives.
"""

import asyncio
import base64
import io
import json
import subprocess
import sys
import tempfile
import time
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
from unveil.data.synthetic import CLASSES, face
from unveil.inference import bundle as bundles
from unveil.inference.bundle import LARGEST

TOGETHER = 64
"""Pictures in one request of a batch."""


@dataclass(frozen=True)
class Served:
    """What was measured; rates in faces for each second, times in seconds.

    ``offered`` is four times ``capacity``, which is of single pictures; ``grown`` the megabytes of
    memory that ``requests`` answered, one in ten a frame of 640x480, added after a tenth as many.
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
    grown: float


def server(bundle: Path, *, seconds: float = 10.0, requests: int = 100_000) -> Served:
    """Measure a server: ``seconds`` for each rate, ``requests`` for its memory."""
    pictures = _pictures()
    in_process = _in_process(bundle, pictures, seconds)
    with _running(bundle.absolute()) as (url, ready):
        batch = asyncio.run(load_generator.saturate(url, _batch(pictures), 4, seconds))
        single = load_generator.request("/v1/predict", "image/png", pictures[0])
        slow = load_generator.rate(asyncio.run(load_generator.saturate(url, single, 8, seconds)))
        most = asyncio.run(load_generator.capacity(url, single, rate=slow, seconds=seconds))
        overload = asyncio.run(load_generator.offer(url, single, rate=4 * most, seconds=seconds))
        accepted = [one.seconds for one in overload if one.status == 200]
        mixed = [single] * 9 + [_frame()]
        asyncio.run(load_generator.count(url, mixed, requests // 10))
        before = _memory(url)
        asyncio.run(load_generator.count(url, mixed, requests))
        grown = _memory(url) - before
    return Served(
        ready=ready,
        in_process=in_process,
        batches=TOGETHER * load_generator.rate(batch),
        capacity=most,
        offered=len(overload) / seconds,
        answered=len(accepted) / seconds,
        refused_share=sum(one.status == 429 for one in overload) / len(overload),
        p99_accepted=float(np.quantile(accepted, 0.99)),
        requests=requests,
        grown=grown,
    )


def table(served: Served) -> str:
    """Write the figures as Markdown, beside what is asked of them."""
    share = served.batches / served.in_process
    rows = [
        ("ready", f"{served.ready:.1f} s", "under 3 s"),
        ("in process, decoded and asked in batches", f"{served.in_process:.0f} faces/s", ""),
        (f"server, {TOGETHER} pictures a request", f"{served.batches:.0f} faces/s", ""),
        ("the same as a share of in process", f"{share:.0%}", "at least 80 %"),
        ("server, one picture a request, at most", f"{served.capacity:.0f} faces/s", ""),
        ("offered at 4 times that", f"{served.offered:.0f} requests/s", ""),
        ("answered of these", f"{served.answered:.0f} faces/s", ""),
        ("told to come back", f"{served.refused_share:.0%}", "the rest"),
        ("p99 of those answered", f"{1000 * served.p99_accepted:.0f} ms", "under 250 ms"),
        (f"memory after {served.requests} requests", f"{served.grown:+.1f} MB", "under 1 MB"),
    ]
    lines = [f"| {name} | {value} | {target} |" for name, value, target in rows]
    return "\n".join(["| | measured | target |", "|---|---|---|", *lines])


def _pictures() -> list[bytes]:
    generator, pictures = np.random.default_rng(0), []
    for number in range(TOGETHER):
        buffer = io.BytesIO()
        Image.fromarray(face(CLASSES[number % len(CLASSES)], generator)).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    return pictures


def _in_process(bundle: Path, pictures: Sequence[bytes], seconds: float) -> float:
    """Decode and ask, without a server; decoding of the next batch goes on meanwhile."""
    ready, count = bundles.load(bundle), 0

    def decoded(start: int) -> np.ndarray:
        chosen = pictures[start : start + LARGEST]
        faces = [resize(decode(one).pixels, ready.image_size) for one in chosen]
        return np.stack(faces)[..., np.newaxis]

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(decoded, 0)
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            faces = following.result()
            following = thread.submit(decoded, (count + LARGEST) % TOGETHER)
            ready.probabilities(faces)
            count += len(faces)
    return count / spent


@contextmanager
def _running(bundle: Path) -> Iterator[tuple[str, float]]:
    """Run a server in a folder that is removed; gives its URL and the seconds until ready."""
    command = [sys.executable, "-m", "unveil", "serve", "--purpose", "measure the server itself"]
    command += ["--bundle", str(bundle), "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"{url}/readyz", timeout=30):
                yield url, time.perf_counter() - began
        finally:
            process.terminate()
            process.communicate()


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
