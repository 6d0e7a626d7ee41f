"""unveil export: a network in the form that serving asks."""

from pathlib import Path
from typing import Annotated

import typer

from unveil import backend
from unveil.paths import BUNDLE

app = typer.Typer()


@app.command()
def export(
    architecture: Annotated[
        str | None, typer.Option(help="A trained network of this project, not the champion.")
    ] = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where the bundle goes.")] = BUNDLE,
) -> None:
    """Write the champion as ONNX, proved to answer as Keras does, with its card.

    The champion's bundle was made when it was promoted: it is put back as it was.
    """
    from unveil import bundle_folder, params

    bundle_folder.refuse_other_content(to)
    backend.load()

    from unveil import export as exports
    from unveil import release

    if architecture:
        made = exports.export(exports.trained(architecture, params.load()), to)
    else:
        made = release.install(to)
    print(exports.told(made))
