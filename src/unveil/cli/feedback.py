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
    from unveil.common.files import existing
    from unveil.common.paths import ARCHIVE
    from unveil.config import params
    from unveil.data import feedback_import, manifest

    source = existing(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    counts = feedback_import.enlarge(source, folder, target, manifest.layout(params.load()))
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{target}: the faces of now and, in train, of feedback {said}")
    print(f"look at them, then: unveil ingest {target}, dvc repro, unveil data audit")
