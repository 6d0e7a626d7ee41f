"""Search git's history for DVC files: commits that refer to a version, and models trained on it."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from unveil.common.errors import UserError

COMMITS_PER_GREP = 500
"""Commits per command, because a command line has a maximum length."""


def commits_naming(identities: Collection[str]) -> list[str]:
    """List the commits whose .dvc files or dvc.lock contain one of these md5s."""
    found = set()
    known = _git("rev-list", "--all").split()
    for start in range(0, len(known), COMMITS_PER_GREP):
        places = (*known[start : start + COMMITS_PER_GREP], "--", "*.dvc", "dvc.lock")
        output = _git("grep", "-lF", "-f", "-", *places, stdin="\n".join(identities))
        found |= {line.split(":", 1)[0] for line in output.splitlines()}
    return [commit for commit in known if commit in found]


def trainings_using(
    identities: Collection[str], among: Collection[str]
) -> tuple[list[str], list[str]]:
    """List the trainings, as ``ARCH at COMMIT``, that used one of these md5s in these commits.

    The second list has the commits whose dvc.lock cannot be read, such as one with conflict marks.
    """
    found: dict[str, str] = {}
    unsearched = []
    for commit in among:
        try:
            used = _models_using(_git("show", f"{commit}:dvc.lock"), set(identities))
        except (yaml.YAMLError, AttributeError, TypeError, ValueError, RecursionError):
            unsearched.append(f"dvc.lock at {commit[:12]}")
            continue
        # rev-list lists the newest commit first; the oldest one introduced the model.
        found |= {model: f"{key} at {commit[:12]}" for model, key in used.items()}
    return sorted(set(found.values())), unsearched


def _models_using(lock: str, identities: set[str]) -> dict[str, str]:
    """Return the architecture of each model that used one of these files, by the model's md5s."""
    found = {}
    stages: dict[str, Any] = (yaml.safe_load(lock) or {}).get("stages", {})
    for name, stage in stages.items():
        used = {dependency.get("md5") for dependency in stage.get("deps", [])}
        if name.startswith("train@") and used & identities:
            model = ",".join(str(out.get("md5")) for out in stage.get("outs", []))
            found[model] = name.removeprefix("train@")
    return found


def _git(*arguments: str, stdin: str = "") -> str:
    # Without git there is no history; `git grep` also exits with 1 if it finds nothing.
    english = {**os.environ, "LC_ALL": "C"}
    try:
        result = subprocess.run(
            ["git", *arguments], input=stdin, capture_output=True, text=True, env=english
        )
    except OSError:
        return ""
    if "dubious ownership" in result.stderr:
        raise UserError(
            "git does not read this checkout, because another user owns it; run: "
            f"git config --global --add safe.directory '{Path.cwd()}'"
        )
    return "" if result.returncode else result.stdout
