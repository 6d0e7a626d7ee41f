"""Selection of the bundle that predicts and serves, and its description.

Takes ``data/07_bundle``, ``models/starter``, ``data/promotions.jsonl`` and the option ``--bundle``.
A network trained on synthetic faces is used only when selected explicitly. A missing promoted
bundle is an error, never replaced silently.
"""

import json
import sys
from pathlib import Path
from typing import Any

from unveil.common import missing_files
from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE, PROMOTIONS, STARTER
from unveil.data import real_or_synthetic
from unveil.inference.bundle import Bundle
from unveil.inference.bundle_files import CARD
from unveil.inference.decision import effective_threshold

FACES = {real_or_synthetic.DRAWN: "synthetic faces", real_or_synthetic.REAL: "real faces"}
"""Names for a network's training data; otherwise "not stated"."""


NAMES = {"starter": STARTER, "champion": BUNDLE}
"""Bundles that can be selected by name."""


def find_bundle(name: str | Path | None) -> Path:
    """Return the folder of a bundle: by name, the folder itself, or as ``choose_bundle``.

    Raises ``UserError`` with the choices if there is no such bundle.
    """
    if name is None:
        return choose_bundle()
    folder = NAMES.get(str(name), Path(name))
    if not folder.is_dir():
        choices = f"{', '.join(NAMES)}, or the folder of a bundle"
        raise UserError(f"no bundle {str(name)!r}; choose from {choices}")
    return folder


def choose_bundle() -> Path:
    """Choose a bundle: the export if it was trained on real faces, otherwise the starter.

    Raises ``UserError`` if there is none; reports on stderr if the export is skipped, and why.
    """
    if BUNDLE.exists():
        faces = _faces(BUNDLE)
        if faces in ("real faces", "unreadable"):
            return BUNDLE
        return _starter_or_refuse(faces)
    if promoted := last_promotion():
        raise UserError(
            f"{promoted} was promoted, but {BUNDLE} is gone; `unveil export` restores it, "
            f"`--bundle {STARTER}` selects the network of the repository"
        )
    if (STARTER / CARD).exists():
        return STARTER
    raise UserError(f"no bundle in {BUNDLE} or {STARTER}; `unveil export` exports the champion")


def can_fall_back_to(keep: Path) -> bool:
    """Whether a server may use its copy of the last good bundle while the bundle is missing."""
    card, starter = keep / CARD, STARTER / CARD
    if not card.exists() or _faces(keep) == "synthetic faces":
        return False
    return not starter.exists() or card.read_bytes() != starter.read_bytes()


def describe(bundle: Bundle) -> dict[str, str | None]:
    """Describe a model for programs: architecture, version, training data, digest."""
    return {
        "architecture": bundle.card.architecture,
        "version": bundle.version,
        "trained_on": trained_on(bundle),
        "digest": bundle.digest[:12],
    }


def trained_on(bundle: Bundle) -> str:
    """Return the training data: ``real faces``, ``synthetic faces`` or ``not stated``."""
    starter = STARTER / CARD
    if starter.exists() and bundle.folder.absolute() == STARTER.absolute():
        return FACES.get(bundle.card.lineage.get("data", ""), "real faces")
    return FACES.get(bundle.card.lineage.get("data", ""), real_or_synthetic.UNKNOWN)


def summary(bundle: Bundle, *, threshold: float | None = None) -> str:
    """Describe a model for people, in one line; ``threshold`` if it replaces the model's."""
    chosen = bundle.abstain_below if threshold is None else threshold
    model = describe(bundle)
    version = "" if model["version"] is None else f"version {model['version']}, "
    return (
        f"uses {bundle.folder}: {model['architecture']}, {version}trained on: "
        f"{model['trained_on']}; unsure below {effective_threshold(chosen):.3f}"
    )


def refuse_synthetic_replacement(old: Bundle, new: Bundle) -> None:
    """Raise ``UserError`` if a network of synthetic faces would replace another one."""
    if trained_on(new) == FACES[real_or_synthetic.DRAWN] != trained_on(old):
        raise UserError(
            f"{new.folder} was trained on synthetic faces; restart the server with "
            f"`--bundle {new.folder}` to use it"
        )


def _starter_or_refuse(faces: str) -> Path:
    if (STARTER / CARD).exists():
        _warn(f"{BUNDLE} is not used, trained on: {faces}; `--bundle {BUNDLE}` selects it")
        return STARTER
    if faces == "synthetic faces":
        raise UserError(
            f"{BUNDLE}, the only bundle, was trained on synthetic faces; `--bundle {BUNDLE}` "
            "selects it"
        )
    return BUNDLE


def _faces(folder: Path) -> str:
    try:
        lineage = json.loads((folder / CARD).read_bytes())["lineage"]
        return FACES.get(lineage.get("data", ""), real_or_synthetic.UNKNOWN)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Loading it will report the error.
        return "unreadable"


def last_promotion() -> str | None:
    """Return the last promoted version, from the promotion log."""
    try:
        lines = PROMOTIONS.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        missing_files.refuse_missing(PROMOTIONS)
        return None
    except OSError as error:
        raise UserError(f"{PROMOTIONS} cannot be read: {str(error.strerror).lower()}") from None
    last = next((one for one in map(_entry, reversed(lines)) if one.get("promoted")), None)
    return f"version {last.get('version')}, {last.get('candidate')}," if last else None


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):  # a line cut off by a power failure
        return {}
    return entry if isinstance(entry, dict) else {}


def _warn(line: str) -> None:
    print(f"unveil: {line}", file=sys.stderr, flush=True)
