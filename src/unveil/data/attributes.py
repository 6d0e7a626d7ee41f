"""User-defined attributes (groups) of faces, from ``attributes.csv`` in the archive.

Its column ``file`` holds the file name of a face or, if names repeat, the end of its path.
"""

import csv
import sys
import zipfile
from collections.abc import Collection

import pandas as pd

from unveil.common import csv_reader, csv_writer
from unveil.common.errors import UserError
from unveil.data import archive as archives
from unveil.data.archive import MAX_TABLE_BYTES, Listing
from unveil.data.decoding import UnreadableImage


def read_table(
    archive: zipfile.ZipFile, listing: Listing, *, taken: Collection[str]
) -> pd.DataFrame | None:
    """Read the attributes of an archive, or ``None`` without any.

    ``taken`` are the manifest's own columns. Raises ``UserError`` if the table cannot be read, or
    has a duplicate row or a taken column.
    """
    if listing.attributes is None:
        return None
    try:
        content = archives.read_member(archive, listing.attributes, max_bytes=MAX_TABLE_BYTES)
    except UnreadableImage as error:
        raise UserError(f"{listing.attributes} cannot be read as a table: {error}") from None
    rows = read(content, listing.attributes)
    if clash := [name for name in rows.columns if name in taken]:
        raise UserError(
            f"{listing.attributes}: the column {clash[0]!r} is one of the manifest's own"
        )
    # A file name may really begin with an apostrophe: `join` tries both.
    rows = csv_writer.unescape_table(rows).assign(file=rows["file"])
    # Only an empty cell is missing: "None" is a valid value of `glasses`.
    return rows.mask(rows == "").reset_index(drop=True)


def read(content: bytes, where: object) -> pd.DataFrame:
    """Read a table of attributes as text; raises ``UserError`` for missing or duplicate files."""
    rows = csv_reader.match_column_case(csv_reader.read(content, where), ["file"])
    if "file" not in rows.columns:
        raise UserError(f"{where} has no column 'file'; it has {', '.join(rows)}")
    rows["file"] = rows["file"].str.strip()
    if len(nameless := rows.index[rows["file"] == ""]):
        raise UserError(f"{where}, line {nameless[0]}: the cell of 'file' is empty")
    duplicates = rows["file"][rows["file"].duplicated()]
    if len(duplicates):
        line, file = duplicates.index[0], duplicates.iloc[0]
        raise UserError(f"{where}, line {line}: {file!r} appears twice")
    return rows


def normalize(content: bytes, where: object) -> bytes:
    """Return a table in the canonical format (commas, column ``file``) that erasure expects.

    Raises ``UserError`` as `read` does.
    """
    rows = read(content, where)
    first = content.decode("utf-8-sig").splitlines()[0]
    if "file" in next(csv.reader([first]), []):
        return content
    return csv_writer.to_csv(csv_writer.unescape_table(rows)).encode()


def join(faces: pd.DataFrame, attributes: pd.DataFrame | None) -> pd.DataFrame:
    """Add the attributes to the faces; raises ``UserError`` for an ambiguous row."""
    if attributes is None:
        return faces
    same_name = faces.groupby(faces["member"].map(_basename))["member"].agg(list).to_dict()
    rows: dict[str, int] = {}
    unmatched = []
    for row, file in enumerate(attributes["file"]):
        members = _matching_members(file, same_name) or _matching_members(
            csv_writer.unescape_formula(file), same_name
        )
        for member in members:
            if len(members) > 1 or member in rows:
                raise UserError(
                    f"attributes.csv: {file!r} matches several faces, or a face named before; "
                    "add its folders, once"
                )
            rows[member] = row
        if not members:
            unmatched.append(file)
    if not rows and len(attributes):
        first = attributes["file"].iloc[0]
        raise UserError(f"attributes.csv names no face of the archive, first {first!r}")
    if unmatched:
        counts = f"{len(unmatched)} of {len(attributes)} rows name no face of a class"
        print(f"attributes.csv: {counts}, first {unmatched[0]!r}; ignored", file=sys.stderr)
    matched = attributes.drop(columns="file").iloc[list(rows.values())].assign(member=list(rows))
    return faces.merge(matched, on="member", how="left", validate="1:1")


def _basename(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _matching_members(file: str, same_name: dict[str, list[str]]) -> list[str]:
    members = same_name.get(_basename(file), [])
    return [member for member in members if f"/{member}".endswith(f"/{file}")]
