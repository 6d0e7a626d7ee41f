"""What `predict` and `video` share: options, and predictions -> lines on stdout and stderr."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unveil.common.errors import UserError

if TYPE_CHECKING:
    from unveil.inference.predict import FacePrediction, PredictionSettings

Format = Literal["text", "jsonl", "csv"]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Name each class only above this probability, not the model's own."
    ),
]
Bundle = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="NAME|DIR",
        help="The model: starter, champion, or the folder of a bundle.",
    ),
]


def print_all(
    seen: "Iterator[FacePrediction | UserError]",
    settings: "PredictionSettings",
    form: Format,
    ending: str = "",
) -> None:
    """Print all results, then ``ending`` on stderr; exit with 2 if an input could not be read."""
    from tqdm import tqdm

    from unveil.inference import model_choice, output_formats

    failed, classes = False, settings.bundle.classes
    model = model_choice.describe(settings.bundle)
    sentence = model_choice.summary(settings.bundle, threshold=settings.threshold)
    if first := output_formats.header(form, classes):
        print(first)
    # A progress bar on the same terminal steps aside.
    on_terminal = sys.stdout.isatty() or sys.stderr.isatty()
    aside = tqdm.external_write_mode if on_terminal else nullcontext
    for one in seen:
        with aside():
            if isinstance(one, UserError):
                failed = True
                print(one, file=sys.stderr)
                continue
            if sentence:
                print(f"unveil: {sentence}", file=sys.stderr)
                sentence = ""
            print(output_formats.line(one, form, classes, model), flush=True)
    if ending:
        print(f"unveil: {ending}", file=sys.stderr)
    if failed:
        raise typer.Exit(2)
