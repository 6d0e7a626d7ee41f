"""The one door to git: a command -> its exit code and what it said, in git's own language."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from unveil.errors import UserError

NO_REPOSITORY = ("not a git repository (or any", "is outside repository", "fatal: Invalid path")
"""By what git says that it has nothing to do with a path."""
PATIENCE = 60.0
"""Seconds."""


@dataclass(frozen=True)
class Answer:
    """What git said; ``code`` is 0, or 1 where it found nothing or what was asked is not so.

    ``fault`` is its standard error in one line.
    """

    code: int
    said: str
    fault: str


def ask(*arguments: str, given: str = "", patience: float = PATIENCE) -> Answer | None:
    """Run git with ``given`` as its input; ``None`` where there is no git, or no repository.

    Names are not quoted, and bytes that are no UTF-8 are kept as the system keeps them in names.
    ``UserError`` where git refuses, fails or takes longer than ``patience``, with its own line.
    """
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            input=os.fsencode(given),
            capture_output=True,
            timeout=patience,
            # What is looked for in its errors is of git's own language.
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {arguments[0]} took more than {patience:g} s") from None
    except OSError as error:
        raise UserError(f"git does not answer: {error.strerror}") from None
    fault = " ".join(done.stderr.decode(errors="replace").split())
    if done.returncode in (0, 1):
        return Answer(done.returncode, os.fsdecode(done.stdout), fault)
    if any(known in fault for known in NO_REPOSITORY):
        return None
    raise _refused(arguments[0], fault or f"exit code {done.returncode}")


def _refused(verb: str, fault: str) -> UserError:
    if "dubious ownership" in fault:
        return UserError(
            "git does not answer (dubious ownership): this checkout belongs to another user; run: "
            f"git config --global --add safe.directory '{Path.cwd()}'"
        )
    return UserError(f"git {verb}: {fault[:300]}")
