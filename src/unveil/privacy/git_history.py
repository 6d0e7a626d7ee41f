"""What git's history says of DVC's files: who names a version, and what was trained with it."""

import subprocess
from collections.abc import Collection

import yaml

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


def trainings(identities: Collection[str], among: Collection[str]) -> list[str]:
    """Name the trainings, as ``ARCH at COMMIT``, that some commits say used one of these md5s."""
    found: dict[str, str] = {}
    for commit in among:
        stages = (yaml.safe_load(_git("show", f"{commit}:dvc.lock")) or {}).get("stages", {})
        for name, stage in stages.items():
            used = {dependency.get("md5") for dependency in stage.get("deps", [])}
            if name.startswith("train@") and used & set(identities):
                model = ",".join(str(out.get("md5")) for out in stage.get("outs", []))
                # rev-list gives the newest first: the oldest commit is the one that made it.
                found[model] = f"{name.removeprefix('train@')} at {commit[:12]}"
    return sorted(set(found.values()))


def _git(*arguments: str, given: str = "") -> str:
    # No git, no history: `grep` that finds nothing also exits with 1.
    try:
        said = subprocess.run(["git", *arguments], input=given, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if said.returncode else said.stdout
