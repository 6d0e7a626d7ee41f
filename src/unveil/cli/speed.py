"""unveil bench train: how fast a training is on this machine, and why."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command("train")
def bench_train(
    images: Annotated[int, typer.Option(min=64, help="Faces to learn from.")] = 512,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a fit that are timed.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Fits; the best epoch of all counts.")] = 2,
    architectures: Annotated[str, typer.Option(help="Some only, with commas between.")] = "",
    recipe: Annotated[str, typer.Option(help="Of params.yaml; by default the one chosen.")] = "",
    packed: Annotated[
        bool, typer.Option("--packed", help="Not drawn faces: data/03_packed.")
    ] = False,
) -> None:
    """Time epochs of every architecture against the usual way, and say where the time goes.

    Tables in Markdown: against image_dataset_from_directory, augmentation layers and fit; stage 1
    on cached features; the share of this machine's peak; one, two, four and eight times the rows.
    """
    from unveil.benchmarks.training import report
    from unveil.config import params

    loaded = params.load()
    keys = [loaded.named(key) for key in architectures.split(",")] if architectures else []
    plan = report.Plan(images, epochs, repeats, recipe, drawn=not packed)
    for page in report.pages(keys or list(loaded.architectures), plan):
        print(page, end="\n\n", flush=True)
