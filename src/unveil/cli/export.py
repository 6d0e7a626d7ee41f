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
    """Write the champion as ONNX, proved to answer as Keras does, with its card."""
    from unveil import params

    loaded = params.load()
    backend.load()

    from unveil import export as exports

    source = exports.trained(architecture, loaded) if architecture else exports.champion()
    print(exports.told(exports.export(source, to)))
