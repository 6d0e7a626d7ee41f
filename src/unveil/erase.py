"""Somebody -> nobody: a person's pictures leave every place where unveil and DVC keep data.

Takes a member or a subject, as the archive or one of its older versions names it. The archive is
written anew without it; what else holds it is deleted: in the workspace, the checkpoints, DVC's
cache and remotes. Trained models are named and marked. A search at the end proves it, unless there
is what it cannot look into, or may not delete. What is to be done lies in ``.dvc/tmp/erase.json``
until all of it is: killed and run again, it goes on.
Command: ``unveil data erase --member NAME`` or ``--subject ID``.
"""

import base64
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from unveil import history, ingest, journal, leftovers, objects, params, registry, search, workspace
from unveil.archive import opened
from unveil.errors import UserError
from unveil.files import existing, read_json, reading, write_json
from unveil.findings import PLAN, Found, find, look, unseen
from unveil.journal import Told
from unveil.locks import LOCK, alone
from unveil.objects import Store
from unveil.paths import (
    ARCHIVE,
    AUDIT,
    CHECKPOINTS,
    EXPLANATIONS,
    MODELS,
    SEEDS,
)
from unveil.provenance import dvc_hash
from unveil.request import Request, cleaned, named
from unveil.search import Person


@dataclass
class Plan:
    """What is to be erased; the names and pictures leave it as soon as they are nowhere else.

    ``pictures`` are files in base64 by digest, ``gone`` the md5s of deleted objects, ``counts`` how
    many there were by store.
    """

    images: int
    members: list[str]
    pictures: dict[str, str]
    gone: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    @property
    def person(self) -> Person:
        """Who is looked for."""
        files = {digest: base64.b64decode(text) for digest, text in self.pictures.items()}
        return Person(frozenset(self.members), files)

    def save(self) -> None:
        """Keep it, so that an interrupted erasure can go on."""
        write_json(PLAN, asdict(self))


def pending() -> Plan | None:
    """Give the erasure that was interrupted, if there is one."""
    if not PLAN.exists():
        return None
    try:
        return _checked(Plan(**read_json(PLAN, made_by="unveil data erase")))
    except (UserError, TypeError, ValueError):
        raise UserError(
            f"{PLAN} is no erasure that was begun; move it away, and run `unveil data erase` anew "
            "with the same --member or --subject"
        ) from None


def _checked(begun: Plan) -> Plan:
    whole = isinstance(begun.images, int) and isinstance(begun.date, str)
    lists, tables = (begun.members, begun.gone), (begun.pictures, begun.counts)
    if not whole or not all(isinstance(one, list) for one in lists):
        raise TypeError
    if not all(isinstance(one, dict) for one in tables):
        raise TypeError
    for text in begun.pictures.values():
        base64.b64decode(text)
    return begun


def refuse_busy() -> None:
    """Raise ``UserError`` where a command keeps faces that it has read; changes nothing."""
    with _nobody_learns():
        pass


def plan(request: Request) -> tuple[Plan, Found]:
    """Find somebody in all versions of the archive, and where else; changes nothing.

    Raises ``UserError`` where no version names such a member or subject.
    """
    existing(ARCHIVE, made_by="dvc pull")
    with objects.stores() as stores:
        person = _person(request, stores)
        found = find(person, stores)
    found.unproved.extend(models(found.identities)[1])
    pictures = {one: base64.b64encode(file).decode() for one, file in person.pictures.items()}
    return Plan(len(person.members), sorted(person.members), pictures), found


def carry_out(todo: Plan, *, accept: bool = False) -> tuple[list[str], list[str]]:
    """Erase what is planned and prove it, then mark the models.

    Gives the marked versions, and what keeps it from being proved; with that the plan stays, unless
    a person takes it on as it is (``accept``). Raises ``UserError`` with what could not be done;
    run again, it goes on from there.
    """
    unproved: list[str] = []
    with _nobody_learns():
        todo.save()
        if todo.members:
            clean_workspace(todo.person)
            unproved = _delete(todo)
            held = dvc_hash(ARCHIVE)
            told: dict[str, Told] = {"images": todo.images, "objects": todo.counts}
            journal.record("erase", **told, unproved=len(unproved), archive=held)
            if accept or not unproved:
                todo.members, todo.pictures = [], {}
            todo.save()
    versions = registry.mark_erased(todo.gone, f"{todo.date}: {todo.images} images")
    if not todo.members:
        PLAN.unlink()
    return versions, unproved


