"""The groups a user knows, from ``attributes.csv`` in the archive, joined to the faces they name.

Its column ``file`` holds a face's file name or, where names repeat, the end of its path.
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


def table(
    archive: zipfile.ZipFile, listing: Listing, *, taken: Collection[str]
) -> pd.DataFrame | None:
    """Read the table; ``UserError`` where it cannot be read or has a row twice or a taken column.

    ``taken`` are the manifest's own columns.
    """
    if listing.attributes is None:
        return None
    try:
        content = archives.content(archive, listing.attributes, max_bytes=MAX_TABLE_BYTES)
    except UnreadableImage as error:
        raise UserError(f"{listing.attributes} cannot be read as a table: {error}") from None
    rows = read(content, listing.attributes)
    if clash := [name for name in rows.columns if name in taken]:
        raise UserError(
            f"{listing.attributes}: the column {clash[0]!r} is one of the manifest's own"
        )
    # A file may really be called with an apostrophe: `joined` tries both.
    rows = csv_writer.read_back(rows).assign(file=rows["file"])
    # Only an empty cell is no value: "None" is an honest answer to `glasses`.
    return rows.mask(rows == "").reset_index(drop=True)


def read(content: bytes, where: object) -> pd.DataFrame:
    """Read a table of groups as text; ``UserError`` names what it lacks or has twice."""
    rows = csv_reader.renamed(csv_reader.read(content, where), ["file"])
    if "file" not in rows.columns:
        raise UserError(f"{where} has no column 'file'; it has {', '.join(rows)}")
    rows["file"] = rows["file"].str.strip()
    if len(nameless := rows.index[rows["file"] == ""]):
        raise UserError(f"{where}, line {nameless[0]}: the cell of 'file' is empty")
    twice = rows["file"][rows["file"].duplicated()]
    if len(twice):
        raise UserError(f"{where}, line {twice.index[0]}: {twice.iloc[0]!r} stands there twice")
    return rows


def plain(content: bytes, where: object) -> bytes:
    """Give a table as it is or, with other commas or names than an erasure looks for, with those.

    Raises ``UserError`` as `read` does.
    """
    rows = read(content, where)
    first = content.decode("utf-8-sig").splitlines()[0]
    if "file" in next(csv.reader([first]), []):
        return content
    return csv_writer.text(csv_writer.read_back(rows)).encode()


def joined(faces: pd.DataFrame, attributes: pd.DataFrame | None) -> pd.DataFrame:
    """Give each face its groups; a row that could be about two faces is a ``UserError``."""
    if attributes is None:
        return faces
    same_name = faces.groupby(faces["member"].map(_base))["member"].agg(list).to_dict()
    rows: dict[str, int] = {}
    strangers = []
    for row, file in enumerate(attributes["file"]):
        named = _named(file, same_name) or _named(csv_writer.plain(file), same_name)
        for member in named:
            if len(named) > 1 or member in rows:
                raise UserError(
                    f"attributes.csv: {file!r} is not one face alone, or one named before; "
                    "write its folders too, once"
                )
            rows[member] = row
        if not named:
            strangers.append(file)
    if not rows and len(attributes):
        first = attributes["file"].iloc[0]
        raise UserError(f"attributes.csv names no face of the archive, first {first!r}")
    if strangers:
        said = f"{len(strangers)} of {len(attributes)} rows name no face of a class"
        print(f"attributes.csv: {said}, first {strangers[0]!r}; passed over", file=sys.stderr)
    known = attributes.drop(columns="file").iloc[list(rows.values())].assign(member=list(rows))
    return faces.merge(known, on="member", how="left", validate="1:1")


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _named(file: str, same_name: dict[str, list[str]]) -> list[str]:
    members = same_name.get(_base(file), [])
    return [member for member in members if f"/{member}".endswith(f"/{file}")]
