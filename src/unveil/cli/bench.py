"""unveil bench: measure speed and memory on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli import bench_detect, bench_serve, bench_train
from unveil.cli.commands import App

app = App(help="Measure speed and memory on this machine.", no_args_is_help=True)
app.add_typer(bench_train.app)
app.add_typer(bench_serve.app)
app.add_typer(bench_detect.app)


@app.command("data")
def bench_data(
    source: Annotated[
        Path, typer.Argument(help="Images to process: a zip file, a folder, or fer2013.csv.")
    ],
) -> None:
    """Measure the time and memory of the data stages.

    Runs ingest, manifest, validate and pack on SOURCE.
    """
    from unveil.benchmarks import data as benches

    print(benches.table(benches.data(source)))
