"""unveil bench: what this machine takes for it."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli import pace, speed

app = typer.Typer(help="Measure speed and memory.", no_args_is_help=True)
app.add_typer(speed.app)
app.add_typer(pace.app)


@app.command("data")
def bench_data(
    source: Annotated[Path, typer.Argument(help="A zip, a folder, or a fer2013.csv.")],
) -> None:
    """Time ingest, manifest, validate and pack of SOURCE, and their memory."""
    from unveil.benchmarks import data as benches

    print(benches.table(benches.data(source)))
