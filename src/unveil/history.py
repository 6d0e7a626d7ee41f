"""What git's history says of DVC's files: who names a version, and what was trained with it."""

import re
from collections.abc import Collection
from functools import cache
from typing import Any

from unveil import git
from unveil.errors import UserError, reason

AT_ONCE = 500
"""Commits in one command, whose line has an end."""
LOCK = "dvc.lock"


def commits(identities: Collection[str]) -> list[str]:
    """List the commits whose .dvc files or dvc.lock name one of these md5s.

    And those in which git cannot read such a file. None where there is no git, or no repository;
    ``UserError`` where git refuses.
    """
    found = set()
    known = _said("rev-list", "--all").split()
    for start in range(0, len(known), AT_ONCE):
        places = (*known[start : start + AT_ONCE], "--", "*.dvc", LOCK)
        answer = git.ask("grep", "-lF", "-f", "-", *places, given="\n".join(identities))
        if answer:
            found |= {line.split(":", 1)[0] for line in answer.said.splitlines()}
            # A file that it cannot read may name them.
            found |= set(re.findall(r"[0-9a-f]{40,}(?=:)", answer.fault))
    return [commit for commit in known if commit in found]


def trainings(identities: Collection[str], among: Collection[str]) -> tuple[list[str], list[str]]:
    """Name the trainings, as ``ARCH at COMMIT``, that some commits say used one of these md5s.

    And besides each dvc.lock of theirs that does not tell, with the reason: one that is no YAML, as
    with the marks of a conflict, that is of another form, or that git does not give.
    """
    found: dict[str, str] = {}
    unread = []
    for commit in among:
        try:
            used = _trained(_lock(commit), set(identities))
        except UserError as error:
            unread.append(f"{LOCK} at {commit[:12]}: not looked into for trainings: {error}")
            continue
        # rev-list gives the newest first: the oldest commit is the one that made it.
        found |= {model: f"{key} at {commit[:12]}" for model, key in used.items()}
    return sorted(set(found.values())), unread


def _lock(commit: str) -> str:
    # A commit without one is known by the list: `show` fails alike where an object is lost.
    if not _said("ls-tree", "--name-only", commit, "--", LOCK):
        return ""
    return _said("show", f"{commit}:./{LOCK}")


def _trained(text: str, identities: set[str]) -> dict[str, str]:
    """Give the architecture of each model, by its md5s, that used one of these files."""
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
    """Read the stages as DVC does, in Python: in C deep nesting would end the process."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA as FORM
    from dvc.utils.serialize import loads_yaml

    try:
        content = loads_yaml(text, "rt") if text.strip() else None
    except Exception as error:  # for a tag, a number or a date not only those of ruamel.yaml
        raise UserError(f"it is no YAML: {reason(error)}") from None
    if content is None:
        return {}
    try:
        return dict(FORM(content).get("stages", {}))
    except Exception as error:  # of voluptuous, which is DVC's
        raise UserError(f"it is not as DVC writes it: {reason(error)}") from None


def _said(*arguments: str) -> str:
    answer = git.ask(*arguments)
    return answer.said if answer else ""
