"""Run git: a command -> its exit code and output, with git's messages in English."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from unveil.common.errors import UserError

NO_REPOSITORY = ("not a git repository (or any", "is outside repository", "fatal: Invalid path")
"""Parts of git's messages for a path outside its repository, or without a repository."""
TIMEOUT = 60.0
"""Timeout of a command in seconds."""


@dataclass(frozen=True)
class GitResult:
    """The result of a git command.

    ``code`` is 0, or 1 if nothing was found or the answer is no. ``stderr`` is one line.
    """

    code: int
    stdout: str
    stderr: str


def run_git(*arguments: str, stdin: str = "", timeout: float = TIMEOUT) -> GitResult | None:
    """Run a git command; return ``None`` if git is not installed, or outside a repository.

    File names are not quoted; bytes that are not UTF-8 are decoded as in file names. Raises
    ``UserError`` with git's own message if git refuses, fails or exceeds the timeout.
    """
    try:
        result = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            input=os.fsencode(stdin),
            capture_output=True,
            timeout=timeout,
            # NO_REPOSITORY has the English messages.
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {arguments[0]} took more than {timeout:g} s") from None
    except OSError as error:
        raise UserError(f"git does not answer: {error.strerror}") from None
    stderr = " ".join(result.stderr.decode(errors="replace").split())
    if result.returncode in (0, 1):
        return GitResult(result.returncode, os.fsdecode(result.stdout), stderr)
    if any(known in stderr for known in NO_REPOSITORY):
        return None
    raise _failure(arguments[0], stderr or f"exit code {result.returncode}")


def _failure(command: str, message: str) -> UserError:
    if "dubious ownership" in message:
        return UserError(
            "git does not answer in this checkout (dubious ownership), because another user owns "
            f"it; run: git config --global --add safe.directory '{Path.cwd()}'"
        )
    return UserError(f"git {command}: {message[:300]}")
