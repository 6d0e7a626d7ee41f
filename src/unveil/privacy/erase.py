"""Erase a person's images everywhere that unveil and DVC store data.

The images are selected by a member or a subject of the archive or one of its older versions. The
archive is rewritten without them; other files that contain them are deleted in the workspace, the
checkpoints, DVC's cache and its remotes. Models that were trained on them are listed, and tagged in
MLflow. A final search proves the erasure, unless some files cannot be searched or may not be
deleted. The plan is stored in ``.dvc/tmp/erase.json``; an interrupted erasure resumes from it.
Command: ``unveil data erase --member NAME`` or ``--subject ID``.
"""

import base64
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from unveil import registry
from unveil.common import audit_log, stale_files
from unveil.common.audit_log import Field
from unveil.common.errors import UserError
from unveil.common.files import read_json, reading_artifact, require_path, write_json
from unveil.common.locks import LOCK, exclusive_lock
from unveil.common.paths import ARCHIVE, AUDIT, CHECKPOINTS, EXPLANATIONS, MODELS, SEEDS
from unveil.config import params
from unveil.config.provenance import dvc_hash
from unveil.data import ingest
from unveil.data.archive import open_archive
from unveil.privacy import dvc_objects, git_history, search, workspace
from unveil.privacy.dvc_objects import Store
from unveil.privacy.erasure_request import Request, requested_members, rewrite_without
from unveil.privacy.search import Person
from unveil.privacy.search_results import (
    PLAN,
    SearchResults,
    search_everywhere,
    search_workspace_file,
    unsearched_objects,
)


@dataclass
class ErasurePlan:
    """What is to be erased; names and images are removed from the plan when they are erased.

    ``pictures`` are the image files in base64, by the digest of their pixels; ``gone`` the md5s of
    deleted objects, ``counts`` their number by store.
    """

    images: int
    members: list[str]
    pictures: dict[str, str]
    gone: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    @property
    def person(self) -> Person:
        """The names and images to search for."""
        files = {digest: base64.b64decode(text) for digest, text in self.pictures.items()}
        return Person(frozenset(self.members), files)

    def save(self) -> None:
        """Store the plan, so that an interrupted erasure can resume."""
        write_json(PLAN, asdict(self))


def pending_plan() -> ErasurePlan | None:
    """Return the plan of an interrupted erasure, or ``None``; ``UserError`` if it is malformed."""
    if not PLAN.exists():
        return None
    try:
        return _validate(ErasurePlan(**read_json(PLAN, made_by="unveil data erase")))
    except (UserError, TypeError, ValueError):
        raise UserError(
            f"{PLAN} is not the plan of an erasure; move it away, and run `unveil data erase` "
            "again with the same --member or --subject"
        ) from None


def _validate(pending: ErasurePlan) -> ErasurePlan:
    valid = isinstance(pending.images, int) and isinstance(pending.date, str)
    lists, tables = (pending.members, pending.gone), (pending.pictures, pending.counts)
    if not valid or not all(isinstance(one, list) for one in lists):
        raise TypeError
    if not all(isinstance(one, dict) for one in tables):
        raise TypeError
    for text in pending.pictures.values():
        base64.b64decode(text)
    return pending


def require_no_training() -> None:
    """Raise ``UserError`` if a training, an audit or another writer runs in this checkout."""
    with _no_training():
        pass


def plan(request: Request) -> tuple[ErasurePlan, SearchResults]:
    """Find the requested images in all versions of the archive and everywhere else; change nothing.

    Raises ``UserError`` if no version has such a member or subject.
    """
    require_path(ARCHIVE, made_by="dvc pull")
    with dvc_objects.open_stores() as stores:
        person = _find_person(request, stores)
        found = search_everywhere(person, stores)
    found.unproved.extend(trained_models(found.identities)[1])
    pictures = {one: base64.b64encode(file).decode() for one, file in person.pictures.items()}
    return ErasurePlan(len(person.members), sorted(person.members), pictures), found


def carry_out(todo: ErasurePlan, *, accept: bool = False) -> tuple[list[str], list[str]]:
    """Erase the planned images, verify it with a search, and tag the models.

    Returns the tagged versions, and the files that could not be searched or deleted. If there are
    any, the plan is kept, unless ``accept``. Raises ``UserError`` if a step fails; the next call
    resumes.
    """
    unproved: list[str] = []
    with _no_training():
        todo.save()
        if todo.members:
            clean_workspace(todo.person)
            unproved = _delete(todo)
            archive = dvc_hash(ARCHIVE)
            fields: dict[str, Field] = {"images": todo.images, "objects": todo.counts}
            audit_log.record("erase", **fields, unproved=len(unproved), archive=archive)
            if accept or not unproved:
                todo.members, todo.pictures = [], {}
            todo.save()
    versions = registry.mark_erased(todo.gone, f"{todo.date}: {todo.images} images")
    if not todo.members:
        PLAN.unlink()
    return versions, unproved


