"""What a run was made with: the code's commit, the machine, the identity of the data."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path


def git_commit() -> str:
    """Name the commit, with ``-dirty`` where tracked files differ; ``unknown`` outside git."""
    commit = _output("git", "rev-parse", "HEAD")
    dirty = _output("git", "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and dirty else commit or "unknown"


def hardware() -> dict[str, str]:
    """Name the processor, its cores we may use, and the GPUs (``none`` without)."""
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    return {
        "cpu": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "gpu": ", ".join(gpus) or "none",
    }


def dvc_hash(path: Path) -> str:
    """Give the md5 by which DVC knows a file, as 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
