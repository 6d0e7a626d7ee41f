"""A task runs a stage of dvc.yaml, or a verb of unveil, in a process of its own."""

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import runtime, task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed

from flows.slots import MAKES
from unveil import params, tracked
from unveil.errors import UserError, masked
from unveil.paths import (
    ARCHIVE,
    AUDITED,
    COMPARISON,
    CORRECTIONS,
    LEADERBOARD,
    PROMOTION,
    PROMOTIONS,
)
from unveil.registry import PARENT, champion, open_run

DATA = ("manifest", "validate", "pack")
"""The stages before training."""

KEPT = (tracked.LOCK, CORRECTIONS, AUDITED, PROMOTIONS)
"""What git keeps: without one of these a run would begin as if nothing had been decided before."""

KILLED = re.compile(r"exited with (-\d+|1[2-9]\d)\b")
"""What DVC says of a command that died by a signal; a shell adds 128 to its number."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and the last it said where we hear it."""

    status: int
    said: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether the stage's process died by a signal, such as the kernel's when out of memory."""
        return any(KILLED.search(line) for line in self.said)

    @property
    def reason(self) -> str:
        """Give the last line that states one."""
        for mark in ("unveil: ", "ERROR: "):
            for line in reversed(self.said):
                if line.startswith(mark):
                    return line.removeprefix(mark)[:500]
        return f"exit code {self.status}"


def deployed() -> bool:
    """Whether a worker runs this flow, for a deployment; else a person does, in this process."""
    return runtime.deployment.id is not None


def _environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    parent = open_run() or os.environ.get(PARENT, "")
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", PARENT: parent}


def _run(*command: str, makes: str = "") -> Ended:
    """Run a command that ends with us, however we end; a worker's run prints it line by line."""
    with subprocess.Popen(
        [sys.executable, "-m", "flows.guard", sys.executable, "-m", *command],
        env={**_environment(), MAKES: makes},
        stdin=subprocess.PIPE,
        # The worker's own output may be gone before the run is: then only the server hears it.
        stdout=subprocess.PIPE if deployed() else None,
        stderr=subprocess.STDOUT if deployed() else None,
        text=True,
    ) as process:
        said: deque[str] = deque(maxlen=40)
        for line in process.stdout or ():
            if line.strip():
                said.append(masked(line.strip()))
                print(masked(line.rstrip()))
        return Ended(process.wait(), tuple(said))


def unveil(*arguments: str) -> int:
    """Run a verb and give its exit code."""
    return _run("unveil", *arguments).status


def outdated() -> set[str]:
    """Ask DVC, once for all, which stages are stale."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json"]
    asked = subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, check=True)
    return set(json.loads(asked.stdout))


def nothing_to_do(architectures: Sequence[str]) -> bool:
    """Whether all is made from the data, parameters and code of now, and there is a champion."""
    decided = PROMOTION.exists() and COMPARISON.exists()
    if not decided or PROMOTION.stat().st_mtime < COMPARISON.stat().st_mtime:
        return False
    own = (stage for key in architectures for stage in stages_of(key))
    try:
        return outdated().isdisjoint({*DATA, *own, "compare"}) and champion() is not None
    except UserError:
        return False  # MLflow is away: promote says so


def stages_of(architecture: str) -> tuple[str, ...]:
    """Name an architecture's own stages, in order."""
    return f"train@{architecture}", f"evaluate@{architecture}"


@task(task_run_name="repro {stage}")
def repro(stage: str, force: bool = False) -> State | None:
    """Make what one stage makes, unless it is up to date; `force` makes it anyway.

    Crashed where its process died by a signal: another try may have more luck.
    """
    # A sibling in this checkout may hold DVC's lock for as long as it pushes.
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
    makes = stage.rpartition("@")[2]
    ended = _run(*command, *(["--force"] if force else []), makes=makes)
    if not ended.status:
        return None
    state = Crashed if ended.killed else Failed
    return state(message=f"stage {stage} failed: {ended.reason}")


def fetched(path: Path) -> bool:
    """Bring a file that DVC has recorded, from cache or remote; false where none is recorded.

    Raises:
        UserError: where it is recorded and cannot be had.
    """
    if (said := tracked.lost(path)) is None:
        return False
    if tracked.recorded(path):
        for verb in ("checkout", "pull"):
            if not path.exists():
                _run("dvc", "--wait-for-lock", verb, str(tracked.pointer(path)))
    if not path.exists():
        raise UserError(said)
    return True


@task
def prepare(
    source: str | None, recipe: str | None, architectures: Sequence[str] | None
) -> State | None:
    """Turn the dial and take in new faces, where asked; draw the sample where there are none.

    Faces that DVC has recorded are fetched; where that fails, nothing is drawn in their place.
    """
    try:
        if recipe is not None:
            params.choose_recipe(recipe)
        loaded = params.load()
        for key in architectures or ():
            loaded.named(key)
        tracked.refuse_lost(*KEPT)
        if source is None and (ARCHIVE.exists() or fetched(ARCHIVE)):
            return None
    except UserError as error:
        return Failed(message=str(error))
    verb = ["sample"] if source is None else ["ingest", source]
    return Failed(message=f"unveil {' '.join(verb)} failed") if unveil(*verb) else None


def conclude(trained: Mapping[str, State], promoted: State) -> State:
    """Print the leaderboard, the champion and how to look at it all; say what failed."""
    lines = [
        LEADERBOARD.read_text(),
        str(promoted.message),
        "runs and models:  make ui        http://127.0.0.1:5000  (MLflow)",
        "flows:            make ui-flows  http://127.0.0.1:4200  (Prefect)",
    ]
    print("\n".join(lines))
    failed = [key for key, state in trained.items() if not state.is_completed()]
    for key in failed:
        print(f"{key} {str(trained[key].name).lower()}: {trained[key].message}")
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}; the others were compared")
    ended = Failed if promoted.is_failed() else Completed
    return ended(message=promoted.message)
