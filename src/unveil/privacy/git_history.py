"""Search git's history for DVC files: commits that refer to a version, and models trained on it."""

import re
from collections.abc import Collection
from functools import cache
from typing import Any

from unveil.common.errors import UserError, reason
from unveil.common.git import run_git

COMMITS_PER_GREP = 500
"""Commits per command, because a command line has a maximum length."""
LOCK = "dvc.lock"


def commits_naming(identities: Collection[str]) -> list[str]:
    """List the commits whose .dvc files or dvc.lock contain one of these md5s.

    Includes commits in which git cannot read such a file. Empty without git or outside a
    repository; raises ``UserError`` if git refuses to answer.
    """
    found = set()
    known = _git("rev-list", "--all").split()
    for start in range(0, len(known), COMMITS_PER_GREP):
        places = (*known[start : start + COMMITS_PER_GREP], "--", "*.dvc", LOCK)
        result = run_git("grep", "-lF", "-f", "-", *places, stdin="\n".join(identities))
        if result:
            found |= {line.split(":", 1)[0] for line in result.stdout.splitlines()}
            # A file that git cannot read may contain them.
            found |= set(re.findall(r"[0-9a-f]{40,}(?=:)", result.stderr))
    return [commit for commit in known if commit in found]


def trainings_using(
    identities: Collection[str], among: Collection[str]
) -> tuple[list[str], list[str]]:
    """List the trainings, as ``ARCH at COMMIT``, that used one of these md5s in these commits.

    The second list has each dvc.lock that could not be searched, with the reason: it is not valid
    YAML (such as one with conflict marks), not in DVC's format, or git cannot read it.
    """
    found: dict[str, str] = {}
    unsearched = []
    for commit in among:
        try:
            used = _models_using(_lock_at(commit), set(identities))
        except UserError as error:
            unsearched.append(f"{LOCK} at {commit[:12]}: not searched for trainings: {error}")
            continue
        # rev-list lists the newest commit first; the oldest one introduced the model.
        found |= {model: f"{key} at {commit[:12]}" for model, key in used.items()}
    return sorted(set(found.values())), unsearched


def _lock_at(commit: str) -> str:
    # `git show` fails in the same way without a dvc.lock and with a lost object; the list does not.
    if not _git("ls-tree", "--name-only", commit, "--", LOCK):
        return ""
    return _git("show", f"{commit}:./{LOCK}")


def _models_using(text: str, identities: set[str]) -> dict[str, str]:
    """Return the architecture of each model that used one of these files, by the model's md5s."""
    found = {}
    for name, stage in _stages(text).items():
        if name.startswith("train@"):
            used, made = (_md5s(name, stage, group) for group in ("deps", "outs"))
            if identities & set(used):
                found[",".join(made)] = name.removeprefix("train@")
    return found


def _md5s(name: str, stage: dict[str, Any], group: str) -> list[str]:
    files = stage.get(group) or [{"path": group}]
    for file in files:
        if not file.get("md5"):
            raise UserError(f"{name} has no md5 of {file['path']}")
    return [file["md5"] for file in files]


@cache
def _stages(text: str) -> dict[str, Any]:
    """Parse the stages as DVC does, in Python: deep nesting would crash the C parser."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA as SCHEMA
    from dvc.utils.serialize import loads_yaml

    try:
        content = loads_yaml(text, "rt") if text.strip() else None
    except Exception as error:  # tags, numbers and dates raise other errors than ruamel.yaml's
        raise UserError(f"it is not valid YAML: {reason(error)}") from None
    if content is None:
        return {}
    try:
        return dict(SCHEMA(content).get("stages", {}))
    except Exception as error:  # from voluptuous, which belongs to DVC
        raise UserError(f"it is not in DVC's format: {reason(error)}") from None


def _git(*arguments: str) -> str:
    result = run_git(*arguments)
    return result.stdout if result else ""
