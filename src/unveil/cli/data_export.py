"""unveil data export: write the current dataset to a zip file."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App

app = App()


@app.command()
def export(
    target: Annotated[
        Path, typer.Argument(metavar="TARGET.zip", help="The zip file to write; it must not exist.")
    ],
) -> None:
    """Export the current images with their splits and labels.

    Quarantined images are left out; label corrections are applied.
    """
    from unveil.common.files import require_path
    from unveil.common.paths import ARCHIVE, JOURNAL, MANIFEST
    from unveil.config import params
    from unveil.data import export_archive

    source = require_path(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    counts = export_archive.export(source, MANIFEST, target, params.load())
    print(f"{target}: " + ", ".join(f"{count} faces in {name}" for name, count in counts.items()))
    print(
        f"the export is recorded in {JOURNAL}; `unveil data erase` does not change exported files"
    )
