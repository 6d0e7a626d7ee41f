"""champion -> data/07_bundle: its bundle, made before it reigns and kept with it in MLflow.

Takes a registered version; makes its bundle once and keeps it with the version. What servers take
is that one, byte for byte, whatever parameters and packed faces are now. `promote`, ``unveil
rollback``, ``unveil export`` and ``unveil champion`` ask.
"""

import shutil
import tempfile
from pathlib import Path

from unveil import bundle, lineage, registry
from unveil.bundle import Bundle
from unveil.bundle_folder import CARD, refuse_other_content
from unveil.errors import UserError
from unveil.files import digests, replacing
from unveil.locks import locked
from unveil.paths import BUNDLE
from unveil.registry import Reign, Version

LOCK = BUNDLE.with_name(f".{BUNDLE.name}.lock")
PATIENCE = 600.0
"""Seconds another process may take to export and to transfer a bundle."""


def make(version: Version) -> Version:
    """Make a version's bundle and keep it in MLflow; gives the version that knows it."""
    from unveil import export  # imports Keras, which most who ask here do without

    with tempfile.TemporaryDirectory(prefix="unveil-release-") as folder:
        made = export.export(export.registered(version), Path(folder) / "bundle")
        return registry.store_bundle(version, made.folder)


def prepared(version: Version) -> Version:
    """See to it that MLflow has a version's bundle, whole; ``UserError`` says why it cannot be.

    One that was promoted by an older unveil has none and is exported. One that was lost there is
    kept anew where this machine serves it.
    """
    if not version.bundle:
        try:
            return make(version)
        except UserError as error:
            raise UserError(
                f"version {version.number} was promoted without a bundle, and none can be made "
                f"now: {error}"
            ) from None
    try:
        with registry.stored_bundle(version):
            return version
    except UserError:
        if difference(version) is not None:
            raise
        return registry.store_bundle(version, BUNDLE)


def install(target: Path = BUNDLE) -> Bundle:
    """Put the champion's bundle into a folder, whole or not at all; gives it, loaded.

    One after the other: who waited puts the champion of then, not the one of before.
    """
    refuse_other_content(target)
    with locked(LOCK, BUNDLE, seconds=PATIENCE):
        version = prepared(_champion())
        if target == BUNDLE and difference(version) is None:
            return bundle.load(BUNDLE)
        with registry.stored_bundle(version) as kept:
            bundle.load(kept)
            with replacing(target, at_once=True) as made:
                shutil.copytree(kept, made)
        return bundle.load(target)


def mended() -> Bundle | None:
    """Install the champion's bundle where a killed promotion did not; ``None`` where it is there.

    A network that was exported by hand stays.
    """
    version = registry.champion()
    if version is None or difference(version) is None or _is_by_hand():
        return None
    return None if forgotten(registry.reign()) else install()


def forgotten(reign: Reign) -> str | None:
    """Say which promotion the registry knows nothing of; ``None`` where it knows them all.

    The database is another one than that of the promotion, or is gone. It makes no difference that
    the network to promote is the served one: its bundle would be made anew, and none of before
    could be gone back to.
    """
    told = lineage.promoted() if reign.champion is None else None
    if told is None and (served := _served()) and not _is_known(served, reign):
        told = f"version {served.version}, {served.card.architecture}, in {BUNDLE},"
    if told is None:
        return None
    return (
        f"{told} was promoted, but MLflow at {registry.place()} does not know it: set "
        "MLFLOW_TRACKING_URI to the server or database that does, or put it back; "
        "`unveil promote --force --reason TEXT` begins anew"
    )


def difference(version: Version) -> str | None:
    """Say how ``data/07_bundle`` is not the bundle of a version; ``None`` where it is."""
    wanted = f"the champion is version {version.number} ({version.architecture})"
    if not (BUNDLE / CARD).exists():
        return f"{BUNDLE} has no bundle, {wanted}"
    expected = registry.bundle_digests(version)
    if expected and _visible(digests(BUNDLE)) == expected:
        return None
    try:
        served = bundle.load(BUNDLE)
    except UserError as error:
        return f"{BUNDLE} is damaged ({error}), {wanted}"
    if served.version != version.number:
        return f"{BUNDLE} has {served}, {wanted}"
    if not expected:
        return None
    return f"{BUNDLE} has {served}, which is not the bundle that was promoted; {wanted}"


def _visible(found: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in found.items() if not name.startswith(".")}


def _is_by_hand() -> bool:
    try:
        return bundle.load(BUNDLE).version is None
    except UserError:
        return False


def _served() -> Bundle | None:
    """Load the bundle of a promotion, if there is one."""
    try:
        served = bundle.load(BUNDLE)
    except UserError:
        return None
    return served if served.version else None


def _is_known(served: Bundle, reign: Reign) -> bool:
    number = str(served.version)
    version, origin = registry.found(number), served.card.lineage.get("origin")
    if version is None:  # deleted, or never there
        return number in (reign.champion, *reign.former)
    # Every MLflow counts from 1: of another training it is another version.
    return reign.champion is not None and origin in (None, version.origin)


def _champion() -> Version:
    version = registry.champion()
    if version is None:
        from unveil import export

        raise UserError(forgotten(registry.reign()) or export.NO_CHAMPION)
    return version
