"""unveil bench serve: how quickly a bundle answers."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command("serve")
def bench_serve(
    calls: Annotated[int, typer.Option(min=2, help="Single faces; a third of that frames.")] = 1000,
    requests: Annotated[
        int, typer.Option(min=10, help="Of the server, after which its memory is looked at.")
    ] = 2000,
) -> None:
    """Time the bundle that `unveil predict` asks, in this process and behind `unveil serve`."""
    from unveil.benchmarks import inference, serving
    from unveil.inference import model_choice

    asked = model_choice.chosen(None)
    print(inference.table(inference.measure(asked, calls=calls)))
    print(f"\n{serving.table(serving.server(asked, requests=requests))}")
