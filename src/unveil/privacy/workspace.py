"""The files of a checkout that may hold somebody, and which of them may be deleted."""

import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from unveil.common.paths import CHECKPOINTS, DATA, JOURNAL, PROMOTIONS, TRACKING

SKIPPED = {".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tools", ".venv"}
SKIPPED |= {"__pycache__", "node_modules"}
"""Folders of programs, and of git, whose files are looked at where they are checked out."""
CACHE = Path(".dvc/cache")
OURS = (DATA, CHECKPOINTS, TRACKING / "artifacts", Path("gpu_report"), Path("dvc_plots"))
"""Where all files are made by commands, or are the faces themselves."""
HALF_COPIED = re.compile(r"\.[\w-]{22}\.tmp")
"""What DVC calls a file until its copy is complete; a kill leaves it."""
FEEDBACK = "feedback.jsonl"


def files(*besides: Path) -> Iterator[Path]:
    """Give all files of the checkout but DVC's cache, journals and what lies ``besides``."""
    left_out = {CACHE, JOURNAL, PROMOTIONS, *besides}
    for folder, below, names in os.walk("."):
        place = Path(folder)
        below[:] = sorted(
            name for name in below if name not in SKIPPED and place / name not in left_out
        )
        found = (place / name for name in sorted(names))
        yield from (path for path in found if path.is_file() and path not in left_out)
    # A large disk may be linked here.
    linked = (path for path in (*OURS, TRACKING) if path.is_symlink())
    yield from (path for place in linked for path in place.rglob("*") if path.is_file())


def is_ours(path: Path) -> bool:
    """Say whether a file may be deleted: made by a command, or half made by DVC."""
    if any(place in path.parents for place in OURS) or is_half_copied(path):
        return True
    return path.parent.name == "pictures" and (path.parent.parent / FEEDBACK).exists()


def is_half_copied(path: Path) -> bool:
    """Say whether a file is a copy that DVC did not complete, and nobody's loss."""
    return bool(HALF_COPIED.fullmatch(path.name))


def is_code(path: Path) -> bool:
    """Say whether a file is the project itself, as git has it: names in it are examples."""
    return DATA not in path.parents and path.as_posix() in _tracked(Path.cwd())


@cache
def _tracked(_folder: Path) -> frozenset[str]:
    try:
        said = subprocess.run(["git", "ls-files", "-z"], capture_output=True)
    except OSError:
        return frozenset()
    return frozenset(os.fsdecode(said.stdout).split("\0"))
