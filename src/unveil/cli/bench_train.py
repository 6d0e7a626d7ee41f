"""unveil bench train: measure training speed on this machine."""

from typing import Annotated

import typer

from unveil.cli.commands import App

app = App()


@app.command("train")
def bench_train(
    images: Annotated[int, typer.Option(min=64, help="Number of training images.")] = 512,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs to time per run.")] = 3,
    repeats: Annotated[
        int, typer.Option(min=1, help="Number of training runs; the fastest epoch counts.")
    ] = 2,
    architectures: Annotated[
        str, typer.Option(help="Architectures to measure, separated by commas; default all.")
    ] = "",
    recipe: Annotated[
        str, typer.Option(help="A recipe of params.yaml; default the selected one.")
    ] = "",
    packed: Annotated[
        bool,
        typer.Option("--packed", help="Use the images of data/03_packed, not synthetic faces."),
    ] = False,
) -> None:
    """Measure training speed per architecture.

    Prints Markdown tables: comparison with image_dataset_from_directory, augmentation layers and
    fit; stage 1 on cached features; utilisation of this machine's peak performance; scaling to
    one, two, four and eight times as many images.
    """
    from unveil.benchmarks.training import report
    from unveil.config import params

    loaded = params.load()
    keys = (
        [loaded.require_architecture(key) for key in architectures.split(",")]
        if architectures
        else []
    )
    plan = report.Plan(images, epochs, repeats, recipe, drawn=not packed)
    for page in report.pages(keys or list(loaded.architectures), plan):
        print(page, end="\n\n", flush=True)
