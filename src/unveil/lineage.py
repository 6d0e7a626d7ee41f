"""bundles -> which of them answers, and how it is named wherever it does.

Takes ``data/07_bundle``, ``models/starter``, ``data/promotions.jsonl`` and what a person named. A
network of drawn faces answers only when it is named, and a promoted bundle that is gone is never
replaced in silence.
"""

import json
import sys
from pathlib import Path
from typing import Any

from unveil import origins, tracked
from unveil.answer import bound
from unveil.bundle import Bundle
from unveil.bundle_folder import CARD
from unveil.errors import UserError
from unveil.paths import BUNDLE, PROMOTIONS, STARTER

FACES = {origins.DRAWN: "synthetic faces", origins.REAL: "real faces"}
"""How what a network learned from is called; else it is not stated."""


def chosen(named: Path | None) -> Path:
    """Choose the bundle to ask: the one named, that of real faces exported here, the starter.

    Raises ``UserError`` where none may answer; says on stderr which one is passed over, and why.
    """
    if named is not None:
        return named
    if BUNDLE.exists():
        faces = _faces(BUNDLE)
        if faces in ("real faces", "unreadable"):
            return BUNDLE
        return _besides(faces)
    if last := promoted():
        raise UserError(
            f"{last} was promoted, but {BUNDLE} is gone; `unveil export` makes it again, "
            f"`--bundle {STARTER}` asks the network that came along"
        )
    if (STARTER / CARD).exists():
        return STARTER
    raise UserError(
        f"no bundle in {BUNDLE} or {STARTER}; `unveil export` makes one of the champion"
    )


def is_kept(keep: Path) -> bool:
    """Whether a server's copy of what worked last may stand for a bundle that is away."""
    card, starter = keep / CARD, STARTER / CARD
    if not card.exists() or _faces(keep) == "synthetic faces":
        return False
    return not starter.exists() or card.read_bytes() != starter.read_bytes()


def described(bundle: Bundle) -> dict[str, str | None]:
    """Name a model for programs: its network, its version, what it learned from, its digest."""
    return {
        "architecture": bundle.card.architecture,
        "version": bundle.version,
        "trained_on": trained_on(bundle),
        "digest": bundle.digest[:12],
    }


def trained_on(bundle: Bundle) -> str:
    """Say what a network learned from: real or synthetic faces, or that it is not stated."""
    starter = STARTER / CARD
    if starter.exists() and bundle.folder.absolute() == STARTER.absolute():
        return FACES.get(bundle.card.lineage.get("data", ""), "real faces")
    return FACES.get(bundle.card.lineage.get("data", ""), origins.UNKNOWN)


def sentence(bundle: Bundle) -> str:
    """Name a model for people."""
    told = described(bundle)
    version = "" if told["version"] is None else f"version {told['version']}, "
    return (
        f"asks {bundle.folder}: {told['architecture']}, {version}trained on: {told['trained_on']}; "
        f"under {bound(bundle.abstain_below):.3f} it is unsure"
    )


def require_no_worse(old: Bundle, new: Bundle) -> None:
    """Refuse a network of drawn faces in the place of one that is not, unless it is named anew."""
    if trained_on(new) == FACES[origins.DRAWN] != trained_on(old):
        raise UserError(
            f"{new.folder} was trained on synthetic faces; start the server anew with "
            f"`--bundle {new.folder}` to ask it"
        )


def _besides(faces: str) -> Path:
    if (STARTER / CARD).exists():
        _say(f"{BUNDLE} is not asked, trained on: {faces}; `--bundle {BUNDLE}` asks it")
        return STARTER
    if faces == "synthetic faces":
        raise UserError(
            f"{BUNDLE}, the only bundle, was trained on synthetic faces; `--bundle {BUNDLE}` "
            "asks it"
        )
    return BUNDLE


def _faces(folder: Path) -> str:
    try:
        lineage = json.loads((folder / CARD).read_bytes())["lineage"]
        return FACES.get(lineage.get("data", ""), origins.UNKNOWN)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Whoever loads it says what is wrong.
        return "unreadable"


def promoted() -> str | None:
    """Name who was promoted last, by the decisions that are kept in git's reach."""
    try:
        lines = PROMOTIONS.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        tracked.refuse_lost(PROMOTIONS)
        return None
    except OSError as error:
        raise UserError(f"{PROMOTIONS} cannot be read: {str(error.strerror).lower()}") from None
    last = next((one for one in map(_entry, reversed(lines)) if one.get("promoted")), None)
    return f"version {last.get('version')}, {last.get('candidate')}," if last else None


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):  # torn by a loss of power
        return {}
    return entry if isinstance(entry, dict) else {}


def _say(line: str) -> None:
    print(f"unveil: {line}", file=sys.stderr, flush=True)
