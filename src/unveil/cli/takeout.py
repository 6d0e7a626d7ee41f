"""unveil data export: the faces in use, for another program or place."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="TARGET.zip", help="A zip that is new.")],
) -> None:
    """Write the faces in use into an archive, with the splits and labels they have by now."""
    from unveil.common.files import existing
    from unveil.common.paths import ARCHIVE, JOURNAL, MANIFEST
    from unveil.config import params
    from unveil.data import export_archive

    source = existing(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    counts = export_archive.export(source, MANIFEST, target, params.load())
    print(f"{target}: " + ", ".join(f"{count} faces in {name}" for name, count in counts.items()))
    print(f"{JOURNAL} tells of it; an erasure does not reach it")
