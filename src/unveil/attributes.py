"""The groups a user knows, from ``attributes.csv`` in the archive, joined to the faces they name.

Its column ``file`` holds a face's file name or, where names repeat, the end of its path.
"""

import io
import zipfile
from collections.abc import Collection

import pandas as pd

from unveil import archive as archives
from unveil.archive import MAX_TABLE_BYTES, Listing
from unveil.errors import UserError
from unveil.tables import plain, read_back


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
        # Only an empty cell is no value: "None" is an honest answer to `glasses`.
        rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, na_values=[""])
    except ValueError as error:
        said = " ".join(str(error).split())
        raise UserError(f"{listing.attributes} cannot be read as a table: {said}") from None
    if "file" not in rows.columns:
        raise UserError(f"{listing.attributes} has no column 'file'; it has {', '.join(rows)}")
    if clash := [name for name in rows.columns if name in taken]:
        raise UserError(
            f"{listing.attributes}: the column {clash[0]!r} is one of the manifest's own"
        )
    # A file may really be called with an apostrophe: `joined` tries both.
    rows = read_back(rows).assign(file=rows["file"])
    twice = rows["file"][rows["file"].duplicated()]
    if len(twice):
        raise UserError(f"{listing.attributes}: {twice.iloc[0]!r} stands there twice")
    return rows


def joined(faces: pd.DataFrame, attributes: pd.DataFrame | None) -> pd.DataFrame:
    """Give each face its groups; a row that could be about two faces is a ``UserError``."""
    if attributes is None:
        return faces
    same_name = faces.groupby(faces["member"].map(_base))["member"].agg(list).to_dict()
    rows: dict[str, int] = {}
    for row, file in enumerate(attributes["file"].fillna("")):
        for member in (named := _named(file, same_name) or _named(plain(file), same_name)):
            if len(named) > 1 or member in rows:
                raise UserError(
                    f"attributes.csv: {file!r} is not one face alone, or one named before; "
                    "write its folders too, once"
                )
            rows[member] = row
    if not rows and len(attributes):
        first = attributes["file"].iloc[0]
        raise UserError(f"attributes.csv names no face of the archive, first {first!r}")
    known = attributes.drop(columns="file").iloc[list(rows.values())].assign(member=list(rows))
    return faces.merge(known, on="member", how="left", validate="1:1")


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _named(file: str, same_name: dict[str, list[str]]) -> list[str]:
    members = same_name.get(_base(file), [])
    return [member for member in members if f"/{member}".endswith(f"/{file}")]
