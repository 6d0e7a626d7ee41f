"""Exchange of data between the controller and workers: training orders and trained models.

The machines share git, the DVC remote, MLflow and Prefect, but no folder. The controller's `order`
goes to a worker as a flow parameter. The worker's entries of dvc.lock come back as a Prefect
artifact; the files go through the DVC remote, addressed by their hashes. In one checkout, or
without a remote, nothing is transferred and the functions only check.
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

from flows import code_version
from flows.stages import stages_of
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, reading_artifact, require_path
from unveil.common.paths import PARAMS
from unveil.config.provenance import dvc_hash

if TYPE_CHECKING:
    from dvc.repo import Repo

PACK = "pack"


def order(architectures: Sequence[str]) -> dict[str, Any]:
    """Describe the inputs of a training: code, parameters and the hashes of the packed faces.

    Pushes the packed faces to the DVC remote, if there is one. The order includes the hashes of
    the local models, so that a worker can `fetch_model`.
    """
    with _remote() as repo:
        if repo:
            repo.push([PACK])
    params = require_path(PARAMS, made_by="git checkout").read_text()
    models = _locked([stages_of(key)[0] for key in architectures])
    return {**code_version.state(), "params": params, "locked": _locked([PACK]), "models": models}


def apply_order(order: dict[str, Any]) -> None:
    """Check out what the order names, and lock the checkout until `push_results`.

    Raises:
        UserError: what does not match and cannot be changed.
    """
    # Trainings of one order share a checkout; switching to another order needs exclusive use.
    if _hold(fcntl.LOCK_EX | fcntl.LOCK_NB):
        _lay_out(order)
        _hold(fcntl.LOCK_SH)
        return
    _hold(fcntl.LOCK_SH)
    if not _laid_out(order):
        _hold(fcntl.LOCK_UN)
        raise UserError("this checkout is training for another order; give each worker its own")


def fetch_model(order: dict[str, Any], architecture: str) -> None:
    """Pull the controller's model, so that it is not trained again if it is up to date.

    If the pull fails, a line is printed and the model is trained.
    """
    stage = stages_of(architecture)[0]
    target, before = {stage: order["models"].get(stage)}, _locked([stage])
    if not target[stage] or before == target:
        return
    try:
        with _remote() as repo:
            if repo and not _pulled(repo, stage, target, before):
                print(f"{architecture} is retrained: the controller's model has other inputs")
    except UserError as error:
        print(f"{architecture} is retrained: {error}")


def _pulled(repo: "Repo", stage: str, target: dict[str, Any], before: dict[str, Any]) -> bool:
    """Pull what ``target`` names if its inputs match; otherwise restore ``before`` in the lock."""
    pulled = False
    try:
        _lock(repo, target)
        if not _other_inputs(repo, stage):
            repo.pull([stage], force=True)
            pulled = True
    finally:
        if not pulled:
            _lock(repo, before)
    return pulled


def push_results(architecture: str) -> None:
    """Push the trained and evaluated model for the controller."""
    stages = list(stages_of(architecture))
    with _remote() as repo:
        if repo:
            repo.push(stages, run_cache=True)
    if repo:
        create_markdown_artifact(
            key=_key(architecture),
            markdown=f"```json\n{json.dumps(_locked(stages), indent=1)}\n```",
            description=f"the entries of dvc.lock that a worker produced for {architecture}",
        )
    _hold(fcntl.LOCK_UN)


def pull_results(architecture: str) -> None:
    """Pull exactly what a worker pushed; trains nothing.

    Raises:
        UserError: if files are missing or damaged, or were produced from other inputs.
    """
    with _remote() as repo:
        if repo is None:
            return
        artifact = cast(Artifact | None, Artifact.get(_key(architecture)))
        if artifact is None:
            raise UserError(f"no worker has pushed results for {architecture}")
        stages = list(stages_of(architecture))
        before = _locked(stages)
        _lock(repo, json.loads(str(artifact.data).strip("`").removeprefix("json")))
        changed = _other_inputs(repo, stages[0])
        if not changed:
            repo.pull(stages, force=True)
            changed = repo.status(targets=stages)
        if changed:
            _lock(repo, before)
            raise UserError(f"{architecture} was produced from other inputs: {changed}")


def _other_inputs(repo: "Repo", stage: str) -> dict[str, Any]:
    # Changes of outputs are ignored: these differ until they are pulled.
    changes = repo.status(targets=[stage]).get(stage, [])
    others = [change for change in changes if "changed outs" not in change]
    return {stage: others} if others else {}


def _lay_out(order: dict[str, Any]) -> None:
    if _laid_out(order):
        return
    code_version.check_out(order["commit"], order["changes"])
    with atomic_write(PARAMS) as path:
        path.write_text(order["params"])
    with _remote() as repo:
        if repo is None:
            raise UserError("the order's data is missing and no DVC remote is set: dvc remote add")
        _lock(repo, order["locked"])
        repo.pull([PACK], force=True)
    if wrong := wrong_files(order):
        raise UserError(f"{', '.join(wrong)} differs from the order")


def _laid_out(order: dict[str, Any]) -> bool:
    return (
        code_version.state() == {"commit": order["commit"], "changes": order["changes"]}
        and PARAMS.exists()
        and PARAMS.read_text() == order["params"]
        and _locked([PACK]) == order["locked"]
        and not wrong_files(order)
    )


def wrong_files(order: dict[str, Any]) -> list[str]:
    """Return the packed files that are missing or not those of an order."""
    named = {Path(out["path"]): out["md5"] for out in order["locked"][PACK]["outs"]}
    here = {path: dvc_hash(path) for path in named if path.is_file()}
    return [str(path) for path, md5 in named.items() if here.get(path) != md5]


def _locked(stages: Sequence[str]) -> dict[str, Any]:
    from dvc.repo import Repo

    # DVC truncates the file before it writes it, also in a training that runs in parallel.
    with Repo(_wait_for_lock=True) as repo, repo.lock:
        content = _lock_content()
    return {name: content["stages"].get(name) for name in stages}


def _lock_content() -> dict[str, Any]:
    if not code_version.LOCK.exists():
        return {"schema": "2.0", "stages": {}}
    with reading_artifact(code_version.LOCK, made_by="git checkout -- dvc.lock"):
        content = yaml.safe_load(code_version.LOCK.read_text()) or {}
        return {"schema": "2.0", **content, "stages": {**content.get("stages", {})}}


def _lock(repo: "Repo", entries: dict[str, Any]) -> None:
    # Keep the other entries: they describe the other files of this checkout.
    with repo.lock:
        content = _lock_content()
        merged = {**content["stages"], **entries}
        content["stages"] = {name: entry for name, entry in merged.items() if entry}
        with atomic_write(code_version.LOCK) as path:
            path.write_text(yaml.safe_dump(content, sort_keys=False))


@contextmanager
def _remote() -> "Iterator[Repo | None]":
    """Open the DVC repository if it has a remote, else None; errors of the remote are one line."""
    from dvc.repo import Repo

    from unveil.storage.client import DVC_TIMEOUTS

    with Repo() as repo:
        name = repo.config["core"].get("remote")
        own = repo.config["remote"].get(name, {})
    if name is None:
        yield None
        return
    # Without `verify` DVC stores a damaged object under the hash it should have.
    patience = DVC_TIMEOUTS if own.get("url", "").startswith("s3:") else {}
    config = {**patience, **own, "verify": True}
    # s3fs has its own retries; with botocore's five for each, a silent server took 380 s.
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    try:
        with Repo(remote_config=config, _wait_for_lock=True) as repo:
            store = repo.cloud.get_remote_odb()
            store.fs.exists(store.path)
            yield repo
    except UserError:
        raise
    except Exception as error:  # each kind of remote has its own exceptions
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
    # Stays open as long as the process, whose end releases the lock.
    folder = root / ".dvc/tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / "exchange.lock", os.O_RDWR | os.O_CREAT)
