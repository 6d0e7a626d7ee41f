"""A file that is not there -> whether git or DVC has it, and the command that brings it back.

An absent file is only the first of its kind where neither knows it: no ``.dvc`` file beside it, no
output of that path in ``dvc.lock``, not in git's index.
"""

import re
from pathlib import Path

import yaml

from unveil import git
from unveil.errors import UserError

LOCK = Path("dvc.lock")


def pointer(path: Path) -> Path:
    """Name the file by which DVC knows ``path``."""
    return path.with_name(f"{path.name}.dvc")


def recorded(path: Path) -> str | None:
    """Give the md5 that the pointer of ``path`` records; ``None`` without a pointer."""
    if not (named := pointer(path)).is_file():
        return None
    found = re.search(r"^\s*-?\s*md5: ([0-9a-f]{32})\b", named.read_text(errors="replace"), re.M)
    return found[1] if found else "unknown"


def lost(path: Path) -> str | None:
    """Say, of a path that is not there, who has it and what brings it back; else ``None``."""
    if path.exists():
        return None
    if pointer(path).is_file():
        way = f"`dvc pull {path}` fetches it (`dvc checkout {path}` from this machine's cache)"
        return f"{path} is not here, but {pointer(path)} records it; {way}"
    for known in (path, pointer(path)):
        if in_git(known):
            return f"{known} is not here, but git has it; `git checkout -- {known}` brings it back"
    if _locked(path):
        way = f"`dvc checkout {path}` or `dvc pull {path}` brings it back"
        return f"{path} is not here, but dvc.lock records it; {way}"
    return None


def refuse_lost(*paths: Path) -> None:
    """Refuse to go on without a file that git or DVC has."""
    for path in paths:
        if said := lost(path):
            raise UserError(said)


def in_git(path: Path) -> bool:
    """Whether git's index has a file; not where there is no git, or no repository.

    ``UserError`` with git's own line where git cannot say.
    """
    return _git("ls-files", "--error-unmatch", "--", str(path))


def restore(path: Path) -> bool:
    """Put an absent file back as git's index has it; says whether that was done."""
    return in_git(path) and _git("checkout-index", "--", str(path))


def _git(*arguments: str) -> bool:
    answer = git.ask(*arguments)
    return answer is not None and answer.code == 0


def _locked(path: Path) -> bool:
    """Whether ``dvc.lock`` has the path, or a folder it lies in, among its outputs."""
    try:
        stages = (yaml.safe_load(LOCK.read_text()) or {}).get("stages", {})
        outputs = {out["path"] for stage in stages.values() for out in stage.get("outs", ())}
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False  # DVC says itself what is wrong with it
    return any(str(one) in outputs for one in (path, *path.parents))
