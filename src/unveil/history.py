"""What git's history says of DVC's files: who names a version, and what was trained with it."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from unveil.errors import UserError

AT_ONCE = 500
"""Commits in one command, whose line has an end."""


def commits(identities: Collection[str]) -> list[str]:
    """List the commits whose .dvc files or dvc.lock name one of these md5s."""
    found = set()
    known = _git("rev-list", "--all").split()
    for start in range(0, len(known), AT_ONCE):
        places = (*known[start : start + AT_ONCE], "--", "*.dvc", "dvc.lock")
        said = _git("grep", "-lF", "-f", "-", *places, given="\n".join(identities))
        found |= {line.split(":", 1)[0] for line in said.splitlines()}
    return [commit for commit in known if commit in found]


def trainings(identities: Collection[str], among: Collection[str]) -> tuple[list[str], list[str]]:
    """Name the trainings, as ``ARCH at COMMIT``, that some commits say used one of these md5s.

    And besides the commits whose dvc.lock cannot be read, as one with the marks of a conflict.
    """
    found: dict[str, str] = {}
    unread = []
    for commit in among:
        try:
            used = _trained(_git("show", f"{commit}:dvc.lock"), set(identities))
        except (yaml.YAMLError, AttributeError, TypeError, ValueError, RecursionError):
            unread.append(f"dvc.lock at {commit[:12]}")
            continue
        # rev-list gives the newest first: the oldest commit is the one that made it.
        found |= {model: f"{key} at {commit[:12]}" for model, key in used.items()}
    return sorted(set(found.values())), unread


def _trained(lock: str, identities: set[str]) -> dict[str, str]:
    """Give the architecture of each model, by its md5s, that used one of these files."""
    found = {}
    stages: dict[str, Any] = (yaml.safe_load(lock) or {}).get("stages", {})
    for name, stage in stages.items():
        used = {dependency.get("md5") for dependency in stage.get("deps", [])}
        if name.startswith("train@") and used & identities:
            model = ",".join(str(out.get("md5")) for out in stage.get("outs", []))
            found[model] = name.removeprefix("train@")
    return found


def _git(*arguments: str, given: str = "") -> str:
    # No git, no history: `grep` that finds nothing also exits with 1.
    english = {**os.environ, "LC_ALL": "C"}
    try:
        said = subprocess.run(
            ["git", *arguments], input=given, capture_output=True, text=True, env=english
        )
    except OSError:
        return ""
    if "dubious ownership" in said.stderr:
        raise UserError(
            "git does not read this checkout, which belongs to another user; run: "
            "git config --global --add safe.directory '" + str(Path.cwd()) + "'"
        )
    return "" if said.returncode else said.stdout
