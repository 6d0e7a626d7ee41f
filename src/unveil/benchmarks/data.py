"""How long it takes and how much memory: each data stage as a command of its own.

Takes a source of faces, works in a temporary project and leaves nothing behind. Command:
``unveil bench data SOURCE``.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from unveil.common.errors import UserError
from unveil.common.files import temporary
from unveil.common.paths import PARAMS
from unveil.config.provenance import hardware

STAGES = ("ingest", "manifest", "validate", "pack")


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds by the clock and the most memory it had, in MB."""

    stage: str
    seconds: float
    megabytes: float


def data(source: Path) -> list[Cost]:
    """Take ``source`` from archive to arrays once; ``UserError`` names the stage that failed."""
    with temporary("bench") as folder:
        shutil.copy(PARAMS, folder)
        command(folder, "dvc", "init", "--no-scm", "--quiet")
        arguments = {"ingest": [str(source.absolute())]}
        return [command(folder, "unveil", stage, *arguments.get(stage, ())) for stage in STAGES]


def table(costs: list[Cost]) -> str:
    """Write the costs as Markdown, with their sum and the machine."""
    machine = hardware()
    seconds, peak = sum(one.seconds for one in costs), max(one.megabytes for one in costs)
    rows = [(one.stage, one.seconds, one.megabytes) for one in costs]
    return "\n".join(
        [
            "| stage | seconds | peak MB |",
            "|---|---|---|",
            *(f"| {stage} | {time:.1f} | {size:.0f} |" for stage, time, size in rows),
            f"| all | {seconds:.1f} | {peak:.0f} |",
            "",
            f"{machine['cores']} cores of {machine['cpu']}.",
        ]
    )


def command(folder: Path, module: str, *arguments: str) -> Cost:
    """Run a Python module in a folder; ``UserError`` when it fails."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    began = time.perf_counter()
    words = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    # Not Popen.wait, which forgets what the process used.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{module} {arguments[0]} failed, exit code {process.returncode}")
    return Cost(arguments[0], time.perf_counter() - began, used.ru_maxrss / 1024)
