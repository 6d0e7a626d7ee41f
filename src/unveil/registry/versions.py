"""Model versions and the champion: register, promote, verify and load."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil.common.errors import UserError
from unveil.common.files import digests
from unveil.common.paths import MODELS
from unveil.data import real_or_synthetic
from unveil.registry import artifact, champion_history
from unveil.registry.champion_history import HistoryEntry
from unveil.registry.connection import NAME, connect, mlflow_errors
from unveil.registry.publish import face_source, publish, read_training

if TYPE_CHECKING:
    import keras

ALIAS = "champion"
DIGESTS = "sha256"
BUNDLE = "bundle"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Version:
    """A version of the registered model; ``number`` is MLflow's version number.

    ``digests`` is its tag with the sha256 of each file; ``seal`` the sha256 of that tag in the
    champion history, ``""`` if it was never champion; ``faces`` the source of its training images,
    as in `real_or_synthetic`; ``bundle`` the digests of its bundle's files, ``""`` if none.
    """

    number: str
    origin: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int
    digests: str = ""
    seal: str = ""
    faces: str = real_or_synthetic.UNKNOWN
    bundle: str = ""


@dataclass(frozen=True)
class ChampionRecord:
    """The champion after ``number`` changes.

    ``champion`` is its version number, ``version`` its registered version: ``None`` if there is no
    champion, or it was deleted. ``predecessors`` are the versions that rollbacks restore, the next
    one last; ``former`` are all former champions, most recent first.
    """

    number: int
    champion: str | None = None
    version: Version | None = None
    predecessors: tuple[str, ...] = ()
    last_change: HistoryEntry | None = None
    former: tuple[str, ...] = ()


@mlflow_errors()
def champion_record() -> ChampionRecord:
    """Return the current champion from the history; from the alias if the history is empty."""
    client = connect()
    log = champion_history.entries(client)
    if not log:
        aliased = _version_of_alias(client)
        return ChampionRecord(0, aliased, find_version(aliased) if aliased else None)
    last = log[-1]
    predecessors = tuple(champion_history.rollback_chain(log)[:-1])
    former = tuple(champion_history.former_champions(log))
    return ChampionRecord(
        last.number, last.version, find_version(last.version), predecessors, last, former
    )


def champion() -> Version | None:
    """Return the version that is champion, or ``None``; ``UserError`` if it was deleted."""
    record = champion_record()
    if record.champion and record.version is None:
        raise UserError(
            f"{artifact.model_uri(record.champion)} is champion but no longer in MLflow; "
            "`unveil rollback` restores the previous one"
        )
    return record.version


@mlflow_errors()
def find_version(number: str) -> Version | None:
    """Find a version by its number; ``None`` if MLflow does not have it."""
    client = connect()
    own = [entry for entry in champion_history.entries(client) if entry.version == number]
    bundles = [entry.bundle for entry in own if entry.bundle]
    try:
        known = _parse_version(client.get_model_version(NAME, number))
        return replace(
            known,
            seal=own[-1].seal if own else "",
            bundle=bundles[-1] if bundles else known.bundle,
        )
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def register(key: str) -> Version:
    """Register a trained network, or find its version; does not move the alias.

    If the server does not have the training yet (its folder came from DVC's cache), it is logged.
    """
    uri, training = publish(key), read_training(MODELS / key)
    tags = {
        "architecture": key,
        "classes": json.dumps(training["classes"]),
        "image_size": str(training["image_size"]),
        "recipe": training["parameters"]["recipe"],
        "origin": training["origin"],
        "faces": face_source(MODELS / key),
    }
    with mlflow_errors():
        known = _registered_version(training["origin"])
        return _with_digests(known or _parse_version(mlflow.register_model(uri, NAME, tags=tags)))


@mlflow_errors()
def set_champion(version: Version, *, after: ChampionRecord, act: str, reason: str) -> HistoryEntry:
    """Make a version champion; ``ChampionChanged`` if ``after`` is no longer the current record."""
    client = connect()
    entry = HistoryEntry(
        number=after.number + 1,
        version=version.number,
        previous=after.champion or "",
        act=act,
        reason=reason,
        seal=version.seal or artifact.seal(version.digests),
        bundle=version.bundle,
    )
    # An alias that was set by hand before the first entry has no entry number to compare.
    if (
        after.number == 0
        and _version_of_alias(client) != after.champion
        and not champion_history.entries(client)
    ):
        raise champion_history.ChampionChanged(
            f"the alias was moved to version {_version_of_alias(client)} meanwhile"
        )
    champion_history.append(client, entry)
    sync_alias()
    return entry


@mlflow_errors()
def sync_alias() -> bool:
    """Set the alias to the last champion of the history; return whether it had to be moved.

    The history is read again after each write: a process that was paused in between would
    otherwise set an older champion.
    """
    client, moved = connect(), False
    while log := champion_history.entries(client):
        if _version_of_alias(client) == log[-1].version:
            return moved
        client.set_registered_model_alias(NAME, ALIAS, log[-1].version)
        moved = True
    return moved


@contextmanager
def verified_files(version: Version) -> Iterator[Path]:
    """Download a version's files and verify their digests; deleted when the block ends.

    Raises ``UserError`` that names the version, and the file that is missing, empty or altered.
    """
    name = artifact.model_uri(version.number)
    if not version.digests:
        raise UserError(f"{name} cannot be loaded: it has no digests of its files")
    if version.seal not in ("", artifact.seal(version.digests)):
        raise UserError(f"{name} cannot be loaded: its digests differ from those at its promotion")
    with artifact.downloaded(version.number) as folder:
        expected = artifact.read_tag(version.number, DIGESTS, version.digests, dict)
        artifact.check_files(folder, expected, f"{name} cannot be loaded")
        artifact.check_classes(folder, version.classes, f"{name} cannot be loaded")
        yield folder


def load(version: Version) -> "keras.Model":
    """Load a registered network after verifying its files."""
    import mlflow.keras

    with verified_files(version) as folder:
        try:
            return mlflow.keras.load_model(str(folder), load_model_kwargs={"safe_mode": True})
        except (OSError, ValueError, MlflowException) as error:
            name, message = artifact.model_uri(version.number), str(error).splitlines()[0][:160]
            raise UserError(f"{name} cannot be loaded: {message}") from None


def _registered_version(origin: str) -> Version | None:
    """Find the version of a training that was registered by an earlier attempt."""
    named = connect().search_model_versions(f"name = '{NAME}'")
    known = [_parse_version(one) for one in named if one.tags.get("origin") == origin]
    return max(known, key=lambda version: int(version.number), default=None)


def _with_digests(version: Version) -> Version:
    if version.digests:
        return version
    with artifact.downloaded(version.number) as folder:
        tag = artifact.digests_tag(digests(folder))
    connect().set_model_version_tag(NAME, version.number, DIGESTS, tag)
    return replace(version, digests=tag)


@mlflow_errors()
def aliased_version() -> str | None:
    """Return the version that the alias names, which other tools use as the champion."""
    return _version_of_alias(connect())


def _version_of_alias(client: MlflowClient) -> str | None:
    try:
        return str(client.get_model_version_by_alias(NAME, ALIAS).version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def _parse_version(known: Any) -> Version:
    number, tags = str(known.version), known.tags
    classes = artifact.read_tag(number, "classes", tags.get("classes", "[]"), list)
    return Version(
        number=number,
        origin=tags.get("origin", ""),
        architecture=tags.get("architecture", "unknown"),
        classes=tuple(map(str, classes)),
        image_size=artifact.read_tag(number, "image_size", tags.get("image_size", "0"), int),
        digests=tags.get(DIGESTS, ""),
        faces=tags.get("faces", real_or_synthetic.UNKNOWN),
        bundle=tags.get(BUNDLE, ""),
    )
