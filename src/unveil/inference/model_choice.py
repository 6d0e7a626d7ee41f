"""Selection of the bundle that predicts and serves, and its description.

Takes ``data/07_bundle``, the starter, ``data/promotions.jsonl`` and the option ``--bundle``. The
starter is ``models/starter`` of the project, otherwise the copy in the installed package. A network
trained on synthetic faces is used only when selected explicitly. A missing promoted bundle is an
error, never replaced silently.
"""

import json
import sys
from pathlib import Path
from typing import Any

from unveil.common import missing_files
from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE, PROMOTIONS, STARTER
from unveil.common.thresholds import describe_thresholds
from unveil.data import real_or_synthetic
from unveil.inference.bundle import Bundle
from unveil.inference.bundle_files import CARD

FACES = {real_or_synthetic.DRAWN: "synthetic faces", real_or_synthetic.REAL: "real faces"}
"""Names for a network's training data; otherwise "not stated"."""


NAMES = ("starter", "champion")
"""Bundles that can be selected by name."""
INSTALLED = Path(__file__).parents[1] / "starter"
"""The starter in the installed package; in a checkout, ``models/starter`` is its source."""
CHECKOUT = Path(__file__).parents[3] / STARTER


def find_bundle(name: str | Path | None) -> Path:
    """Return the folder of a bundle: by name, the folder itself, or as ``choose_bundle``.

    Raises ``UserError`` with the choices if there is no such bundle.
    """
    if name is None:
        return choose_bundle()
    if str(name) == "starter":
        return starter()
    folder = BUNDLE if str(name) == "champion" else Path(name)
    if folder.is_dir():
        return folder
    if str(name) == "champion":
        remedy = "`make train-all` trains and promotes one; or choose starter or a bundle's folder"
        raise UserError(f"there is no champion in {BUNDLE} yet; {remedy}")
    choices = f"{', '.join(NAMES)}, or the folder of a bundle"
    raise UserError(f"no bundle {str(name)!r}; choose from {choices}")


def starter() -> Path:
    """Return the folder of the network that comes with unveil."""
    return next((one for one in (STARTER, INSTALLED) if (one / CARD).exists()), CHECKOUT)


def is_starter(folder: Path) -> bool:
    """Whether a folder is that of the starter."""
    return folder.absolute() in {one.absolute() for one in (STARTER, INSTALLED, CHECKOUT)}


def choose_bundle() -> Path:
    """Choose a bundle: the export if it was trained on real faces, otherwise the starter.

    Reports on stderr if the export is skipped, and why. Raises ``UserError`` if a network was
    promoted and its export is gone.
    """
    if BUNDLE.exists():
        faces = _faces(BUNDLE)
        if faces in ("real faces", "unreadable"):
            return BUNDLE
        _warn(f"{BUNDLE} is not used, trained on: {faces}; `--bundle champion` selects it")
        return starter()
    if promoted := last_promotion():
        raise UserError(
            f"{promoted} was promoted, but {BUNDLE} is gone; `unveil export` restores it, "
            "`--bundle starter` selects the network that comes with unveil"
        )
    return starter()


def can_fall_back_to(keep: Path) -> bool:
    """Whether a server may use its copy of the last good bundle while the bundle is missing."""
    card, shipped = keep / CARD, starter() / CARD
    if not card.exists() or _faces(keep) == "synthetic faces":
        return False
    return not shipped.exists() or card.read_bytes() != shipped.read_bytes()


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
    unstated = "real faces" if is_starter(bundle.folder) else real_or_synthetic.UNKNOWN
    return FACES.get(bundle.card.lineage.get("data", ""), unstated)


def summary(bundle: Bundle, *, threshold: float | None = None) -> str:
    """Describe a model for people, in one line; ``threshold`` if it replaces those of the model."""
    chosen = bundle.thresholds if threshold is None else (threshold,) * len(bundle.classes)
    model = describe(bundle)
    version = "" if model["version"] is None else f"version {model['version']}, "
    name = "the starter" if bundle.folder in (INSTALLED, CHECKOUT) else bundle.folder
    return (
        f"uses {name}: {model['architecture']}, {version}trained on: "
        f"{model['trained_on']}; unsure below {describe_thresholds(bundle.classes, chosen)}"
    )


def synthetic_champion_note() -> str:
    """Say that an exported network of synthetic faces is not the default; otherwise ``""``."""
    if not BUNDLE.exists() or _faces(BUNDLE) != "synthetic faces":
        return ""
    return (
        f"{BUNDLE} was trained on synthetic faces: `unveil predict` and `unveil serve` use the "
        "starter, unless you give `--bundle champion`"
    )


def refuse_synthetic_replacement(old: Bundle, new: Bundle) -> None:
    """Raise ``UserError`` if a network of synthetic faces would replace another one."""
    if trained_on(new) == FACES[real_or_synthetic.DRAWN] != trained_on(old):
        raise UserError(
            f"{new.folder} was trained on synthetic faces; restart the server with "
            f"`--bundle {new.folder}` to use it"
        )


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
