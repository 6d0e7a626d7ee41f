"""Audit the labels: rank the faces whose labels are probably wrong, for review.

Checks the faces in use of all splits; writes the ranked ``data/06_audit/suspects.csv``, the contact
sheet ``suspects.html`` of the first ones, and the counts for the datasheet to
``data/01_raw/audit.json``, which is in git. No data is changed: decisions are applied by
`unveil data review`. Interrupted audits resume from cached results. Command: ``unveil data audit``.
The method is confident learning (C. Northcutt, L. Jiang, I. Chuang, JAIR 70, 2021).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cleanlab
import numpy as np
import pandas as pd
import sklearn
from cleanlab.rank import get_label_quality_scores

from unveil.common import csv_reader, csv_writer
from unveil.common.errors import UserError
from unveil.common.files import (
    atomic_write,
    read_parquet,
    reading_artifact,
    remove_stale,
    sha256,
    write_json,
)
from unveil.common.locks import exclusive_lock
from unveil.common.paths import AUDIT, AUDIT_COUNTS, CONTACT_SHEET, SUSPECTS
from unveil.config.params import Params
from unveil.data import archive as archives
from unveil.data import corrections
from unveil.data.decoding import Pixels
from unveil.quality.label_noise import contact_sheet, hog_features, noise_scores
from unveil.quality.label_noise.noise_scores import Probabilities

RUNNING = "an audit is already running in this checkout; wait until it ends"


@dataclass(frozen=True)
class AuditSummary:
    """Number of audited faces, of suspects, and of faces on the contact sheet."""

    faces: int
    suspects: int
    shown: int


def audit(source: Path, manifest: Path, params: Params) -> AuditSummary:
    """Write the ranked suspects and their contact sheet.

    Faces that were reviewed are not suspected again. Raises ``UserError`` at the start if
    ``suspects.csv`` has decisions that were not reviewed yet.
    """
    faces = read_parquet(manifest, made_by="unveil manifest").sort_values("member")
    decided = set(corrections.read(params.classes)["sha256"])
    _refuse_to_overwrite(decided)
    identity = _identity(manifest, params)
    with exclusive_lock(AUDIT, RUNNING):
        for workspace in list(AUDIT.rglob(".unveil-*")):
            remove_stale(workspace.parent)
        judged, probabilities = _audited_faces(source, faces, params, AUDIT / "folds" / identity)
        suspects = rank_suspects(judged, probabilities, params)
        suspects = suspects[~suspects["sha256"].isin(decided)]
        suspects.insert(0, "rank", range(1, len(suspects) + 1))
        with atomic_write(SUSPECTS) as path:
            path.write_text(csv_writer.to_csv(suspects, float_format="%.4f"), encoding="utf-8")
        shown = suspects.head(params.audit.shown)
        by_class = suspects.loc[suspects["suspected"] == "yes", "label"].value_counts().to_dict()
        doubted = sum(by_class.values())
        context = {"audited": len(judged), "doubted": doubted, "identity": identity}
        contact_sheet.write(
            CONTACT_SHEET, shown, _pictures(source, shown, params), params.classes, **context
        )
        counts = {"faces": len(judged), "suspected": by_class, "manifest": sha256(manifest)}
        write_json(AUDIT_COUNTS, counts)
    return AuditSummary(faces=len(judged), suspects=doubted, shown=len(shown))


def _audited_faces(
    source: Path, faces: pd.DataFrame, params: Params, folder: Path
) -> tuple[pd.DataFrame, Probabilities]:
    # Features of all readable faces, so that a decision about one does not change cached blocks.
    readable = faces[faces["sha256"] != ""]
    used = (readable["quarantine"] == "").to_numpy()
    described = [
        hog_features.features(source, readable, params.data, AUDIT / "features", index=index)[used]
        for index in range(len(hog_features.DESCRIPTIONS))
    ]
    judged = readable[used]
    return judged, noise_scores.out_of_fold_probabilities(described, judged, params, folder)


def rank_suspects(
    faces: pd.DataFrame, probabilities: Probabilities, params: Params
) -> pd.DataFrame:
    """Return the faces whose label is not the most probable one, least probable labels first.

    Duplicates are listed once. ``score`` (0..1) is the probability of the given label, ``p_CLASS``
    that of each class. The first ones are ``suspected``, as many as the estimated number of wrong
    labels; ``action`` and ``new_label`` are for the reviewer.
    """
    labels = faces["label"].map(params.classes.index).to_numpy()
    probabilities, rate = noise_scores.fit_noise_model(labels, probabilities)
    names = np.array(params.classes)
    rows = faces[["sha256", "member", "split", "label"]].assign(
        suggested=names[probabilities.argmax(1)],
        score=get_label_quality_scores(labels, probabilities, method="self_confidence"),
        action="",
        new_label="",
        **{f"p_{name}": probabilities[:, index] for index, name in enumerate(params.classes)},
    )
    rows = rows[rows["label"] != rows["suggested"]].sort_values(["score", "member"])
    # The filters of cleanlab count all errors of a weak model: twice the number of flipped labels.
    first = np.arange(len(rows)) < round(rate * len(faces))
    rows.insert(6, "suspected", np.where(first, "yes", "no"))
    return rows.drop_duplicates("sha256").reset_index(drop=True)


def _refuse_to_overwrite(decided: set[str]) -> None:
    if not SUSPECTS.exists():
        return
    with reading_artifact(SUSPECTS, made_by="unveil data audit"):
        rows = csv_reader.read(SUSPECTS.read_bytes(), SUSPECTS)
    if "action" in rows and "sha256" in rows:
        filled = rows[rows["action"].str.strip() != ""]
        if waiting := int((~filled["sha256"].isin(decided)).sum()):
            raise UserError(
                f"{SUSPECTS} has {waiting} decisions that were not reviewed yet; "
                f"run `unveil data review {SUSPECTS}`, or remove the file"
            )


def _identity(manifest: Path, params: Params) -> str:
    """Return a hash of everything that determines the probabilities, 64 hexadecimal digits."""
    decided = {
        "manifest": sha256(manifest),
        "classes": params.classes,
        "folds": params.audit.folds,
        "seed": params.data.seed,
        "image_size": params.data.image_size,
        "code": [sha256(Path(module.__file__ or "")) for module in (hog_features, noise_scores)],
        "libraries": [sklearn.__version__, cleanlab.__version__],
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _pictures(source: Path, rows: pd.DataFrame, params: Params) -> Iterator[Pixels]:
    with archives.open_archive(source) as archive:
        for member in rows["member"]:
            yield hog_features.load_pixels(archive, member, params.data)
