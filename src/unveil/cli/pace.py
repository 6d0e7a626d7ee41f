"""unveil bench serve: how quickly a bundle answers."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command("serve")
def bench_serve(
    calls: Annotated[int, typer.Option(min=2, help="Single faces; a third of that frames.")] = 1000,
) -> None:
    """Time the bundle that `unveil predict` asks: one face, frames, batches, files."""
    from unveil import bundle, pace

    print(pace.table(pace.measure(bundle.found(), calls=calls)))
