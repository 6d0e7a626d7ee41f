"""`unveil.train`: run the main job, train-all, in the folder of a project."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import read_json
from unveil.common.optional import import_optional
from unveil.common.paths import COMPARISON, PARAMS, PROMOTION, REPORT


@dataclass(frozen=True)
class Training:
    """The outcome of train-all.

    ``leaderboard`` has a row for each architecture, best first: ``architecture``, and test
    ``macro_f1`` with ``low`` and ``high``, its 95 % confidence interval. ``champion`` says whether
    the best one is champion now; then `unveil.load("champion")` loads it. ``report`` is an HTML
    page.
    """

    leaderboard: tuple[dict[str, Any], ...]
    champion: bool
    report: Path


def train(
    source: str | Path | None = None,
    *,
    recipe: str | None = None,
    architectures: Sequence[str] = (),
    force: bool = False,
    project: str | Path = ".",
) -> Training:
    """Check the data, train, compare and promote, as `make train-all` does; print its progress.

    Args:
        source: Labelled faces: a zip file, a folder or ``fer2013.csv``. Without one, the faces that
            the project has; a new project draws synthetic ones.
        recipe: A recipe of ``params.yaml``; by default the one that is chosen there.
        architectures: Keys of ``architectures`` in ``params.yaml``; by default all.
        force: Whether to train again although nothing changed.
        project: The folder of a checkout of unveil, with ``params.yaml`` and ``flows``.

    Raises:
        UserError: ``project`` is no such folder, or train-all failed; the reason was printed.
    """
    root = Path(project).absolute()
    if not ((root / PARAMS).is_file() and (root / "flows").is_dir()):
        raise UserError(f"{root} is no checkout of unveil; give its folder as `project`")
    import_optional("prefect")
    keys = [architectures] if isinstance(architectures, str) else architectures
    options = {
        "--source": None if source is None else str(Path(source).absolute()),
        "--recipe": recipe,
        "--architectures": " ".join(keys) or None,
    }
    chosen = [text for name, value in options.items() if value for text in (name, value)]
    _run([sys.executable, "-m", "flows", *chosen, *(["--force"] if force else [])], root)
    return _outcome(root)


def _run(command: list[str], folder: Path) -> None:
    # DVC and the stages are started by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with _started(command, folder, {**os.environ, "PATH": path}) as job:
        last = ""
        # Printed from here, because a notebook does not show the output of a child process.
        for line in job.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    if job.returncode:
        raise UserError(last or f"train-all ended with exit code {job.returncode}")


@contextmanager
def _started(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as job:
        try:
            yield job
        except BaseException:
            # A notebook interrupts only its own process.
            job.send_signal(signal.SIGINT)
            job.wait()
            raise


def _outcome(root: Path) -> Training:
    compared = read_json(root / COMPARISON, made_by="unveil compare")
    decision = read_json(root / PROMOTION, made_by="unveil promote")
    rows = (
        {"architecture": key, **_interval(compared["reports"][key])} for key in compared["ranking"]
    )
    # Without a promotion, a version is that of the candidate, which is champion already.
    champion = bool(decision["promoted"] or decision["version"])
    return Training(tuple(rows), champion, root / REPORT)


def _interval(report: dict[str, Any]) -> dict[str, float]:
    measured = report["test"]["macro_f1"]
    return {"macro_f1": measured["value"], "low": measured["low"], "high": measured["high"]}
