"""The files of a checkout that may contain a person's images, and which of them may be deleted."""

import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from unveil.common.errors import reason
from unveil.common.git import run_git
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
GENERATED = (DATA, CHECKPOINTS, TRACKING / "artifacts", Path("gpu_report"), Path("dvc_plots"))
"""Folders with only generated files and the images themselves."""
PARTIAL_COPY = re.compile(r"\.[\w-]{22}\.tmp")
"""DVC's name of a file until its copy is complete; a killed process leaves it behind."""
CACHE_OBJECT = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?")
"""The path of an object in DVC's cache; a file of the checkout may be a link to it."""
FEEDBACK = "feedback.jsonl"


def files(*excluded: Path, unsearched: list[str] | None = None) -> Iterator[Path]:
    """Yield all files of the checkout, also through links, except the journals and ``excluded``.

    A folder that cannot be listed and a broken link are added to ``unsearched`` with the reason.
    """
    unsearched = [] if unsearched is None else unsearched
    root = Path.cwd().resolve()
    seen = {path.resolve() for path in (JOURNAL, PROMOTIONS, *excluded)}
    # Links come last: a file is yielded with its own path in the checkout if it has one.
    waiting, linked = [Path()], deque[Path]()
    while waiting or linked:
        folder = waiting.pop() if waiting else linked.popleft()
        real = folder.resolve()
        if real in seen:
            continue
        seen.add(real)
        if real in root.parents:
            unsearched.append(f"{folder}: links to {real}, which contains this checkout")
            continue
        for path in _list_folder(folder, unsearched):
            if path.is_file() and real / path.name not in seen:
                yield path
            elif path.is_dir() and path.resolve().name not in SKIPPED_FOLDERS:
                (linked if path.is_symlink() else waiting).append(path)


def _list_folder(folder: Path, unsearched: list[str]) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        unsearched.append(f"{folder}: cannot be listed: {reason(error).lower()}")
        return []
    found = [path for path in found if path.name not in SKIPPED_FOLDERS]
    broken = [path for path in found if _is_broken(path)]
    unsearched.extend(f"{one}: is a broken link, or permission is denied" for one in broken)
    return [path for path in found if path not in broken]


def _is_broken(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError:
        return True


def is_deletable(path: Path) -> bool:
    """Return whether a file may be deleted: generated, or an incomplete copy of DVC.

    A link to a file outside the checkout may not: deleting the link would leave the file.
    """
    target = path.resolve()
    inside = target.is_relative_to(Path.cwd().resolve()) or CACHE_OBJECT.fullmatch(str(target))
    if path.is_symlink() and not inside:
        return False
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
    listed = run_git("ls-files", "-z")
    return frozenset(listed.stdout.split("\0")) if listed else frozenset()
