"""unveil predict: what faces in pictures, a video or before a camera look like."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unveil.errors import UserError

if TYPE_CHECKING:
    from unveil import lines
    from unveil.predict import Asked, Seen

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

    from unveil import bundle, detect, lineage
    from unveil.predict import Asked

    asked = Asked(
        # One thread for a picture where all cores have pictures.
        bundle=bundle.load(lineage.chosen(asks), threads=1 if paths else 0),
        detect=detect.named(detector, reach=detect.STILL if paths else detect.MOVING),
        faces=faces,
        annotated=annotated,
    )
    if _told(_seen(asked, paths or [], watched), asked, form):
        raise typer.Exit(2)


def _seen(asked: "Asked", paths: list[Path], watched: str | None) -> "Iterator[Seen | UserError]":
    from unveil import predict as predicts
    from unveil import video

    if watched is None:
        yield from predicts.predict(paths, asked)
        return
    source = int(watched) if watched.isdecimal() else Path(watched)
    with video.opened(source, asked.limits) as frames:
        for seen in predicts.watch(frames, watched, asked):
            yield from seen


def _told(seen: "Iterator[Seen | UserError]", asked: "Asked", form: "lines.Format") -> bool:
    """Print it all; says whether something could not be read."""
    from unveil import lineage, lines

    failed, classes = False, asked.bundle.classes
    model, sentence = lineage.described(asked.bundle), lineage.sentence(asked.bundle)
    if first := lines.head(form, classes):
        print(first)
    for one in seen:
        if isinstance(one, UserError):
            failed = True
            print(one, file=sys.stderr)
        else:
            if sentence:
                print(f"unveil: {sentence}", file=sys.stderr)
                sentence = ""
            print(lines.line(one, form, classes, model), flush=True)
    return failed
