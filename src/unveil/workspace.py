"""The files of a checkout that may hold somebody, and which of them may be deleted."""

import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from unveil import git
from unveil.errors import reason
from unveil.paths import CHECKPOINTS, DATA, JOURNAL, PROMOTIONS, TRACKING

SKIPPED = {".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tools", ".venv"}
SKIPPED |= {"__pycache__", "node_modules"}
"""Folders of programs, and of git, whose files are looked at where they are checked out."""
OURS = (DATA, CHECKPOINTS, TRACKING / "artifacts", Path("gpu_report"), Path("dvc_plots"))
"""Where all files are made by commands, or are the faces themselves."""
HALF_COPIED = re.compile(r"\.[\w-]{22}\.tmp")
"""What DVC calls a file until its copy is complete; a kill leaves it."""
KEPT = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?")
"""An object of DVC's cache, to which a file of the checkout may be a link."""
FEEDBACK = "feedback.jsonl"


def files(*besides: Path, unread: list[str] | None = None) -> Iterator[Path]:
    """Give all files of the checkout but journals and what lies ``besides``; links are followed.

    What cannot be listed, or leads nowhere, is added to ``unread`` with the reason.
    """
    told = [] if unread is None else unread
    root = Path.cwd().resolve()
    seen = {path.resolve() for path in (JOURNAL, PROMOTIONS, *besides)}
    # Links come last: a file is known by its own place in the checkout where it has one.
    waiting, linked = [Path()], deque[Path]()
    while waiting or linked:
        folder = waiting.pop() if waiting else linked.popleft()
        real = folder.resolve()
        if real in seen:
            continue
        seen.add(real)
        if real in root.parents:
            told.append(f"{folder}: leads to {real}, in which this checkout lies")
            continue
        for path in _listed(folder, told):
            if path.is_file() and real / path.name not in seen:
                yield path
            elif path.is_dir() and path.resolve().name not in SKIPPED:
                (linked if path.is_symlink() else waiting).append(path)


def _listed(folder: Path, unread: list[str]) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        unread.append(f"{folder}: cannot be listed: {reason(error).lower()}")
        return []
    lost = [path for path in found if _is_lost(path)]
    unread.extend(f"{one}: leads nowhere, or may not be read" for one in lost)
    return [path for path in found if path not in lost and path.name not in SKIPPED]


def _is_lost(path: Path) -> bool:
    try:
        return path.name not in SKIPPED and not path.exists()
    except OSError:
        return True


def is_ours(path: Path) -> bool:
    """Say whether a file may be deleted: made by a command, or half made by DVC."""
    target = path.resolve()
    here = target.is_relative_to(Path.cwd().resolve()) or KEPT.fullmatch(str(target))
    if path.is_symlink() and not here:  # the link would go, and what it leads to would stay
        return False
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
    answer = git.ask("ls-files", "-z")
    return frozenset(answer.said.split("\0")) if answer else frozenset()
