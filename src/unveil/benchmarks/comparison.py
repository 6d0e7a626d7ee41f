"""This build's server beside another build's, measured in turns by the same load generator.

Takes the `unveil` executable of another environment; both serve the same bundle. Other work on the
machine slows both, so the ratios count. Command: ``unveil bench serve --against PATH``.
"""

import json
import os
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from tqdm import tqdm
from websockets.sync.client import connect

from unveil.benchmarks import load_generator, payloads, server_process
from unveil.benchmarks.serving import throughput
from unveil.common.errors import UserError
from unveil.config.provenance import hardware

FRAMES, PHOTOS = 60, 10
"""Pictures of each kind to time in a round."""
ROUNDS = 2

Value = float | str
"""A number, or why there is none."""


@dataclass(frozen=True)
class Build:
    """A server to measure: the command of its build, and options of `unveil serve`."""

    command: Sequence[str]
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Measurement:
    """One round of one build: rates per second, times in milliseconds."""

    capacity: Value
    share: Value
    p99: Value
    cpu: Value
    batches: Value
    frame: Value
    photo: Value


ROWS = {
    "capacity": ("one face per request, at most, per second", "{:.0f}"),
    "share": ("answered at 4 times that, as a share of it", "{:.0%}"),
    "p99": ("p99 latency of those answered, ms", "{:.0f}"),
    "cpu": ("the server's CPU time per face, 8 clients in turns, ms", "{:.2f}"),
    "batches": ("64 faces per request, per second", "{:.0f}"),
    "frame": ("640x480 JPEG, WebSocket, server on one core, p50 ms", "{:.1f}"),
    "photo": ("4032x3024 JPEG, server on one core, p50 ms", "{:.0f}"),
}


def compare(
    bundle: Path, other: Path, *, rounds: int = ROUNDS, seconds: float = 5.0
) -> dict[str, list[Measurement]]:
    """Measure the build of the executable ``other`` and this one, also with int8, in turns.

    Returns the measurements by the builds' names, the other build first.

    Raises ``UserError`` if ``other`` is no `unveil` or does not serve ``bundle``.
    """
    builds = {
        str(other): Build((executable(other),)),
        "this build": Build(server_process.THIS),
        "this build, int8": Build(server_process.THIS, ("--precision", "int8")),
    }
    results: dict[str, list[Measurement]] = {name: [] for name in builds}
    with tqdm(total=rounds * len(builds), desc="servers", unit=" runs") as progress:
        for _ in range(rounds):
            for name, build in builds.items():
                results[name].append(_measured(bundle, build, seconds))
                progress.update()
    return results


def table(results: dict[str, list[Measurement]]) -> str:
    """Format the medians of the rounds as Markdown, with ratios, the machine and the date."""
    first, *others = results
    heads = [first, *(word for one in others for word in (one, "ratio"))]
    lines = [f"| server | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for one in fields(Measurement):
        name, form = ROWS[one.name]
        before, *after = (
            _median([getattr(run, one.name) for run in runs]) for runs in results.values()
        )
        cells = [_cell(form, before)]
        for value in after:
            cells += [_cell(form, value), _ratio(value, before)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    machine, rounds = hardware(), len(results[first])
    note = (
        f"{machine['cores']} cores of {machine['cpu']}, {date.today()}; medians of {rounds} runs."
    )
    return "\n".join([*lines, "", note])


def executable(path: Path) -> str:
    """Return the absolute path of an `unveil` executable; ``UserError`` if it is none."""
    try:
        asked = [str(path.absolute()), "--version"]
        run = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "it does not answer"
        raise UserError(f"{path} is no unveil executable: {reason.lower()}") from None
    if not run.stdout.startswith("unveil "):
        raise UserError(f"{path} is no unveil executable: `--version` names no unveil")
    return asked[0]


def _measured(bundle: Path, build: Build, seconds: float) -> Measurement:
    command, options = build.command, build.options
    with server_process.running(bundle, command=command, options=options) as (url, _):
        cpu = _cpu_per_face(url, seconds)
        found = throughput(url, seconds)
    frame, photo = _on_one_core(bundle, build, (_frame, _photo))
    return Measurement(
        capacity=found.capacity,
        share=found.answered / found.capacity,
        p99=1000 * found.p99_accepted,
        cpu=cpu,
        batches=found.batches,
        frame=frame,
        photo=photo,
    )


def _cpu_per_face(url: str, seconds: float) -> float:
    """Return milliseconds; other work on the machine changes them less than the rates."""
    single = payloads.single_request()
    load_generator.saturate(url, single, 8, seconds / 4)
    began = server_process.cpu_seconds(url)
    responses = load_generator.saturate(url, single, 8, seconds)
    spent = server_process.cpu_seconds(url) - began
    return 1000 * spent / max(1, len(load_generator.answered(responses)))


def _on_one_core(
    bundle: Path, build: Build, measures: Sequence[Callable[[str], Value]]
) -> list[Value]:
    """Measure with the server on one core and this process on another."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return ["needs two cores"] * len(measures)
    with ExitStack() as stack:
        with server_process.pinned(cores[1]):
            running = server_process.running(bundle, command=build.command, options=build.options)
            url, _ = stack.enter_context(running)
        stack.enter_context(server_process.pinned(cores[0]))
        return [measure(url) for measure in measures]


def _frame(url: str) -> Value:
    """Return the median milliseconds from a frame to its answer; each waits for the last one."""
    picture, seconds = payloads.frame(), []
    with connect(f"{url.replace('http', 'ws', 1)}/v1/stream") as stream:
        for _ in range(FRAMES + 1):
            began = time.perf_counter()
            stream.send(picture)
            answer = json.loads(stream.recv(timeout=load_generator.ANSWER_SECONDS))
            seconds.append(time.perf_counter() - began)
            if "error" in answer:
                return f"refused: {answer['error']}"
    return 1000 * statistics.median(seconds[1:])


def _photo(url: str) -> Value:
    """Return the median milliseconds from a photo to its answer, or why it is refused."""
    headers = {"content-type": "image/jpeg"}
    asked = urllib.request.Request(f"{url}/v1/predict", payloads.photo(), headers)
    try:
        urllib.request.urlopen(asked, timeout=load_generator.ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        with error:
            return f"refused: {error.code} {json.loads(error.read())['error']}"
    request = load_generator.request("/v1/predict", "image/jpeg", payloads.photo())
    responses = load_generator.send_each(url, request, PHOTOS)
    return 1000 * statistics.median(one.seconds for one in responses)


def _median(values: Sequence[Value]) -> Value:
    numbers = [value for value in values if not isinstance(value, str)]
    reasons = [value for value in values if isinstance(value, str)]
    return reasons[0] if reasons else statistics.median(numbers)


def _ratio(value: Value, before: Value) -> str:
    if isinstance(value, str) or isinstance(before, str):
        return ""
    return f"{value / before:.2f}"


def _cell(form: str, value: Value) -> str:
    return value.replace("|", "/") if isinstance(value, str) else form.format(value)
