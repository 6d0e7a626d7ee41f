"""unveil data feedback: what people consented to, for the next version of the faces."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def feedback(
    folder: Annotated[Path, typer.Argument(help="That of `unveil serve --feedback`.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET.zip", help="A zip that is new.")],
) -> None:
    """Write the archive with the faces of feedback in train, to be taken in by `unveil ingest`."""
    from unveil import enlarge, manifest, params
    from unveil.files import existing
    from unveil.paths import ARCHIVE

    source = existing(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    counts = enlarge.enlarge(source, folder, target, manifest.layout(params.load()))
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{target}: the faces of now and, in train, of feedback {said}")
    print(f"look at them, then: unveil ingest {target}, dvc repro, unveil data audit")
