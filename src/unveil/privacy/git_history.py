"""Search git's history for DVC files: commits that refer to a version, and models trained on it."""

import subprocess
from collections.abc import Collection

import yaml

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


def trainings_using(identities: Collection[str], among: Collection[str]) -> list[str]:
    """List the trainings, as ``ARCH at COMMIT``, that used one of these md5s in these commits."""
    found: dict[str, str] = {}
    for commit in among:
        stages = (yaml.safe_load(_git("show", f"{commit}:dvc.lock")) or {}).get("stages", {})
        for name, stage in stages.items():
            used = {dependency.get("md5") for dependency in stage.get("deps", [])}
            if name.startswith("train@") and used & set(identities):
                model = ",".join(str(out.get("md5")) for out in stage.get("outs", []))
                # rev-list lists the newest commit first; the oldest one introduced the model.
                found[model] = f"{name.removeprefix('train@')} at {commit[:12]}"
    return sorted(set(found.values()))


def _git(*arguments: str, stdin: str = "") -> str:
    # Without git there is no history; `git grep` also exits with 1 if it finds nothing.
    try:
        result = subprocess.run(["git", *arguments], input=stdin, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if result.returncode else result.stdout
