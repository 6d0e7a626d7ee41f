"""Provenance of a run: git commit, hardware, data hash, parameters and requirements."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.git import run_git
from unveil.common.paths import AUDIT_COUNTS, JOURNAL
from unveil.config.params import Params

CODE = ("common", "config", "dataset", "networks", "training")
"""The packages whose code determines a training: those of its stage in dvc.yaml."""


def source_digests(packages: Sequence[str] = CODE) -> list[str]:
    """Return the SHA-256 of each file of the packages, in their order."""
    here = Path(__file__).parents[1]
    files = [path for package in packages for path in sorted((here / package).rglob("*.py"))]
    return [sha256(path) for path in files]


def git_commit() -> str:
    """Return the commit, with ``-dirty`` if tracked files differ; ``unknown`` outside git."""
    commit = _git_output("rev-parse", "HEAD")
    # These files are results of runs, not their input.
    others = (".", ":!dvc.lock", f":!{JOURNAL}", f":!{AUDIT_COUNTS}")
    dirty = _git_output("status", "--porcelain", "--untracked-files=no", "--", *others)
    return f"{commit}-dirty" if commit and dirty else commit or "unknown"


def hardware() -> dict[str, str]:
    """Return the processor, the usable cores, the memory in GiB, and the GPUs or ``none``."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory_gib": str(round(memory / 2**30)),
        "gpu": ", ".join(_gpus()) or "none",
    }


def device_name(known: Mapping[str, str], *, on_gpu: bool) -> str:
    """Return the compute device from `hardware`: the GPUs, or the processor with its cores."""
    if on_gpu and known["gpu"] not in ("none", "unknown"):
        return known["gpu"]
    return f"{known['cpu']}, {known['cores']} cores"


def dvc_hash(path: Path) -> str:
    """Return the md5 of a file as DVC records it, 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def parameters(key: str, params: Params) -> dict[str, Any]:
    """Return the parameters of an architecture as a flat dictionary, named as in MLflow runs."""
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
    if schedule.distillation is not None:
        groups.append(("distillation", schedule.distillation))
    groups += [(f"stage{number}", stage) for number, stage in enumerate(schedule.stages, start=1)]
    for group, settings in groups:
        for name, value in TypeAdapter(type(settings)).dump_python(settings).items():
            described[f"{group}.{name}"] = value
    return described


def requirements() -> list[str]:
    """Return pinned requirements to load a saved model: Keras and the installed backends."""
    named = ("keras", "numpy", "tensorflow-cpu", "tensorflow", "jax")
    # A wheel may spell its name with an underscore.
    here = {distribution.name.lower().replace("_", "-") for distribution in distributions()}
    return [f"{name}=={version(name)}" for name in named if name in here]


def _gpus() -> list[str]:
    """Return the names of the GPUs visible under ``CUDA_VISIBLE_DEVICES``."""
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


def _git_output(*arguments: str) -> str:
    try:
        result = run_git(*arguments, timeout=10)
    except UserError:
        return ""
    return result.stdout.strip() if result and result.code == 0 else ""


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
