"""unveil data feedback: add images from user feedback to the dataset."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App

app = App()


@app.command()
def feedback(
    folder: Annotated[Path, typer.Argument(help="The folder of `unveil serve --feedback`.")],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET.zip", help="The zip file to write; it must not exist.")
    ],
) -> None:
    """Add feedback images to a copy of the dataset.

    Writes the current images, and those of FOLDER in the training split, to TARGET.zip for
    `unveil ingest`.
    """
    from unveil.common.files import require_path
    from unveil.common.paths import ARCHIVE
    from unveil.config import params
    from unveil.data import feedback_import, manifest

    source = require_path(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    counts = feedback_import.add_feedback(
        source, folder, target, manifest.archive_layout(params.load())
    )
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{target}: the current images and, in train, from feedback {summary}")
    print(f"review them, then: unveil ingest {target}, dvc repro, unveil data audit")
