"""Ways to learn, each in a process of its own, take turns: one epoch of each, then the next.

A process is told ``KEY EPOCHS`` on a line and says one line of JSON for each epoch; after each it
waits for a line. The first epoch of a way builds its graph and counts for nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tqdm import tqdm

from unveil.common.errors import UserError

Row = dict[str, float]
"""An epoch: ``seconds``, ``cpu`` seconds of all cores, ``kept`` seconds for its checkpoint and
``megabytes`` of memory that no file backs, the most until then."""


class Way:
    """One way to learn; `begin` a network, then ask for epoch after epoch."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", said: Path) -> None:
        self._name, self._process, self._said = name, process, said

    def begin(self, key: str, *, epochs: int) -> Row:
        """Build a network and learn the first of its epochs."""
        return self._ask(f"{key} {epochs}")

    def epoch(self) -> Row:
        """Learn another epoch."""
        return self._ask("")

    def _ask(self, line: str) -> Row:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer: Row = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            self._process.wait()
            lines = self._said.read_text().splitlines()
            last = [line for line in lines if line[:1].strip()] or ["no reason"]
            raise UserError(f"learning the way {self._name!r} ended: {last[-1]}") from None
        return answer


@contextmanager
def way(folder: Path, name: str) -> Iterator[Way]:
    """Start a way to learn in a project; it ends with the block."""
    with tempfile.NamedTemporaryFile("w", suffix=".log") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "unveil.benchmarks.training.variants", name],
            cwd=folder,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            yield Way(name, process, Path(said.name))
        finally:
            process.kill()
            process.communicate()


@contextmanager
def crew(folder: Path, names: Iterable[str]) -> Iterator[dict[str, Way]]:
    """Start several ways to learn in a project; they end with the block."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(way(folder, name)) for name in names}


def alternate(ways: dict[str, Way], key: str, *, epochs: int) -> dict[str, list[Row]]:
    """Let each way learn ``epochs`` epochs beside one that counts for nothing, turn by turn."""
    rows: dict[str, list[Row]] = {name: [] for name in ways}
    with tqdm(total=(epochs + 1) * len(ways), desc=key, unit=" epochs") as progress:
        for one in ways.values():
            one.begin(key, epochs=epochs + 1)
            progress.update()
        for _ in range(epochs):
            for name, one in ways.items():
                rows[name].append(one.epoch())
                progress.update()
    return rows


def best(rows: list[Row]) -> Row:
    """Give the quickest epoch; what slowed the others was the machine."""
    return min(rows, key=lambda row: row["seconds"])
