"""manifest + archive -> the faces in use as an archive of their own, to be used elsewhere.

Takes what is not left out, with the splits and labels it has by now; makes a zip of
``SPLIT/CLASS/NUMBER-NAME`` and ``attributes.csv``, which `unveil ingest` reads. The journal tells
of it by its md5, so that it can be told which export a copy is. Command: ``unveil data export
TARGET``.
"""

import zipfile
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from unveil.common import audit_log, csv_writer
from unveil.common.files import read_parquet, replacing
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.provenance import dvc_hash
from unveil.config.schema import COLUMNS
from unveil.data import archive as archives
from unveil.data.archive import ATTRIBUTES
from unveil.data.ingest import entry
from unveil.data.manifest import limits
from unveil.data.metadata_stripping import strip
from unveil.data.synthetic import FOLDER, is_drawn


def export(source: Path, manifest: Path, target: Path, params: Params) -> dict[str, int]:
    """Write the faces in use and count them by split; ``UserError`` where ``target`` is there."""
    archives.refuse_taken(target)
    faces = read_parquet(manifest, made_by="unveil manifest")
    faces = faces[faces["quarantine"] == ""].sort_values("member", ignore_index=True)
    names = [_name(place, row) for place, row in faces.iterrows()]
    accepted = limits(params.data)
    with archives.opened(source) as archive, replacing(target) as path:
        with zipfile.ZipFile(path, "w") as made:
            named = zip(tqdm(faces["member"], "export", unit=" faces", delay=2), names, strict=True)
            for member, name in named:
                content = archives.content(archive, member, max_bytes=accepted.max_bytes)
                made.writestr(entry(name), strip(content, accepted))
            made.writestr(entry(ATTRIBUTES), _groups(faces, names))
        digest = dvc_hash(path)
        # Before it is there: none leaves that the journal does not tell of.
        audit_log.record("export", archive=digest, images=len(faces))
    return {name: int((faces["split"] == name).sum()) for name in SPLITS}


def _name(place: object, row: pd.Series) -> str:
    # Two folders may each have a face of this name; by their outer one drawn faces are known.
    drawn = f"{FOLDER}/" if is_drawn([row["member"]]) else ""
    return f"{drawn}{row['split']}/{row['label']}/{place:07}-{PurePosixPath(row['member']).name}"


def _groups(faces: pd.DataFrame, names: list[str]) -> str:
    own = [column for column in faces if column not in (*COLUMNS, "quarantine")]
    table = faces[own].assign(file=names)[["file", *own]]
    return csv_writer.text(table)
