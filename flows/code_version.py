"""The version of the code in this checkout, and how to check out that of an order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.git import run_git
from unveil.common.paths import PARAMS

CODE = ("src", "flows", "dvc.yaml", "pyproject.toml", "uv.lock")
"""The files that determine a training, besides its data and parameters."""

LOCK = Path("dvc.lock")

TIMEOUT = 300
"""Timeout of git commands in seconds, chosen for `git fetch`."""


def state() -> dict[str, Any]:
    """Return ``commit``, and in ``changes`` the SHA-256 of each code file that differs from it."""
    status = _git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", *CODE)
    names = [record[3:] for record in status.split("\0") if record]
    changes = {name: sha256(Path(name)) if Path(name).is_file() else "" for name in names}
    return {"commit": _git("rev-parse", "HEAD"), "changes": changes}


def check_out(commit: str, changes: dict[str, str]) -> None:
    """Check out ``commit``; raises ``UserError`` for uncommitted code, in the order or here."""
    here = state()
    if here == {"commit": commit, "changes": changes}:
        return
    if changes:
        raise UserError(f"the order has uncommitted code: {_names(changes)}; commit and push it")
    if here["changes"]:
        raise UserError(f"this checkout has changed code: {_names(here['changes'])}; undo that")
    if not _has(commit):
        _git("fetch", "--quiet", "--all")
    if not _has(commit):
        raise UserError(f"commit {commit[:12]} of the order is on no remote here; git push it")
    if _git("diff", "--name-only", commit, "--", "uv.lock"):
        line = f"git checkout {commit[:12]} && make install"
        raise UserError(f"the order's commit needs another environment: {line}")
    with _set_aside(PARAMS, LOCK):
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
def _set_aside(*paths: Path) -> Iterator[None]:
    # Flows write both, so they may differ from the commit; git would refuse to overwrite them.
    kept = {path: path.read_bytes() for path in paths if path.exists()}
    for path in kept:
        path.unlink()
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def _git(*arguments: str) -> str:
    result = run_git(*arguments, timeout=TIMEOUT)
    if result is None:
        cause = f"git is not installed, or {Path.cwd()} is not a git repository"
        raise UserError(f"git {arguments[0]}: {cause}")
    if result.code:
        raise UserError(f"git {arguments[0]}: {result.stderr or 'exit code 1'}")
    return result.stdout.strip("\n")
