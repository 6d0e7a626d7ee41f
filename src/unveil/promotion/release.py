"""Install the champion's ONNX bundle in ``data/07_bundle``.

A version's bundle is made once, before promotion, and stored with the version in MLflow. Servers
load that bundle byte for byte, whatever the current parameters and packed images are. Used by
``unveil promote``, ``unveil rollback``, ``unveil export`` and ``unveil champion``.
"""

import shutil
import tempfile
from pathlib import Path

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, digests
from unveil.common.locks import lock_file
from unveil.common.paths import BUNDLE
from unveil.inference import bundle, model_choice
from unveil.inference.bundle import Bundle
from unveil.inference.bundle_files import CARD, refuse_other_content
from unveil.registry import ChampionRecord, Version

LOCK = BUNDLE.with_name(f".{BUNDLE.name}.lock")
LOCK_TIMEOUT = 600.0
"""Seconds to wait for another process that exports and transfers a bundle."""


def make(version: Version) -> Version:
    """Make a version's bundle and store it in MLflow; return the version with its digests."""
    from unveil.export import export  # imports Keras, which most callers do not need

    with tempfile.TemporaryDirectory(prefix="unveil-release-") as folder:
        exported = export.export(export.registered(version), Path(folder) / "bundle")
        return registry.store_bundle(version, exported.folder)


def ensure_bundle(version: Version) -> Version:
    """Ensure that MLflow has an intact bundle of a version; return the version with its digests.

    A version that was promoted by an older unveil has no bundle and is exported now. A lost bundle
    is stored again if ``data/07_bundle`` still has it. Raises ``UserError`` if both fail.
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
    """Install the champion's bundle in a folder, atomically; return it, loaded.

    Processes wait for each other, and each installs the champion at the end of its wait.
    """
    refuse_other_content(target)
    with lock_file(LOCK, BUNDLE, seconds=LOCK_TIMEOUT):
        version = ensure_bundle(_champion())
        if target == BUNDLE and difference(version) is None:
            return bundle.load(BUNDLE)
        with registry.stored_bundle(version) as kept:
            bundle.load(kept)
            with atomic_write(target, at_once=True) as path:
                shutil.copytree(kept, path)
        return bundle.load(target)


def install_if_outdated() -> Bundle | None:
    """Install the champion's bundle if an interrupted promotion did not; otherwise ``None``.

    A network that was exported with ``--architecture`` is not replaced.
    """
    version = registry.champion()
    if version is None or difference(version) is None or _is_manual_export():
        return None
    return None if unknown_promotion(registry.champion_record()) else install()


def unknown_promotion(record: ChampionRecord) -> str | None:
    """Describe a promoted version that MLflow does not have; ``None`` if it has all of them.

    That happens if the database is not the one of the promotion, or was lost. It counts also if the
    candidate is the installed network itself: its bundle would be made again, and no previous
    champion would be left to roll back to.
    """
    promoted = model_choice.last_promotion() if record.champion is None else None
    installed = _installed_bundle()
    if promoted is None and installed and not _is_known(installed, record):
        promoted = f"version {installed.version}, {installed.card.architecture}, in {BUNDLE},"
    if promoted is None:
        return None
    return (
        f"{promoted} was promoted, but MLflow at {registry.server_name()} does not have it: set "
        "MLFLOW_TRACKING_URI to the server or database that has it, or restore the database; "
        "`unveil promote --force --reason TEXT` starts without it"
    )


def difference(version: Version) -> str | None:
    """Describe how ``data/07_bundle`` differs from a version's bundle; ``None`` if it does not."""
    wanted = f"the champion is version {version.number} ({version.architecture})"
    if not (BUNDLE / CARD).exists():
        return f"{BUNDLE} has no bundle; {wanted}"
    expected = registry.bundle_digests(version)
    if expected and _without_hidden(digests(BUNDLE)) == expected:
        return None
    try:
        served = bundle.load(BUNDLE)
    except UserError as error:
        return f"{BUNDLE} is damaged ({error}); {wanted}"
    if served.version != version.number:
        return f"{BUNDLE} has {served}; {wanted}"
    if not expected:
        return None
    return f"{BUNDLE} has {served}, which is not the bundle that was promoted; {wanted}"


def _without_hidden(found: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in found.items() if not name.startswith(".")}


def _is_manual_export() -> bool:
    try:
        return bundle.load(BUNDLE).version is None
    except UserError:
        return False


def _installed_bundle() -> Bundle | None:
    """Load the bundle in ``data/07_bundle`` if it has a version; otherwise ``None``."""
    try:
        installed = bundle.load(BUNDLE)
    except UserError:
        return None
    return installed if installed.version else None


def _is_known(installed: Bundle, record: ChampionRecord) -> bool:
    number = str(installed.version)
    version, origin = registry.find_version(number), installed.card.lineage.get("origin")
    if version is None:  # deleted, or never registered
        return number in (record.champion, *record.former)
    # Every MLflow counts from 1, so a version of another training may have the same number.
    return record.champion is not None and origin in (None, version.origin)


def _champion() -> Version:
    version = registry.champion()
    if version is None:
        from unveil.export import export

        raise UserError(unknown_promotion(registry.champion_record()) or export.NO_CHAMPION)
    return version
