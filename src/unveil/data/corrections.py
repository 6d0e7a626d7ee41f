"""Label corrections by reviewers, stored with the data and applied by the manifest.

Merges a reviewed list of suspects into ``data/01_raw/corrections.csv`` with the columns
``sha256, member, action, label``, which is committed to git with ``faces.zip.dvc``. A decision is
identified by the sha256 of the pixels: it applies to all copies and to later archives.
Command: ``unveil data review FILE``.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd

from unveil.common import csv_reader, csv_writer, missing_files
from unveil.common.errors import UserError, unknown_choice
from unveil.common.files import atomic_write
from unveil.common.locks import file_lock
from unveil.common.paths import CORRECTIONS

COLUMNS = ("sha256", "member", "action", "label")
ACTIONS = ("relabel", "drop", "keep")
"""Change the label, exclude the picture, or confirm the label."""

DROPPED = "dropped_by_review"
"""The fault of a face that a reviewer dropped."""


def read(classes: Collection[str], path: Path = CORRECTIONS) -> pd.DataFrame:
    """Read all decisions, none without a file; raises ``UserError`` for a bad or a lost file."""
    if not path.exists():
        missing_files.refuse_missing(path)
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    return _validate(_read_table(path, COLUMNS), classes, path)


def apply(
    faces: pd.DataFrame,
    classes: Collection[str],
    *,
    mark: Callable[[pd.DataFrame], pd.DataFrame],
    path: Path = CORRECTIONS,
) -> pd.DataFrame:
    """Apply the decided labels, quarantine dropped faces, and ``mark`` the others.

    ``mark`` adds the columns ``fault`` and ``quarantine`` and gets no dropped faces.
    """
    decided = read(classes, path).set_index("sha256")
    action, label = (faces["sha256"].map(decided[name]) for name in ("action", "label"))
    faces = faces.assign(label=faces["label"].mask(action == "relabel", label))
    fault, dropped = f"{DROPPED}: {path}", action == "drop"
    left_out = faces[dropped].assign(fault=fault, quarantine=fault)
    return pd.concat([mark(faces[~dropped]), left_out]).sort_index()


def review(
    reviewed: Path, faces: pd.DataFrame, classes: Collection[str], path: Path = CORRECTIONS
) -> dict[str, int]:
    """Merge the decisions of ``reviewed`` into ``path`` and count them by action.

    ``reviewed`` has ``sha256, member, action, new_label``; rows without an action are skipped, and
    earlier decisions about the same face are replaced. ``faces`` is the manifest. An invalid row
    raises a ``UserError`` that names it, and nothing is written.
    """
    rows = _read_table(reviewed, ("sha256", "member", "action", "new_label"))
    rows = rows.rename(columns={"new_label": "label"})
    rows = _validate(rows[(rows["action"] != "") | (rows["label"] != "")], classes, reviewed)
    if rows.empty:
        raise UserError(f"{reviewed} has no action yet; fill in {', '.join(ACTIONS)}")
    if len(missing := rows[~rows["sha256"].isin(faces["sha256"])]):
        first = missing.iloc[0]
        raise UserError(
            f"{reviewed}: no face in the manifest has sha256 {first['sha256'][:12]}... "
            f"({first['member']}); choose from those `unveil data audit` lists"
        )
    with file_lock(path):
        merged = pd.concat([read(classes, path), rows]).drop_duplicates("sha256", keep="last")
        with atomic_write(path) as temporary:
            temporary.write_text(csv_writer.to_csv(merged.sort_values("sha256")), encoding="utf-8")
    return {action: int((rows["action"] == action).sum()) for action in ACTIONS}


def _read_table(path: Path, columns: Collection[str]) -> pd.DataFrame:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{path} cannot be read as a table: {reason}") from None
    rows = csv_reader.match_column_case(
        csv_writer.unescape_table(csv_reader.read(content, path)), columns
    )
    if missing := [name for name in columns if name not in rows.columns]:
        raise UserError(f"{path} has no column {missing[0]!r}; it has {', '.join(rows.columns)}")
    return rows[list(columns)].apply(lambda cells: cells.str.strip())


def _validate(rows: pd.DataFrame, classes: Collection[str], path: Path) -> pd.DataFrame:
    for line, row in rows.iterrows():
        where = f"{path}, line {line}"
        if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise UserError(f"{where}: sha256 {row['sha256']!r} is not 64 hexadecimal digits")
        if row["action"] not in ACTIONS:
            raise unknown_choice(f"action in {where}:", row["action"], ACTIONS)
        if row["action"] == "relabel" and row["label"] not in classes:
            raise unknown_choice(f"label in {where}:", row["label"], classes)
        if row["action"] != "relabel" and row["label"]:
            raise UserError(f"{where}: {row['action']} takes no label, found {row['label']!r}")
    rows = rows.drop_duplicates(["sha256", "action", "label"])
    if len(conflicting := rows[rows["sha256"].duplicated()]):
        face = f"{conflicting.iloc[0]['sha256'][:12]}... ({conflicting.iloc[0]['member']})"
        raise UserError(f"{path}: sha256 {face} has two different decisions; choose one")
    return rows
