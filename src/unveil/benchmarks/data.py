"""Time and peak memory of each data stage, run as a command of its own.

Takes a source of faces, works in a temporary project and leaves no files behind. Command:
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
from unveil.common.files import temporary_folder
from unveil.common.paths import PARAMS
from unveil.config.provenance import hardware

STAGES = ("ingest", "manifest", "validate", "pack")


@dataclass(frozen=True)
class StageCost:
    """The cost of a command: wall-clock seconds and peak memory in MB."""

    stage: str
    seconds: float
    megabytes: float


def data(source: Path) -> list[StageCost]:
    """Run all data stages on ``source`` once; ``UserError`` names the stage that failed."""
    with temporary_folder("bench") as folder:
        shutil.copy(PARAMS, folder)
        command(folder, "dvc", "init", "--no-scm", "--quiet")
        arguments = {"ingest": [str(source.absolute())]}
        return [command(folder, "unveil", stage, *arguments.get(stage, ())) for stage in STAGES]


def table(costs: list[StageCost]) -> str:
    """Format the costs as Markdown, with their sum and the machine."""
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


def command(folder: Path, module: str, *arguments: str) -> StageCost:
    """Run a Python module in a folder and measure it; ``UserError`` if it fails."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    began = time.perf_counter()
    words = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    # Popen.wait would discard the resource usage.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{module} {arguments[0]} failed, exit code {process.returncode}")
    return StageCost(arguments[0], time.perf_counter() - began, used.ru_maxrss / 1024)
