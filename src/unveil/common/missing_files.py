"""Check whether git or DVC tracks a missing file, and name the command that restores it.

A file counts as new only if neither tracks it: no ``.dvc`` file, no output of that path in
``dvc.lock``, no entry in git's index.
"""

import re
from pathlib import Path

import yaml

from unveil.common.errors import UserError
from unveil.common.git import run_git

LOCK = Path("dvc.lock")


def pointer(path: Path) -> Path:
    """Return the path of the ``.dvc`` file of ``path``."""
    return path.with_name(f"{path.name}.dvc")


def recorded_md5(path: Path) -> str | None:
    """Return the md5 in the ``.dvc`` file of ``path``, or ``None`` without such a file."""
    if not (named := pointer(path)).is_file():
        return None
    found = re.search(r"^\s*-?\s*md5: ([0-9a-f]{32})\b", named.read_text(errors="replace"), re.M)
    return found[1] if found else "unknown"


def restore_hint(path: Path) -> str | None:
    """Return who tracks a missing path and how to restore it; ``None`` if present or unknown."""
    if path.exists():
        return None
    if pointer(path).is_file():
        remedy = f"`dvc pull {path}` fetches it (`dvc checkout {path}` from the local cache)"
        return f"{path} is missing, but {pointer(path)} records it; {remedy}"
    for known in (path, pointer(path)):
        if in_git(known):
            return f"{known} is missing, but git tracks it; `git checkout -- {known}` restores it"
    if _in_dvc_lock(path):
        remedy = f"`dvc checkout {path}` or `dvc pull {path}` restores it"
        return f"{path} is missing, but dvc.lock records it; {remedy}"
    return None


def refuse_missing(*paths: Path) -> None:
    """Raise ``UserError`` for a missing file that git or DVC tracks."""
    for path in paths:
        if hint := restore_hint(path):
            raise UserError(hint)


def in_git(path: Path) -> bool:
    """Return whether git's index has a file; False without git or outside a repository.

    Raises ``UserError`` with git's own message if git cannot tell.
    """
    return _git("ls-files", "--error-unmatch", "--", str(path))


def restore(path: Path) -> bool:
    """Restore a missing file from git's index; return whether that succeeded."""
    return in_git(path) and _git("checkout-index", "--", str(path))


def _git(*arguments: str) -> bool:
    result = run_git(*arguments)
    return result is not None and result.code == 0


def _in_dvc_lock(path: Path) -> bool:
    """Return whether ``dvc.lock`` lists the path, or a folder that contains it, as an output."""
    try:
        stages = (yaml.safe_load(LOCK.read_text()) or {}).get("stages", {})
        outputs = {out["path"] for stage in stages.values() for out in stage.get("outs", ())}
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False  # DVC itself reports what is wrong with the file
    return any(str(one) in outputs for one in (path, *path.parents))
