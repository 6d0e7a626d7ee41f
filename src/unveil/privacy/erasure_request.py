"""Select the images of one person or one member, and rewrite archives and tables without them."""

import csv
import io
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unveil.common import csv_reader, csv_writer
from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.data import archive as archives
from unveil.data import attributes
from unveil.data.archive import Listing
from unveil.data.ingest import copy_members
from unveil.privacy import search
from unveil.privacy.file_contents import LIMITS
from unveil.privacy.search import Person

ID_COLUMNS = ("file", "member", "sha256")
"""Columns that identify the image of a table row."""
EXPORT_PREFIX = re.compile(r"(?<![^/])\d{7,}-(?=[^/]*$)")
"""The prefix that `unveil data export` adds to a file name; a request may omit it."""


@dataclass(frozen=True)
class Request:
    """A member, by its name or the end of its path; or a subject, by its value in a column."""

    member: str | None
    subject: str | None
    column: str

    def unknown(self, columns: set[str]) -> UserError:
        """Return the error that no version of the archive has it."""
        if self.member is not None:
            return UserError(f"no version of the archive has a member {self.member!r}")
        if self.column not in columns:
            known = ", ".join(sorted(columns)) or "none"
            return UserError(f"no attributes.csv has a column {self.column!r}; columns: {known}")
        return UserError(f"no attributes.csv has a {self.column} {self.subject!r}")


def requested_members(archive: zipfile.ZipFile, request: Request) -> tuple[list[str], set[str]]:
    """Return the requested members of an archive, and the columns of its attributes.csv."""
    members = search.image_names(archive)
    if request.member is not None:
        return _matching(members, request.member), set()
    groups = _attributes(archive, members)
    if groups is None or request.column not in groups.columns:
        return [], set() if groups is None else set(groups.columns) - {"member"}
    theirs = groups[groups[request.column] == request.subject]
    return list(theirs["member"]), set(groups.columns) - {"member"}


def rewrite_without(path: Path, person: Person) -> None:
    """Rewrite an archive, or a table beside it, without a person's images."""
    with atomic_write(path) as target:
        if path.suffix == ".csv":
            target.write_bytes(_without(path.read_bytes(), {*person.members, *person.pictures}))
            return
        out = set(search.members_of(path, person))
        with archives.open_archive(path) as archive:
            tables = {
                name: _without(archive.read(name), _files_of(archive, name, out | person.members))
                for name in _tables(archive)
            }
            kept = sorted({*search.image_names(archive), *tables} - out)
            copy_members(archive, target, kept, limits=LIMITS, tables=tables)


def _matching(members: list[str], name: str) -> list[str]:
    found = [one for one in members if f"/{one}".endswith(f"/{name}")] or [
        one for one in members if f"/{EXPORT_PREFIX.sub('', one)}".endswith(f"/{name}")
    ]
    if name in found:
        return [name]
    if len(found) > 1:
        raise UserError(
            f"{name!r} matches {len(found)} members, first {found[0]!r}; include the folders"
        )
    return found


def _tables(archive: zipfile.ZipFile) -> list[str]:
    names = archive.namelist()
    return [name for name in names if name.rsplit("/", 1)[-1].lower() == archives.ATTRIBUTES]


def _attributes(archive: zipfile.ZipFile, members: list[str]) -> pd.DataFrame | None:
    tables = _tables(archive)
    listing = Listing((), {}, 0, tables[0] if tables else None)
    table = attributes.read_table(archive, listing, taken=())
    return None if table is None else attributes.join(pd.DataFrame({"member": members}), table)


def _files_of(archive: zipfile.ZipFile, name: str, out: set[str]) -> set[str]:
    """Return the values of the column ``file`` that refer to these members."""
    header, rows = _parse(archive.read(name))
    files = {cell for row in rows for cell in _cells_of(row, header, ("file",)) if cell}
    return {
        file
        for file in files
        for name in (file, csv_writer.unescape_formula(file))
        if any(f"/{one}".endswith(f"/{name}") for one in out)
    }


def _without(table: bytes, out: set[str]) -> bytes:
    """Return a table without the rows whose file, member or digest is one of these."""
    header, rows = _parse(table)
    kept = [row for row in rows if not out & _identifiers(row, header)]
    return csv_writer.to_lines(
        [[csv_writer.unescape_formula(cell) for cell in row] for row in [header, *kept]]
    ).encode()


def _parse(table: bytes) -> tuple[list[str], list[list[str]]]:
    """Read header and rows as the pipeline does; if a row is damaged, read as much as possible."""
    text = table.decode("utf-8-sig")
    try:
        read = csv_reader.CsvTable(io.StringIO(text, newline=""))
        return read.header, [cells for _, cells in read]
    except (ValueError, csv.Error):
        header, *rows = [*csv.reader(io.StringIO(text, newline=""))] or [[]]
        return header, rows


def _identifiers(row: list[str], header: list[str]) -> set[str]:
    cells = _cells_of(row, header, ID_COLUMNS)
    return {*cells, *map(csv_writer.unescape_formula, cells)}


def _cells_of(row: list[str], header: list[str], columns: Collection[str]) -> list[str]:
    named = [csv_writer.unescape_formula(column).strip().lower() in columns for column in header]
    return [cell.strip() for cell, is_name in zip(row, named, strict=False) if is_name]
