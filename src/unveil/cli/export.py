"""unveil export: write a network as an ONNX bundle for serving."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App
from unveil.common import backend
from unveil.common.paths import BUNDLE

app = App()


@app.command()
def export(
    architecture: Annotated[
        str | None,
        typer.Option(help="Export this trained architecture instead of the champion."),
    ] = None,
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to write the bundle to.")
    ] = BUNDLE,
) -> None:
    """Export the champion as an ONNX bundle.

    The bundle was made when the champion was promoted; this command restores it unchanged. With
    --architecture a new bundle is made, and its predictions are compared with those of Keras.
    """
    from unveil.config import params
    from unveil.inference.bundle_files import refuse_other_content

    refuse_other_content(to)
    backend.load()

    from unveil.export import export as exports
    from unveil.promotion import release

    if architecture:
        result = exports.export(exports.trained(architecture, params.load()), to)
    else:
        result = release.install(to)
    print(exports.summary(result))
