"""manifest + archive -> the faces whose labels are most to be doubted, for a person to look at.

Takes the faces in use of all splits; makes ``data/06_audit/suspects.csv``, ranked, and
``suspects.html``, its first ones as a contact sheet; its counts go into ``data/01_raw/audit.json``,
in git beside the decisions, for the data sheet. It changes no data: a person's decisions go
through `unveil data review`. Killed and run again it goes on where it was. Command: ``unveil data
audit``. The method is confident learning (C. Northcutt, L. Jiang, I. Chuang, JAIR 70, 2021).
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
from unveil.common.files import read_parquet, reading, replacing, sha256, sweep, write_json
from unveil.common.locks import alone
from unveil.common.paths import AUDIT, AUDITED, SHEET, SUSPECTS
from unveil.config.params import Params
from unveil.data import archive as archives
from unveil.data import corrections
from unveil.data.decoding import Pixels
from unveil.quality.label_noise import contact_sheet, hog_features, noise_scores
from unveil.quality.label_noise.noise_scores import Probabilities

RUNNING = "an audit runs in this checkout already; wait until it ends"


@dataclass(frozen=True)
class Audited:
    """How many faces were judged, how many are suspected, and how many are on the sheet."""

    faces: int
    suspects: int
    shown: int


def audit(source: Path, manifest: Path, params: Params) -> Audited:
    """Write the ranked suspects and their contact sheet.

    A face that a person decided about is no suspect again. Decisions in ``suspects.csv`` that were
    not taken yet are a ``UserError``, before anything is done.
    """
    faces = read_parquet(manifest, made_by="unveil manifest").sort_values("member")
    decided = set(corrections.read(params.classes)["sha256"])
    _refuse_to_overwrite(decided)
    identity = _identity(manifest, params)
    with alone(AUDIT, RUNNING):
        for workspace in list(AUDIT.rglob(".unveil-*")):
            sweep(workspace.parent)
        judged, probabilities = _judged(source, faces, params, AUDIT / "folds" / identity)
        suspects = ranked(judged, probabilities, params)
        suspects = suspects[~suspects["sha256"].isin(decided)]
        suspects.insert(0, "rank", range(1, len(suspects) + 1))
        with replacing(SUSPECTS) as path:
            path.write_text(csv_writer.text(suspects, float_format="%.4f"), encoding="utf-8")
        shown = suspects.head(params.audit.shown)
        by_class = suspects.loc[suspects["suspected"] == "yes", "label"].value_counts().to_dict()
        doubted = sum(by_class.values())
        said = {"audited": len(judged), "doubted": doubted, "identity": identity}
        contact_sheet.write(SHEET, shown, _pictures(source, shown, params), params.classes, **said)
        counts = {"faces": len(judged), "suspected": by_class, "manifest": sha256(manifest)}
        write_json(AUDITED, counts)
    return Audited(faces=len(judged), suspects=doubted, shown=len(shown))


def _judged(
    source: Path, faces: pd.DataFrame, params: Params, folder: Path
) -> tuple[pd.DataFrame, Probabilities]:
    # All readable faces are described, so that a decision about one leaves the blocks as they are.
    readable = faces[faces["sha256"] != ""]
    used = (readable["quarantine"] == "").to_numpy()
    described = [
        hog_features.features(source, readable, params.data, AUDIT / "features", place=place)[used]
        for place in range(len(hog_features.DESCRIPTIONS))
    ]
    judged = readable[used]
    return judged, noise_scores.out_of_fold(described, judged, params, folder)


def ranked(faces: pd.DataFrame, probabilities: Probabilities, params: Params) -> pd.DataFrame:
    """Give the faces that look otherwise than labelled, the most doubtful first, each picture once.

    The ``score`` (0..1) is the probability of the given label, ``p_CLASS`` holds all. The first are
    ``suspected``, as many as labels are thought wrong; ``action`` and ``new_label`` are a person's.
    """
    labels = faces["label"].map(params.classes.index).to_numpy()
    probabilities, rate = noise_scores.explained(labels, probabilities)
    names = np.array(params.classes)
    rows = faces[["sha256", "member", "split", "label"]].assign(
        suggested=names[probabilities.argmax(1)],
        score=get_label_quality_scores(labels, probabilities, method="self_confidence"),
        action="",
        new_label="",
        **{f"p_{name}": probabilities[:, place] for place, name in enumerate(params.classes)},
    )
    rows = rows[rows["label"] != rows["suggested"]].sort_values(["score", "member"])
    # The filters of cleanlab count every confusion of a weak model: twice the flips there were.
    first = np.arange(len(rows)) < round(rate * len(faces))
    rows.insert(6, "suspected", np.where(first, "yes", "no"))
    return rows.drop_duplicates("sha256").reset_index(drop=True)


def _refuse_to_overwrite(decided: set[str]) -> None:
    if not SUSPECTS.exists():
        return
    with reading(SUSPECTS, made_by="unveil data audit"):
        rows = csv_reader.read(SUSPECTS.read_bytes(), SUSPECTS)
    if "action" in rows and "sha256" in rows:
        filled = rows[rows["action"].str.strip() != ""]
        if waiting := int((~filled["sha256"].isin(decided)).sum()):
            raise UserError(
                f"{SUSPECTS} has {waiting} decisions that were not taken yet; "
                f"`unveil data review {SUSPECTS}` takes them, or remove the file"
            )


def _identity(manifest: Path, params: Params) -> str:
    """Name what decides the probabilities, as 64 hexadecimal digits."""
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
    with archives.opened(source) as archive:
        for member in rows["member"]:
            yield hog_features.pixels(archive, member, params.data)
