"""What a run was made with: code, machine, identity of the data, parameters."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from unveil import git
from unveil.errors import UserError
from unveil.params import Params
from unveil.paths import AUDITED, JOURNAL


def git_commit() -> str:
    """Name the commit, with ``-dirty`` where tracked files differ; ``unknown`` outside git."""
    commit = _git("rev-parse", "HEAD")
    # These are about what is made, not what makes it.
    others = (".", ":!dvc.lock", f":!{JOURNAL}", f":!{AUDITED}")
    dirty = _git("status", "--porcelain", "--untracked-files=no", "--", *others)
    return f"{commit}-dirty" if commit and dirty else commit or "unknown"


def hardware() -> dict[str, str]:
    """Name the processor, its cores we may use, the memory, and the GPUs (``none`` without)."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory_gib": str(round(memory / 2**30)),
        "gpu": ", ".join(_gpus()) or "none",
    }


def machine(known: Mapping[str, str], *, on_gpu: bool) -> str:
    """Name what of `hardware` computes: its GPUs, or else the processor with its cores."""
    if on_gpu and known["gpu"] not in ("none", "unknown"):
        return known["gpu"]
    return f"{known['cpu']}, {known['cores']} cores"


def dvc_hash(path: Path) -> str:
    """Give the md5 by which DVC knows a file, as 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def parameters(key: str, params: Params) -> dict[str, Any]:
    """Give an architecture's parameters flat, under the names they have in every run."""
    schedule = params.schedules[key]
    described = {
        "architecture": key,
        "recipe": params.recipe,
        "train_images": schedule.train_images or "all",
    }
    groups: list[tuple[str, object]] = [
        ("network", params.architectures[key]),
        ("training", params.training),
    ]
    groups += [(f"stage{number}", stage) for number, stage in enumerate(schedule.stages, start=1)]
    for group, settings in groups:
        for name, value in TypeAdapter(type(settings)).dump_python(settings).items():
            described[f"{group}.{name}"] = value
    return described


def requirements() -> list[str]:
    """Pin what a saved network needs to be loaded: Keras and the backends that are here."""
    named = ("keras", "numpy", "tensorflow-cpu", "tensorflow", "jax")
    # A wheel may spell its name with an underscore.
    here = {distribution.name.lower().replace("_", "-") for distribution in distributions()}
    return [f"{name}=={version(name)}" for name in named if name in here]


def _gpus() -> list[str]:
    """Name the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves us."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen in ("", "-1"):
        return []
    only = [f"--id={chosen}"] if chosen else []
    return _output("nvidia-smi", *only, "--query-gpu=name", "--format=csv,noheader").splitlines()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    try:
        answer = git.ask(*arguments, patience=10)
    except UserError:
        return ""
    return answer.said.strip() if answer and answer.code == 0 else ""


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
