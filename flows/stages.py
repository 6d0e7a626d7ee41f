"""A task runs a stage of dvc.yaml, or a verb of unveil, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from unveil import params
from unveil.errors import UserError
from unveil.files import read_json
from unveil.paths import ARCHIVE, LEADERBOARD, PROMOTION
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
def prepare(source: str | None, recipe: str | None) -> None:
    """Turn the dial and take in new faces, where asked; draw the sample where there are none."""
    if recipe is not None:
        params.choose_recipe(recipe)
    if source is not None:
        arguments = ["ingest", source]
    elif not ARCHIVE.exists():
        arguments = ["sample"]
    else:
        return
    if unveil(*arguments):
        raise UserError(f"unveil {' '.join(arguments)} failed")


def conclude(trained: Mapping[str, State]) -> State:
    """Print the leaderboard, the champion and how to look at it all; say what failed."""
    decision = read_json(PROMOTION, made_by="unveil promote")
    verb = "is champion" if decision["promoted"] else "was not promoted"
    lines = [
        LEADERBOARD.read_text(),
        f"{decision['candidate']} {verb}: {decision['reason']}",
        "runs and models:  make ui        http://127.0.0.1:5000  (MLflow)",
        "flows:            make ui-flows  http://127.0.0.1:4200  (Prefect)",
    ]
    print("\n".join(lines))
    failed = [key for key, state in trained.items() if not state.is_completed()]
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}; the others were compared")
    return Completed(message=f"{decision['candidate']} {verb}: {decision['reason']}")
