"""The code of this checkout: which it is, and how it becomes that of an order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil import git
from unveil.errors import UserError
from unveil.files import sha256
from unveil.paths import PARAMS

CODE = ("src", "flows", "dvc.yaml", "pyproject.toml", "uv.lock")
"""What decides a training, besides its data and parameters."""

LOCK = Path("dvc.lock")

PATIENCE = 300
"""Seconds git may take to fetch."""


def state() -> dict[str, Any]:
    """Give ``commit``, and in ``changes`` the digest of each file of code that differs from it."""
    status = _git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", *CODE)
    names = [record[3:] for record in status.split("\0") if record]
    changes = {name: sha256(Path(name)) if Path(name).is_file() else "" for name in names}
    return {"commit": _git("rev-parse", "HEAD"), "changes": changes}


def become(commit: str, changes: dict[str, str]) -> None:
    """Check out ``commit``; code that is not committed, there or here, is refused by name."""
    here = state()
    if here == {"commit": commit, "changes": changes}:
        return
    if changes:
        raise UserError(f"the order's code is in no commit: {_names(changes)}; commit and push it")
    if here["changes"]:
        raise UserError(f"this checkout's code is changed: {_names(here['changes'])}; undo that")
    if not _has(commit):
        _git("fetch", "--quiet", "--all")
    if not _has(commit):
        raise UserError(f"commit {commit[:12]} of the order is on no remote here; git push it")
    if _git("diff", "--name-only", commit, "--", "uv.lock"):
        line = f"git checkout {commit[:12]} && make install"
        raise UserError(f"the order's commit needs another environment: {line}")
    with _laid_aside(PARAMS, LOCK):
        _git("checkout", "--quiet", "--detach", commit)


def _names(changes: dict[str, str]) -> str:
    first = ", ".join(sorted(changes)[:5])
    return first if len(changes) <= 5 else f"{first} and {len(changes) - 5} more"


def _has(commit: str) -> bool:
    try:
        return bool(_git("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}"))
    except UserError:
        return False


@contextmanager
def _laid_aside(*paths: Path) -> Iterator[None]:
    # Flows write both, so they may differ from any commit; git would refuse to go over them.
    kept = {path: path.read_bytes() for path in paths if path.exists()}
    for path in kept:
        path.unlink()
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def _git(*arguments: str) -> str:
    answer = git.ask(*arguments, patience=PATIENCE)
    if answer is None:
        raise UserError(f"git {arguments[0]}: no git here, or {Path.cwd()} is no git repository")
    if answer.code:
        raise UserError(f"git {arguments[0]}: {answer.fault or 'exit code 1'}")
    return answer.said.strip("\n")
