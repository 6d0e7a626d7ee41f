"""What a person decided about single faces: kept with the data, applied by the manifest.

Takes a reviewed list of suspects, makes ``data/01_raw/corrections.csv`` with the columns
``sha256, member, action, label``, which git keeps beside ``faces.zip.dvc``. A decision is about a
picture, by the digest of its pixels: it holds for all its copies and in every later archive.
Command: ``unveil data review FILE``.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd

from unveil.common import csv_reader, csv_writer, missing_files
from unveil.common.errors import UserError, unknown
from unveil.common.files import replacing
from unveil.common.locks import held
from unveil.common.paths import CORRECTIONS

COLUMNS = ("sha256", "member", "action", "label")
ACTIONS = ("relabel", "drop", "keep")
"""The label is another one, the picture leaves, or all is right and nobody need look again."""

DROPPED = "dropped_by_review"
"""The fault of a face that a person dropped."""


def read(classes: Collection[str], path: Path = CORRECTIONS) -> pd.DataFrame:
    """Read all decisions so far; none without a file, ``UserError`` for a bad or a lost one."""
    if not path.exists():
        missing_files.refuse_lost(path)
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    return _checked(_table(path, COLUMNS), classes, path)


def apply(
    faces: pd.DataFrame,
    classes: Collection[str],
    *,
    mark: Callable[[pd.DataFrame], pd.DataFrame],
    path: Path = CORRECTIONS,
) -> pd.DataFrame:
    """Give each face the ``label`` that was decided; leave dropped ones out, and ``mark`` the rest.

    ``mark`` adds ``fault`` and ``quarantine`` to faces, and sees no dropped one.
    """
    decided = read(classes, path).set_index("sha256")
    action, label = (faces["sha256"].map(decided[name]) for name in ("action", "label"))
    faces = faces.assign(label=faces["label"].mask(action == "relabel", label))
    said, dropped = f"{DROPPED}: {path}", action == "drop"
    left_out = faces[dropped].assign(fault=said, quarantine=said)
    return pd.concat([mark(faces[~dropped]), left_out]).sort_index()


def review(
    reviewed: Path, faces: pd.DataFrame, classes: Collection[str], path: Path = CORRECTIONS
) -> dict[str, int]:
    """Take the decisions of ``reviewed`` into ``path`` and count them by action.

    ``reviewed`` has ``sha256, member, action, new_label``; rows without an action are passed over,
    and a face that was decided before is decided anew. ``faces`` is the manifest. One wrong row is
    a ``UserError`` that names it, and nothing is taken.
    """
    rows = _table(reviewed, ("sha256", "member", "action", "new_label"))
    rows = rows.rename(columns={"new_label": "label"})
    rows = _checked(rows[(rows["action"] != "") | (rows["label"] != "")], classes, reviewed)
    if rows.empty:
        raise UserError(f"{reviewed} has no action yet; fill in {', '.join(ACTIONS)}")
    if len(strangers := rows[~rows["sha256"].isin(faces["sha256"])]):
        first = strangers.iloc[0]
        raise UserError(
            f"{reviewed}: no face in the manifest has sha256 {first['sha256'][:12]}... "
            f"({first['member']}); choose from those `unveil data audit` lists"
        )
    with held(path):
        merged = pd.concat([read(classes, path), rows]).drop_duplicates("sha256", keep="last")
        with replacing(path) as temporary:
            temporary.write_text(csv_writer.text(merged.sort_values("sha256")), encoding="utf-8")
    return {action: int((rows["action"] == action).sum()) for action in ACTIONS}


def _table(path: Path, columns: Collection[str]) -> pd.DataFrame:
    try:
        content = path.read_bytes()
    except OSError as error:
        said = str(error.strerror).lower()
        raise UserError(f"{path} cannot be read as a table: {said}") from None
    rows = csv_reader.renamed(csv_writer.read_back(csv_reader.read(content, path)), columns)
    if missing := [name for name in columns if name not in rows.columns]:
        raise UserError(f"{path} has no column {missing[0]!r}; it has {', '.join(rows.columns)}")
    return rows[list(columns)].apply(lambda cells: cells.str.strip())


def _checked(rows: pd.DataFrame, classes: Collection[str], path: Path) -> pd.DataFrame:
    for line, row in rows.iterrows():
        where = f"{path}, line {line}"
        if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise UserError(f"{where}: sha256 {row['sha256']!r} is not 64 hexadecimal digits")
        if row["action"] not in ACTIONS:
            raise unknown(f"action in {where}:", row["action"], ACTIONS)
        if row["action"] == "relabel" and row["label"] not in classes:
            raise unknown(f"label in {where}:", row["label"], classes)
        if row["action"] != "relabel" and row["label"]:
            raise UserError(f"{where}: {row['action']} takes no label, found {row['label']!r}")
    rows = rows.drop_duplicates(["sha256", "action", "label"])
    if len(twice := rows[rows["sha256"].duplicated()]):
        said = f"{twice.iloc[0]['sha256'][:12]}... ({twice.iloc[0]['member']})"
        raise UserError(f"{path}: sha256 {said} is decided twice, in two ways; choose one")
    return rows
