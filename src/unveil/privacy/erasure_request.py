"""Who is to be erased, as an archive names it, and an archive or a table without it."""

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
from unveil.common.files import replacing
from unveil.data import archive as archives
from unveil.data import attributes
from unveil.data.archive import Listing
from unveil.data.ingest import rewrite
from unveil.privacy import search
from unveil.privacy.file_contents import LIMITS
from unveil.privacy.search import Person

NAMING = ("file", "member", "sha256")
"""Columns of a table by which a row is about a picture."""
NUMBER = re.compile(r"(?<![^/])\d{7,}-(?=[^/]*$)")
"""What `unveil data export` puts before a name: who asks to be erased need not know it."""


@dataclass(frozen=True)
class Request:
    """A member, by its name or the end of its path, or a subject by the value of a column."""

    member: str | None
    subject: str | None
    column: str

    def unknown(self, columns: set[str]) -> UserError:
        """Say that no version of the archive has it."""
        if self.member is not None:
            return UserError(f"no version of the archive has a member {self.member!r}")
        if self.column not in columns:
            known = ", ".join(sorted(columns)) or "none"
            return UserError(f"no attributes.csv has a column {self.column!r}; there are: {known}")
        return UserError(f"no attributes.csv has a {self.column} {self.subject!r}")


def named(archive: zipfile.ZipFile, request: Request) -> tuple[list[str], set[str]]:
    """Name the members an archive has of a request, and the columns of its table."""
    members = search.images(archive)
    if request.member is not None:
        return _ending(members, request.member), set()
    groups = _groups(archive, members)
    if groups is None or request.column not in groups.columns:
        return [], set() if groups is None else set(groups.columns) - {"member"}
    theirs = groups[groups[request.column] == request.subject]
    return list(theirs["member"]), set(groups.columns) - {"member"}


def cleaned(path: Path, person: Person) -> None:
    """Write an archive, or a table beside it, anew without somebody."""
    with replacing(path) as target:
        if path.suffix == ".csv":
            target.write_bytes(_without(path.read_bytes(), {*person.members, *person.pictures}))
            return
        out = set(search.members(path, person))
        with archives.opened(path) as archive:
            tables = {
                name: _without(archive.read(name), _rows(archive, name, out | person.members))
                for name in _tables(archive)
            }
            kept = sorted({*search.images(archive), *tables} - out)
            rewrite(archive, target, kept, limits=LIMITS, tables=tables)


def _ending(members: list[str], name: str) -> list[str]:
    found = [one for one in members if f"/{one}".endswith(f"/{name}")] or [
        one for one in members if f"/{NUMBER.sub('', one)}".endswith(f"/{name}")
    ]
    if name in found:
        return [name]
    if len(found) > 1:
        raise UserError(
            f"{name!r} names {len(found)} members, {found[0]!r} first; write its folders too"
        )
    return found


def _tables(archive: zipfile.ZipFile) -> list[str]:
    names = archive.namelist()
    return [name for name in names if name.rsplit("/", 1)[-1].lower() == archives.ATTRIBUTES]


def _groups(archive: zipfile.ZipFile, members: list[str]) -> pd.DataFrame | None:
    tables = _tables(archive)
    listing = Listing((), {}, 0, tables[0] if tables else None)
    table = attributes.table(archive, listing, taken=())
    return None if table is None else attributes.joined(pd.DataFrame({"member": members}), table)


def _rows(archive: zipfile.ZipFile, name: str, out: set[str]) -> set[str]:
    """Give what a table calls these members in its column ``file``."""
    header, rows = _parsed(archive.read(name))
    files = {cell for row in rows for cell in _named(row, header, ("file",)) if cell}
    return {
        file
        for file in files
        for name in (file, csv_writer.plain(file))
        if any(f"/{one}".endswith(f"/{name}") for one in out)
    }


def _without(table: bytes, out: set[str]) -> bytes:
    """Give a table without the rows whose file, member or digest is one of these."""
    header, rows = _parsed(table)
    kept = [row for row in rows if not out & _called(row, header)]
    return csv_writer.lines(
        [[csv_writer.plain(cell) for cell in row] for row in [header, *kept]]
    ).encode()


def _parsed(table: bytes) -> tuple[list[str], list[list[str]]]:
    """Read header and rows as they are read for use; of a table with a damaged row, what can be."""
    text = table.decode("utf-8-sig")
    try:
        read = csv_reader.Table(io.StringIO(text, newline=""))
        return read.header, [cells for _, cells in read]
    except (ValueError, csv.Error):
        header, *rows = [*csv.reader(io.StringIO(text, newline=""))] or [[]]
        return header, rows


def _called(row: list[str], header: list[str]) -> set[str]:
    cells = _named(row, header, NAMING)
    return {*cells, *map(csv_writer.plain, cells)}


def _named(row: list[str], header: list[str], columns: Collection[str]) -> list[str]:
    named = [csv_writer.plain(column).strip().lower() in columns for column in header]
    return [cell.strip() for cell, is_name in zip(row, named, strict=False) if is_name]
