"""Training variants in processes of their own, which alternate epoch by epoch.

A process receives a line ``KEY EPOCHS`` and writes one line of JSON per epoch; after each it waits
for another line. The first epoch of a variant builds its graph and is not counted.
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
"""An epoch: ``seconds``, ``cpu`` seconds over all cores, ``kept`` seconds for its checkpoint, and
``megabytes``, the peak of anonymous memory so far."""


class VariantProcess:
    """The process of one variant; `start` a network, then request epoch after epoch."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", log: Path) -> None:
        self._name, self._process, self._log = name, process, log

    def start(self, key: str, *, epochs: int) -> Row:
        """Build a network and train its first epoch."""
        return self._request(f"{key} {epochs}")

    def epoch(self) -> Row:
        """Train another epoch."""
        return self._request("")

    def _request(self, line: str) -> Row:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer: Row = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            self._process.wait()
            lines = self._log.read_text().splitlines()
            last = [line for line in lines if line[:1].strip()] or ["no reason"]
            raise UserError(f"training variant {self._name!r} failed: {last[-1]}") from None
        return answer


@contextmanager
def start_variant(folder: Path, name: str) -> Iterator[VariantProcess]:
    """Start the process of a variant in a project; it ends with the block."""
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "unveil.benchmarks.training.variant_worker", name],
            cwd=folder,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield VariantProcess(name, process, Path(log.name))
        finally:
            process.kill()
            process.communicate()


@contextmanager
def start_variants(folder: Path, names: Iterable[str]) -> Iterator[dict[str, VariantProcess]]:
    """Start the processes of several variants in a project; they end with the block."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(start_variant(folder, name)) for name in names}


def alternate(
    variants: dict[str, VariantProcess], key: str, *, epochs: int
) -> dict[str, list[Row]]:
    """Train ``epochs`` epochs of each variant in turn, after a first one that is not counted."""
    rows: dict[str, list[Row]] = {name: [] for name in variants}
    with tqdm(total=(epochs + 1) * len(variants), desc=key, unit=" epochs") as progress:
        for one in variants.values():
            one.start(key, epochs=epochs + 1)
            progress.update()
        for _ in range(epochs):
            for name, one in variants.items():
                rows[name].append(one.epoch())
                progress.update()
    return rows


def fastest(rows: list[Row]) -> Row:
    """Return the fastest epoch; the others were slowed by other load on the machine."""
    return min(rows, key=lambda row: row["seconds"])
