"""unveil bench: what this machine takes for it."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli import pace

app = typer.Typer(help="Measure speed and memory.", no_args_is_help=True)
app.add_typer(pace.app)


@app.command("data")
def bench_data(
    source: Annotated[Path, typer.Argument(help="A zip, a folder, or a fer2013.csv.")],
) -> None:
    """Time ingest, manifest, validate and pack of SOURCE, and their memory."""
    from unveil import bench as benches

    print(benches.table(benches.data(source)))