@contextmanager
def _no_training() -> Iterator[None]:
    """Lock the audit and all trainings, because they cache the images they have read."""
    keys = {*params.load().architectures, *(path.name for path in CHECKPOINTS.glob("*"))}
    with ExitStack() as locks:
        locks.enter_context(
            exclusive_lock(AUDIT, "an audit is running in this checkout; wait until it ends")
        )
        for key in sorted(keys):
            message = f"{key} is being trained in this checkout; wait until it ends, or stop it"
            locks.enter_context(exclusive_lock(CHECKPOINTS / key, message))
        if unfinished := stale_files.remove():
            raise UserError(
                f"{unfinished[0]} is being made in this checkout; wait until it is finished"
            )
        yield


def _delete(todo: ErasurePlan) -> list[str]:
    with dvc_objects.open_stores() as stores:
        found = search_everywhere(todo.person, stores)
        # Saved before the deletion; afterwards the models that used them could not be determined.
        todo.gone = sorted({*todo.gone, *found.identities})
        for store in stores:
            more = len(found.objects[store.name])
            todo.counts[store.name] = todo.counts.get(store.name, 0) + more
        todo.save()
        for store in stores:
            for path in found.strays[store.name]:
                store.remove(path)
            store.delete(todo.gone)
        left = search_everywhere(todo.person, stores)
    if left.places:
        raise UserError(f"still there: {', '.join(left.places[:5])}; run unveil data erase again")
    return [*left.unproved, *trained_models(todo.gone)[1]]


def clean_workspace(person: Person) -> None:
    """Rewrite the archive without the person, track it with DVC, and delete other copies."""
    if search.contains(require_path(ARCHIVE, made_by="dvc pull"), person):
        rewrite_without(ARCHIVE, person)
    ingest.track_with_dvc(ARCHIVE)
    for folder in (AUDIT, EXPLANATIONS, *CHECKPOINTS.glob("*")):
        _empty(folder)
    for path in workspace.files(PLAN, dvc_objects.cache_folder()):
        if (
            path != ARCHIVE
            and workspace.is_deletable(path)
            and search_workspace_file(path, person).found
        ):
            if path.parent == ARCHIVE.parent and path.suffix == ".csv":
                rewrite_without(path, person)
            else:
                path.unlink()


def _empty(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink()


def _find_person(request: Request, stores: list[Store]) -> Person:
    person, columns = Person(frozenset(), {}), set()
    for path in _archive_versions(stores):
        with open_archive(path) as archive:
            members, known = requested_members(archive, request)
            columns |= known
            seen = filter(None, (search.read_picture(archive, name) for name in members))
            person = Person(person.members | set(members), person.pictures | dict(seen))
    if not person.members:
        raise request.unknown(columns)
    for path in _archive_versions(stores):
        person = person.with_members(search.members_of(path, person))
    return person


def _archive_versions(stores: list[Store]) -> Iterator[Path]:
    yield ARCHIVE
    seen = {dvc_hash(ARCHIVE)}
    for store in stores:
        for identity in unsearched_objects(store, seen):
            seen.add(identity)
            with store.file(identity) as path:
                if search.is_archive(path):
                    yield path


def trained_models(gone: Collection[str]) -> tuple[list[str], list[str]]:
    """List the models trained on files with these md5s, in git's history and in this checkout.

    The second list has the files that could not be searched, with the reason.
    """
    commits = git_history.commits_naming(gone)
    named, unsearched = git_history.trainings_using(gone, commits)
    for path in sorted([*MODELS.glob("*/run.json"), *SEEDS.glob("*/*/model/run.json")]):
        try:
            if set(gone) & _training_data(path):
                named.append(f"{path.parent.name} in {path.parents[1]}")
        except UserError as error:
            unsearched.append(str(error))
    return named, unsearched


def _training_data(run: Path) -> set[str]:
    """Return the md5s of the files that a training used."""
    with reading_artifact(run, made_by="unveil train"):
        data = read_json(run, made_by="unveil train").get("data", {})
        return {one["md5"] for one in data.values()}
