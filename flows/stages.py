"""A task runs a stage of dvc.yaml, or a verb of unveil, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from unveil import params
from unveil.errors import UserError
from unveil.paths import ARCHIVE, LEADERBOARD
from unveil.registry import PARENT, open_run


def _run(*command: str) -> int:
    folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "DVC_NO_ANALYTICS": "1",
        PARENT: open_run(),
    }
    return subprocess.run([sys.executable, "-m", *command], env=environment, check=False).returncode


def unveil(*arguments: str) -> int:
    """Run a verb and give its exit code."""
    return _run("unveil", *arguments)


@task(task_run_name="repro {stage}")
def repro(stage: str, force: bool = False) -> State | None:
    """Make what one stage makes, unless it is up to date; `force` makes it anyway."""
    status = _run("dvc", "repro", "--single-item", stage, *(["--force"] if force else []))
    return Failed(message=f"stage {stage} failed, exit code {status}") if status else None


@task
def prepare(
    source: str | None, recipe: str | None, architectures: Sequence[str] | None
) -> State | None:
    """Turn the dial and take in new faces, where asked; draw the sample where there are none."""
    try:
        if recipe is not None:
            params.choose_recipe(recipe)
        loaded = params.load()
        for key in architectures or ():
            loaded.named(key)
    except UserError as error:
        return Failed(message=str(error))
    if source is None and ARCHIVE.exists():
        return None
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
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}; the others were compared")
    ended = Failed if promoted.is_failed() else Completed
    return ended(message=promoted.message)
