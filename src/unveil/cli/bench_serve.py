"""unveil bench serve: measure inference latency and throughput."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App

app = App()


@app.command("serve")
def bench_serve(
    calls: Annotated[
        int,
        typer.Option(
            min=2, help="Number of single faces to time; a third as many frames are also timed."
        ),
    ] = 1000,
    requests: Annotated[
        int,
        typer.Option(min=10, help="Number of requests to the server before measuring its memory."),
    ] = 2000,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The `unveil` executable of another build: measures only both servers, in turns.",
        ),
    ] = None,
) -> None:
    """Measure inference latency and throughput.

    Measures the bundle that `unveil predict` uses, in this process and behind `unveil serve`.
    """
    from unveil.benchmarks import comparison, inference, serving
    from unveil.inference import model_choice

    folder = model_choice.choose_bundle()
    if against is not None:
        print(comparison.table(comparison.compare(folder, against)))
        return
    print(inference.table(inference.measure(folder, calls=calls)))
    print(f"\n{serving.table(serving.server(folder, requests=requests))}")
