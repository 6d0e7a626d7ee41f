"""Throughput, latency and memory of the HTTP server, compared to in-process inference.

Takes a bundle; starts `unveil serve` on a free port and sends synthetic faces of 48x48 pixels. The
load generator shares the machine with the server, so the server alone would reach more. Command:
``unveil bench serve``.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unveil.benchmarks import load_generator, payloads, server_process
from unveil.benchmarks.payloads import BATCH_SIZE
from unveil.common.errors import UserError
from unveil.data.decoding import decode, resize
from unveil.inference import bundle as bundles
from unveil.inference.bundle import MAX_BATCH

OVERLOAD = 4
"""The load that is too much, as a multiple of the capacity."""


@dataclass(frozen=True)
class Throughput:
    """Rates of a server in faces per second, and the latency in seconds.

    ``capacity`` is for single pictures, ``offered`` four times as much, ``answered`` is of these.
    """

    batches: float
    capacity: float
    offered: float
    answered: float
    refused_share: float
    p99_accepted: float


@dataclass(frozen=True)
class ServerMeasurements:
    """The results; rates in faces per second, times in seconds.

    ``memory_growth`` is the increase in MB over ``requests`` requests, one in ten a frame of
    640x480, after a warm-up of a tenth as many.
    """

    ready: float
    in_process: float
    throughput: Throughput
    requests: int
    memory_growth: float


def server(bundle: Path, *, seconds: float = 10.0, requests: int = 100_000) -> ServerMeasurements:
    """Measure a server: ``seconds`` for each rate, ``requests`` for its memory."""
    in_process = _in_process(bundle, payloads.pictures(), seconds)
    with server_process.running(bundle) as (url, ready):
        measured = throughput(url, seconds)
        mixed = [payloads.single_request()] * 9 + [payloads.frame_request()]
        load_generator.send_count(url, mixed, requests // 10)
        before = server_process.memory(url)
        load_generator.send_count(url, mixed, requests)
        memory_growth = server_process.memory(url) - before
    return ServerMeasurements(ready, in_process, measured, requests, memory_growth)


def throughput(url: str, seconds: float) -> Throughput:
    """Measure batches, single pictures and overload, ``seconds`` for each rate."""
    single, batch = payloads.single_request(), payloads.batch_request()
    batches = load_generator.rate(url, batch, clients=4, seconds=seconds)
    start = load_generator.rate(url, single, clients=8, seconds=seconds)
    if not start:
        raise UserError("the server answers no picture; its messages are above")
    capacity = load_generator.capacity(url, single, rate=start, seconds=seconds)
    overload = load_generator.offer(url, single, rate=OVERLOAD * capacity, seconds=seconds)
    accepted = [one.seconds for one in load_generator.answered(overload)]
    return Throughput(
        batches=BATCH_SIZE * batches,
        capacity=capacity,
        offered=len(overload) / seconds,
        answered=len(accepted) / seconds,
        refused_share=sum(one.status == 429 for one in overload) / len(overload),
        p99_accepted=float(np.quantile(accepted, 0.99)),
    )


def table(served: ServerMeasurements) -> str:
    """Format the results as Markdown, with their targets."""
    reached = served.throughput
    share = reached.batches / served.in_process
    rows = [
        ("ready", f"{served.ready:.1f} s", "under 3 s"),
        ("in process, decoding and batched inference", f"{served.in_process:.0f} faces/s", ""),
        (f"server, {BATCH_SIZE} pictures per request", f"{reached.batches:.0f} faces/s", ""),
        ("the same, as a share of in process", f"{share:.0%}", "at least 80 %"),
        ("server, one picture per request, at most", f"{reached.capacity:.0f} faces/s", ""),
        ("offered load, 4 times that", f"{reached.offered:.0f} requests/s", ""),
        ("answered of these", f"{reached.answered:.0f} faces/s", "90 % of the most"),
        ("answered with 429", f"{reached.refused_share:.0%}", "the rest"),
        ("p99 latency of those answered", f"{1000 * reached.p99_accepted:.0f} ms", "under 250 ms"),
        (
            f"memory after {served.requests} requests",
            f"{served.memory_growth:+.1f} MB",
            "under 1 MB",
        ),
    ]
    lines = [f"| {name} | {value} | {target} |" for name, value, target in rows]
    return "\n".join(["| | measured | target |", "|---|---|---|", *lines])


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
