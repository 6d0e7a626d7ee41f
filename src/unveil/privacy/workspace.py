"""The files of a checkout that may contain a person's images, and which of them may be deleted."""

import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from unveil.common.paths import CHECKPOINTS, DATA, JOURNAL, PROMOTIONS, TRACKING

SKIPPED_FOLDERS = {
    ".git",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tools",
    ".venv",
}
SKIPPED_FOLDERS |= {"__pycache__", "node_modules"}
"""Folders of tools, and of git, whose files are searched where they are checked out."""
CACHE = Path(".dvc/cache")
GENERATED = (DATA, CHECKPOINTS, TRACKING / "artifacts", Path("gpu_report"), Path("dvc_plots"))
"""Folders with only generated files and the images themselves."""
PARTIAL_COPY = re.compile(r"\.[\w-]{22}\.tmp")
"""DVC's name of a file until its copy is complete; a killed process leaves it behind."""
FEEDBACK = "feedback.jsonl"


def files(*excluded: Path) -> Iterator[Path]:
    """Yield all files of the checkout except DVC's cache, the journals and ``excluded``."""
    skipped = {CACHE, JOURNAL, PROMOTIONS, *excluded}
    for folder, below, names in os.walk("."):
        place = Path(folder)
        below[:] = sorted(
            name for name in below if name not in SKIPPED_FOLDERS and place / name not in skipped
        )
        found = (place / name for name in sorted(names))
        yield from (path for path in found if path.is_file() and path not in skipped)
    # These folders may be symbolic links to another disk.
    linked = (path for path in (*GENERATED, TRACKING) if path.is_symlink())
    yield from (path for place in linked for path in place.rglob("*") if path.is_file())


def is_deletable(path: Path) -> bool:
    """Return whether a file may be deleted: generated, or an incomplete copy of DVC."""
    if any(place in path.parents for place in GENERATED) or is_partial_copy(path):
        return True
    return path.parent.name == "pictures" and (path.parent.parent / FEEDBACK).exists()


def is_partial_copy(path: Path) -> bool:
    """Return whether a file is an incomplete copy of DVC."""
    return bool(PARTIAL_COPY.fullmatch(path.name))


def is_project_file(path: Path) -> bool:
    """Return whether a file belongs to the project in git; names in it are only examples."""
    return DATA not in path.parents and path.as_posix() in _tracked_files(Path.cwd())


@cache
def _tracked_files(_folder: Path) -> frozenset[str]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True)
    except OSError:
        return frozenset()
    return frozenset(os.fsdecode(listed.stdout).split("\0"))