@contextmanager
def _nobody_learns() -> Iterator[None]:
    """Hold the locks of the audit and of all trainings, which keep what they have read."""
    keys = {*params.load().architectures, *(path.name for path in CHECKPOINTS.glob("*"))}
    with ExitStack() as held:
        held.enter_context(alone(AUDIT, "an audit runs in this checkout; wait until it ends"))
        for key in sorted(keys):
            told = f"{key} is being trained in this checkout; wait until it ends, or stop it"
            held.enter_context(alone(CHECKPOINTS / key, told))
        if made := leftovers.remove():
            raise UserError(f"{made[0]} is being made in this checkout; wait until that ends")
        yield


def _delete(todo: Plan) -> list[str]:
    with objects.stores() as stores:
        found = find(todo.person, stores)
        # Kept before they are deleted: afterwards nothing would tell which models used them.
        todo.gone = sorted({*todo.gone, *found.identities})
        for store in stores:
            more = len(found.objects[store.name])
            todo.counts[store.name] = todo.counts.get(store.name, 0) + more
        todo.save()
        for store in stores:
            for path in found.strays[store.name]:
                store.remove(path)
            store.delete(todo.gone)
        left = find(todo.person, stores)
    if left.places:
        raise UserError(f"still there: {', '.join(left.places[:5])}; run unveil data erase again")
    return [*left.unproved, *models(todo.gone)[1]]


def clean_workspace(person: Person) -> None:
    """Take somebody out of the archive, put that under DVC, and remove what else holds it."""
    if search.holds(existing(ARCHIVE, made_by="dvc pull"), person):
        cleaned(ARCHIVE, person)
    ingest.track(ARCHIVE)
    for folder in (AUDIT, EXPLANATIONS, *CHECKPOINTS.glob("*")):
        _emptied(folder)
    for path in workspace.files(PLAN, objects.cache()):
        if path != ARCHIVE and workspace.is_ours(path) and look(path, person).held:
            if path.parent == ARCHIVE.parent and path.suffix == ".csv":
                cleaned(path, person)
            else:
                path.unlink()


def _emptied(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink()


def _person(request: Request, stores: list[Store]) -> Person:
    person, columns = Person(frozenset(), {}), set()
    for path in _archives(stores):
        with opened(path) as archive:
            members, known = named(archive, request)
            columns |= known
            seen = filter(None, (search.picture(archive, name) for name in members))
            person = Person(person.members | set(members), person.pictures | dict(seen))
    if not person.members:
        raise request.unknown(columns)
    for path in _archives(stores):
        person = person.also(search.members(path, person))
    return person


def _archives(stores: list[Store]) -> Iterator[Path]:
    yield ARCHIVE
    seen = {dvc_hash(ARCHIVE)}
    for store in stores:
        for identity in unseen(store, seen):
            seen.add(identity)
            with store.file(identity) as path:
                if search.is_archive(path):
                    yield path


def models(gone: Collection[str]) -> tuple[list[str], list[str]]:
    """Name what was trained with the files of these md5s: in git's history, and here.

    And besides what was not looked into, with the reason.
    """
    named, unread = history.trainings(gone, history.commits(gone))
    for path in sorted([*MODELS.glob("*/run.json"), *SEEDS.glob("*/*/model/run.json")]):
        try:
            if set(gone) & _learned(path):
                named.append(f"{path.parent.name} in {path.parents[1]}")
        except UserError as error:
            unread.append(str(error))
    return named, unread


def _learned(run: Path) -> set[str]:
    """Give the md5s of what a training learned from."""
    with reading(run, made_by="unveil train"):
        data = read_json(run, made_by="unveil train").get("data", {})
        return {one["md5"] for one in data.values()}
