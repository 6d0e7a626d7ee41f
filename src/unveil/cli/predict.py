"""unveil predict: what faces in pictures, a video or before a camera look like."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unveil.common.errors import UserError

if TYPE_CHECKING:
    from unveil.inference.predict import Asked, Seen
    from unveil.inference.writers import Format

app = typer.Typer()


@app.command()
def predict(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, and folders of pictures.")
    ] = None,
    watched: Annotated[
        str | None,
        typer.Option("--video", "--camera", metavar="FILE|N", help="A video, or a camera from 0."),
    ] = None,
    form: Annotated[
        Literal["text", "jsonl", "csv"], typer.Option("--format", help="One line for each face.")
    ] = "text",
    annotated: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where pictures with boxes and labels go.")
    ] = None,
    faces: Annotated[bool, typer.Option("--faces", help="Each picture is one face.")] = False,
    detector: Annotated[
        str | None,
        typer.Option(metavar="FILE[@SHA256]", help="YuNet, in place of the bundled cascade."),
    ] = None,
    asks: Annotated[
        Path | None, typer.Option("--bundle", metavar="DIR", help="Another bundle to ask.")
    ] = None,
) -> None:
    """Name the apparent expression of every face: a class, `unsure`, or `no face`.

    Pictures of 64 pixels or less are taken for faces. Asks data/07_bundle where that was trained on
    real faces, else models/starter; stderr says which.
    """
    if bool(paths) == (watched is not None):
        raise UserError("choose what to look at: PATHS, --video FILE or --camera N")

    from unveil.inference import bundle, face_detector, model_choice
    from unveil.inference.predict import Asked

    asked = Asked(
        # One thread for a picture where all cores have pictures.
        bundle=bundle.load(model_choice.chosen(asks), threads=1 if paths else 0),
        detect=face_detector.named(
            detector, reach=face_detector.STILL if paths else face_detector.MOVING
        ),
        faces=faces,
        annotated=annotated,
    )
    if _told(_seen(asked, paths or [], watched), asked, form):
        raise typer.Exit(2)


def _seen(asked: "Asked", paths: list[Path], watched: str | None) -> "Iterator[Seen | UserError]":
    from unveil.inference import predict as predicts
    from unveil.inference import video

    if watched is None:
        yield from predicts.predict(paths, asked)
        return
    source = int(watched) if watched.isdecimal() else Path(watched)
    with video.opened(source, asked.limits) as frames:
        for seen in predicts.watch(frames, watched, asked):
            yield from seen


def _told(seen: "Iterator[Seen | UserError]", asked: "Asked", form: "Format") -> bool:
    """Print it all; says whether something could not be read."""
    from unveil.inference import model_choice, writers

    failed, classes = False, asked.bundle.classes
    model, sentence = model_choice.described(asked.bundle), model_choice.sentence(asked.bundle)
    if first := writers.head(form, classes):
        print(first)
    for one in seen:
        if isinstance(one, UserError):
            failed = True
            print(one, file=sys.stderr)
        else:
            if sentence:
                print(f"unveil: {sentence}", file=sys.stderr)
                sentence = ""
            print(writers.line(one, form, classes, model), flush=True)
    return failed
