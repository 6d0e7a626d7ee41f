"""Export the faces in use, with their splits and labels, as a new archive.

Writes a zip with ``SPLIT/CLASS/NUMBER-NAME`` and ``attributes.csv``, which `unveil ingest` can
read. Its md5 is recorded in the journal, so that a copy can be traced to its export. Command:
``unveil data export TARGET``.
"""

import zipfile
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from unveil.common import audit_log, csv_writer
from unveil.common.files import atomic_write, read_parquet
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.provenance import dvc_hash
from unveil.config.schema import COLUMNS
from unveil.data import archive as archives
from unveil.data.archive import ATTRIBUTES
from unveil.data.ingest import zip_entry
from unveil.data.manifest import decoding_limits
from unveil.data.metadata_stripping import strip_metadata
from unveil.data.synthetic import FOLDER, is_synthetic


def export(source: Path, manifest: Path, target: Path, params: Params) -> dict[str, int]:
    """Export the faces in use, counted by split; raises ``UserError`` if ``target`` exists."""
    archives.require_new_zip(target)
    faces = read_parquet(manifest, made_by="unveil manifest")
    faces = faces[faces["quarantine"] == ""].sort_values("member", ignore_index=True)
    names = [_name(number, row) for number, row in faces.iterrows()]
    accepted = decoding_limits(params.data)
    with archives.open_archive(source) as archive, atomic_write(target) as path:
        with zipfile.ZipFile(path, "w") as copy:
            members = zip(
                tqdm(faces["member"], "export", unit=" faces", delay=2), names, strict=True
            )
            for member, name in members:
                content = archives.read_member(archive, member, max_bytes=accepted.max_bytes)
                copy.writestr(zip_entry(name), strip_metadata(content, accepted))
            copy.writestr(zip_entry(ATTRIBUTES), _groups(faces, names))
        digest = dvc_hash(path)
        # Recorded before the file appears, so that no export is missing in the journal.
        audit_log.record("export", archive=digest, images=len(faces))
    return {name: int((faces["split"] == name).sum()) for name in SPLITS}


def _name(number: object, row: pd.Series) -> str:
    # The number makes names unique across folders; the outer folder marks synthetic faces.
    drawn = f"{FOLDER}/" if is_synthetic([row["member"]]) else ""
    return f"{drawn}{row['split']}/{row['label']}/{number:07}-{PurePosixPath(row['member']).name}"


def _groups(faces: pd.DataFrame, names: list[str]) -> str:
    own = [column for column in faces if column not in (*COLUMNS, "quarantine")]
    table = faces[own].assign(file=names)[["file", *own]]
    return csv_writer.to_csv(table)
