"""Who is champion: versions of the registered model, the ledger, and the alias that repeats it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil import origins
from unveil.errors import UserError
from unveil.files import digests
from unveil.paths import MODELS
from unveil.registry import artifact, ledger
from unveil.registry.connection import NAME, answering, connect
from unveil.registry.ledger import Entry
from unveil.registry.publish import described, faces, publish

if TYPE_CHECKING:
    import keras

ALIAS = "champion"
DIGESTS = "sha256"
BUNDLE = "bundle"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Version:
    """A registered model: ``number`` as MLflow counts, and what it was registered with.

    ``digests`` is its tag with the sha256 of each file; ``seal`` what the ledger says the tag's
    digest is, ``""`` where it never was champion; ``faces`` what it learned from, by `origins`;
    ``bundle`` the digests of the files that servers take, ``""`` where none are kept with it.
    """

    number: str
    origin: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int
    digests: str = ""
    seal: str = ""
    faces: str = origins.UNKNOWN
    bundle: str = ""


@dataclass(frozen=True)
class Reign:
    """Who is champion after ``number`` changes; ``before`` are those a rollback goes back to.

    ``former`` are all that ever were champion, the last one first.
    ``champion`` is the version's number, ``version`` what the registry knows of it: ``None`` where
    there is no champion, or it was deleted.
    """

    number: int
    champion: str | None = None
    version: Version | None = None
    before: tuple[str, ...] = ()
    made: Entry | None = None
    former: tuple[str, ...] = ()


@answering()
def reign() -> Reign:
    """Say who is champion, by the ledger; where nothing stands there, by the alias."""
    client = connect()
    log = ledger.entries(client)
    if not log:
        aliased = _aliased(client)
        return Reign(0, aliased, found(aliased) if aliased else None)
    last = log[-1]
    before = tuple(ledger.line(log)[:-1])
    former = tuple(ledger.former(log))
    return Reign(last.number, last.version, found(last.version), before, last, former)


def champion() -> Version | None:
    """Say which version is champion, or ``None``; one that was deleted is refused by its name."""
    now = reign()
    if now.champion and now.version is None:
        raise UserError(
            f"{artifact.uri(now.champion)} is champion but no longer in MLflow; "
            "`unveil rollback` restores the one before"
        )
    return now.version


@answering()
def found(number: str) -> Version | None:
    """Look a version up; ``None`` where the registry does not have it."""
    client = connect()
    own = [entry for entry in ledger.entries(client) if entry.version == number]
    bundles = [entry.bundle for entry in own if entry.bundle]
    try:
        known = _version(client.get_model_version(NAME, number))
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
    """Make a trained network a version of the registered model, or find the one it is; no alias.

    A server that never saw the training (its folder came out of DVC's cache) is told all of it.
    """
    uri, made = publish(key), described(MODELS / key)
    tags = {
        "architecture": key,
        "classes": json.dumps(made["classes"]),
        "image_size": str(made["image_size"]),
        "recipe": made["parameters"]["recipe"],
        "origin": made["origin"],
        "faces": faces(MODELS / key),
    }
    with answering():
        known = _registered(made["origin"])
        return _digested(known or _version(mlflow.register_model(uri, NAME, tags=tags)))


@answering()
def crown(version: Version, *, after: Reign, act: str, reason: str) -> Entry:
    """Make a version champion, if ``after`` still is who reigns; ``Overtaken`` where not."""
    client = connect()
    entry = Entry(
        number=after.number + 1,
        version=version.number,
        previous=after.champion or "",
        act=act,
        reason=reason,
        seal=version.seal or artifact.seal(version.digests),
        bundle=version.bundle,
    )
    # An alias that was set by hand before the first entry has no number to compare.
    if after.number == 0 and _aliased(client) != after.champion and not ledger.entries(client):
        raise ledger.Overtaken(f"the alias was moved to version {_aliased(client)} meanwhile")
    ledger.append(client, entry)
    settle()
    return entry


@answering()
def settle() -> bool:
    """Have the alias say what the ledger says; whether it had to be moved.

    Its setter looks at the ledger once more: one that slept meanwhile would put an older champion
    in the place of a newer one.
    """
    client, moved = connect(), False
    while log := ledger.entries(client):
        if _aliased(client) == log[-1].version:
            return moved
        client.set_registered_model_alias(NAME, ALIAS, log[-1].version)
        moved = True
    return moved


@contextmanager
def verified(version: Version) -> Iterator[Path]:
    """Give a copy of a version's files that has their digests, for as long as the block runs.

    Raises ``UserError`` that names the version, and the file that is gone, empty or altered.
    """
    name = artifact.uri(version.number)
    if not version.digests:
        raise UserError(f"{name} cannot be loaded: it has no digests of its files")
    if version.seal not in ("", artifact.seal(version.digests)):
        raise UserError(f"{name} cannot be loaded: its digests are not those it was promoted with")
    with artifact.fetched(version.number) as folder:
        artifact.check(
            folder,
            artifact.tag(version.number, DIGESTS, version.digests, dict),
            f"{name} cannot be loaded",
        )
        artifact.check_classes(folder, version.classes, f"{name} cannot be loaded")
        yield folder


def load(version: Version) -> "keras.Model":
    """Load a registered network from `verified` files."""
    import mlflow.keras

    with verified(version) as folder:
        try:
            return mlflow.keras.load_model(str(folder), load_model_kwargs={"safe_mode": True})
        except (OSError, ValueError, MlflowException) as error:
            name = artifact.uri(version.number)
            raise UserError(
                f"{name} cannot be loaded: {str(error).splitlines()[0][:160]}"
            ) from None


def _registered(origin: str) -> Version | None:
    """A try that was refused after it was registered is not registered again."""
    named = connect().search_model_versions(f"name = '{NAME}'")
    known = [_version(one) for one in named if one.tags.get("origin") == origin]
    return max(known, key=lambda version: int(version.number), default=None)


def _digested(version: Version) -> Version:
    if version.digests:
        return version
    with artifact.fetched(version.number) as folder:
        tag = artifact.written(digests(folder))
    connect().set_model_version_tag(NAME, version.number, DIGESTS, tag)
    return replace(version, digests=tag)


@answering()
def aliased() -> str | None:
    """Say which version the alias names: what other tools take for the champion."""
    return _aliased(connect())


def _aliased(client: MlflowClient) -> str | None:
    try:
        return str(client.get_model_version_by_alias(NAME, ALIAS).version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def _version(known: Any) -> Version:
    number, tags = str(known.version), known.tags
    return Version(
        number=number,
        origin=tags.get("origin", ""),
        architecture=tags.get("architecture", "unknown"),
        classes=tuple(map(str, artifact.tag(number, "classes", tags.get("classes", "[]"), list))),
        image_size=artifact.tag(number, "image_size", tags.get("image_size", "0"), int),
        digests=tags.get(DIGESTS, ""),
        faces=tags.get("faces", origins.UNKNOWN),
        bundle=tags.get(BUNDLE, ""),
    )
