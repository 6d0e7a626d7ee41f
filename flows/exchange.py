"""What machines tell each other about data: what to train on, and what was made of it.

They share git, the DVC remote, MLflow and Prefect, and no folder. The controller's `order` goes to
a worker as a flow parameter, and the worker's lock entries come back as an artifact in Prefect; the
files themselves go through the DVC remote, known by their hashes. In one checkout, or without a
remote, there is nothing to move and all four only check.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from prefect.artifacts import Artifact, create_markdown_artifact

from flows import checkout
from flows.checkout import LOCK
from flows.stages import stages_of
from unveil.errors import UserError
from unveil.files import existing, reading, replacing
from unveil.objects import S3_PATIENCE
from unveil.paths import PARAMS
from unveil.provenance import dvc_hash

if TYPE_CHECKING:
    from dvc.repo import Repo

PACK = "pack"


def order(architectures: Sequence[str]) -> dict[str, Any]:
    """Say what is to be trained on: code, parameters and the hashes of the packed faces.

    With a DVC remote the packed faces are on it when this returns. The hashes of the models that
    are here go along, for a worker to `begin_with`.
    """
    with _remote() as repo:
        if repo:
            repo.push([PACK])
    params = existing(PARAMS, made_by="git checkout").read_text()
    models = _locked([stages_of(key)[0] for key in architectures])
    return {**checkout.state(), "params": params, "locked": _locked([PACK]), "models": models}


def accept(order: dict[str, Any]) -> None:
    """Make this checkout what the order names, and keep it so until `hand_over`.

    Raises:
        UserError: what does not match and cannot be made to.
    """
    # Trainings of one order share a checkout; to lay out another, one must be alone in it.
    if _hold(fcntl.LOCK_EX | fcntl.LOCK_NB):
        _lay_out(order)
        _hold(fcntl.LOCK_SH)
        return
    _hold(fcntl.LOCK_SH)
    if not _laid_out(order):
        _hold(fcntl.LOCK_UN)
        raise UserError("this checkout is training for another order; give each worker its own")


def begin_with(order: dict[str, Any], architecture: str) -> None:
    """Take the model that the controller has: where it is still up to date it is not trained again.

    Where it cannot be had it is said, and nothing else changes.
    """
    stage = stages_of(architecture)[0]
    wanted, before = {stage: order["models"].get(stage)}, _locked([stage])
    if not wanted[stage] or before == wanted:
        return
    try:
        with _remote() as repo:
            if repo and not _pulled(repo, stage, wanted, before):
                print(f"{architecture} is trained anew: the controller's is of other things")
    except UserError as error:
        print(f"{architecture} is trained anew: {error}")


def _pulled(repo: "Repo", stage: str, wanted: dict[str, Any], before: dict[str, Any]) -> bool:
    """Take what ``wanted`` names, if made of what is here; else leave ``before`` in the lock."""
    pulled = False
    try:
        _lock(repo, wanted)
        if not _made_of_others(repo, stage):
            repo.pull([stage], force=True)
            pulled = True
    finally:
        if not pulled:
            _lock(repo, before)
    return pulled


def hand_over(architecture: str) -> None:
    """Give to the other machines what was trained and evaluated here."""
    stages = list(stages_of(architecture))
    with _remote() as repo:
        if repo:
            repo.push(stages, run_cache=True)
    if repo:
        create_markdown_artifact(
            key=_key(architecture),
            markdown=f"```json\n{json.dumps(_locked(stages), indent=1)}\n```",
            description=f"what a worker made of {architecture}, as dvc.lock has it",
        )
    _hold(fcntl.LOCK_UN)


def collect(architecture: str) -> None:
    """Take what a worker made, exactly what it handed over; trains nothing.

    Raises:
        UserError: when it is not all there and whole, or was made of other things than are here.
    """
    with _remote() as repo:
        if repo is None:
            return
        artifact = cast(Artifact | None, Artifact.get(_key(architecture)))
        if artifact is None:
            raise UserError(f"no worker has handed over {architecture}")
        stages = list(stages_of(architecture))
        before = _locked(stages)
        _lock(repo, json.loads(str(artifact.data).strip("`").removeprefix("json")))
        changed = _made_of_others(repo, stages[0])
        if not changed:
            repo.pull(stages, force=True)
            changed = repo.status(targets=stages)
        if changed:
            _lock(repo, before)
            raise UserError(f"{architecture} was made of other things than are here: {changed}")


def _made_of_others(repo: "Repo", stage: str) -> dict[str, Any]:
    # Its outputs differ as long as they are not pulled.
    changes = repo.status(targets=[stage]).get(stage, [])
    others = [change for change in changes if "changed outs" not in change]
    return {stage: others} if others else {}


def _lay_out(order: dict[str, Any]) -> None:
    if _laid_out(order):
        return
    checkout.become(order["commit"], order["changes"])
    with replacing(PARAMS) as path:
        path.write_text(order["params"])
    with _remote() as repo:
        if repo is None:
            raise UserError("the order's data is not here and no DVC remote is set: dvc remote add")
        _lock(repo, order["locked"])
        repo.pull([PACK], force=True)
    if wrong := _wrong(order):
        raise UserError(f"{', '.join(wrong)} is not what the order names")


def _laid_out(order: dict[str, Any]) -> bool:
    return (
        checkout.state() == {"commit": order["commit"], "changes": order["changes"]}
        and PARAMS.exists()
        and PARAMS.read_text() == order["params"]
        and _locked([PACK]) == order["locked"]
        and not _wrong(order)
    )


def _wrong(order: dict[str, Any]) -> list[str]:
    named = {out["path"]: out["md5"] for out in order["locked"][PACK]["outs"]}
    return [
        path
        for path, md5 in named.items()
        if not Path(path).is_file() or dvc_hash(Path(path)) != md5
    ]


def _locked(stages: Sequence[str]) -> dict[str, Any]:
    from dvc.repo import Repo

    # DVC empties the file before it writes it, for a training beside us too.
    with Repo(_wait_for_lock=True) as repo, repo.lock:
        content = _lock_content()
    return {name: content["stages"].get(name) for name in stages}


def _lock_content() -> dict[str, Any]:
    if not LOCK.exists():
        return {"schema": "2.0", "stages": {}}
    with reading(LOCK, made_by="git checkout -- dvc.lock"):
        content = yaml.safe_load(LOCK.read_text()) or {}
        return {"schema": "2.0", **content, "stages": {**content.get("stages", {})}}


def _lock(repo: "Repo", entries: dict[str, Any]) -> None:
    # Not the whole file: the other entries tell what else lies in this checkout.
    with repo.lock:
        content = _lock_content()
        merged = {**content["stages"], **entries}
        content["stages"] = {name: entry for name, entry in merged.items() if entry}
        with replacing(LOCK) as path:
            path.write_text(yaml.safe_dump(content, sort_keys=False))


@contextmanager
def _remote() -> "Iterator[Repo | None]":
    """Open DVC where it has a remote, and turn what that cannot do into one line."""
    from dvc.repo import Repo

    with Repo() as repo:
        name = repo.config["core"].get("remote")
        own = repo.config["remote"].get(name, {})
    if name is None:
        yield None
        return
    # DVC keeps a damaged object under the hash it should have, unless told to verify.
    patience = S3_PATIENCE if own.get("url", "").startswith("s3:") else {}
    asked = {**patience, **own, "verify": True}
    # s3fs tries again itself; with botocore's own five for each a mute server held us 380 s.
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    try:
        with Repo(remote_config=asked, _wait_for_lock=True) as repo:
            store = repo.cloud.get_remote_odb()
            store.fs.exists(store.path)
            yield repo
    except UserError:
        raise
    except Exception as error:  # each kind of remote has its own
        raise UserError(f"DVC remote {name}: {' '.join(str(error).split())[:300]}") from error


def _key(architecture: str) -> str:
    return "handed-over-" + re.sub("[^a-z0-9]+", "-", architecture.lower())


def _hold(kind: int) -> bool:
    try:
        fcntl.flock(_lock_file(Path.cwd()), kind)
    except BlockingIOError:
        return False
    return True


@cache
def _lock_file(root: Path) -> int:
    # Open as long as the process: a lock dies with the one who holds it.
    folder = root / ".dvc/tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / "exchange.lock", os.O_RDWR | os.O_CREAT)
