"""unveil predict: classify the faces in images, videos or a camera stream."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unveil.cli.commands import App
from unveil.common.errors import UserError

if TYPE_CHECKING:
    from unveil.inference.face_detector import DetectorSettings
    from unveil.inference.output_formats import Format
    from unveil.inference.predict import FacePrediction, PredictionSettings

app = App()

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATHS",
        help="Images, folders of images, patterns, or videos; - is an image on stdin.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Save images, or videos as mp4, with boxes and labels to DIR."
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(
        "--video", "--camera", metavar="FILE|N", help="A video file, or a camera number from 0."
    ),
]
Smallest = Annotated[
    int | None,
    typer.Option(
        "--min-face",
        min=12,
        help="Find faces from this many pixels, but at least 1/150 of the longer side. The default "
        "is 24, or 1/63 of the longer side if that is more, which is faster.",
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


@app.command()
def predict(
    paths: Inputs = None,
    watched: Stream = None,
    form: Annotated[
        Literal["text", "jsonl", "csv"],
        typer.Option("--format", help="The output format; one line per face."),
    ] = "text",
    annotated: Folder = None,
    faces: Annotated[
        bool, typer.Option("--faces", help="Skip face detection: each image is one face.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Name a class only above this probability, instead of the model's."
        ),
    ] = None,
    smallest: Smallest = None,
    name: Bundle = None,
) -> None:
    """Classify the apparent expression of every face.

    The result is a class, `unsure` with the most probable class, or `no face`. An image of at most
    64 pixels per side counts as one face. The default model is the champion in data/07_bundle if it
    was trained on real faces, otherwise the starter. The model that is used is printed to stderr.
    """
    if bool(paths) == (watched is not None):
        raise UserError("choose one input: PATHS, --video FILE or --camera N")

    from unveil.inference import bundle, face_detector, model_choice, sources
    from unveil.inference.predict import PredictionSettings

    files = sources.expand(paths or [])
    streams: list[Path | int] = [one for one in files if sources.is_video(one)]
    if watched is not None:
        streams = [int(watched) if watched.isdecimal() else Path(watched)]
    settings = PredictionSettings(
        # Several images run in parallel, one core each; in a stream the network uses all.
        bundle=bundle.load(model_choice.find_bundle(name), threads=0 if streams else 1),
        detect=face_detector.detector(_detection(smallest, faces=faces, is_video=bool(streams))),
        faces=faces,
        annotated=annotated,
        threshold=threshold,
    )
    if _print_all(_predictions(settings, files, streams), settings, form):
        raise typer.Exit(2)


def _detection(smallest: int | None, *, faces: bool, is_video: bool) -> "DetectorSettings":
    from unveil.inference import face_detector

    if faces and smallest is not None:
        raise UserError(
            "--min-face and --faces exclude each other: with --faces none is searched for"
        )
    if is_video and smallest is not None:
        raise UserError("--min-face is for images, not for a video")
    return face_detector.MOVING if is_video else face_detector.still(smallest)


def _predictions(
    settings: "PredictionSettings", files: list[Path], streams: list[Path | int]
) -> "Iterator[FacePrediction | UserError]":
    from unveil.inference import predict as predicts
    from unveil.inference import predict_video as predicts_video
    from unveil.inference import video

    if not streams:
        yield from predicts.predict(files, settings)
    for source, target in zip(streams, _targets(streams, settings.annotated), strict=True):
        with video.opened(source, settings.limits) as stream:
            for seen in predicts_video.predict_video(stream, str(source), settings, target):
                yield from seen
            if stream.damaged:
                packets = f"{stream.damaged} damaged packet{'s' * (stream.damaged != 1)}"
                yield UserError(f"{source}: {packets}; their frames are missing")


def _targets(streams: list[Path | int], folder: Path | None) -> Sequence[Path | None]:
    from unveil.inference.annotated_names import refuse_overwriting, video_names

    if folder is None:
        return [None] * len(streams)
    paths = [Path(f"camera{one}") if isinstance(one, int) else one for one in streams]
    return [folder / name for _, name in refuse_overwriting(list(video_names(paths)), folder)]


def _print_all(
    seen: "Iterator[FacePrediction | UserError]", settings: "PredictionSettings", form: "Format"
) -> bool:
    """Print all results; return whether an input could not be read."""
    from unveil.inference import model_choice, output_formats

    failed, classes = False, settings.bundle.classes
    model = model_choice.describe(settings.bundle)
    sentence = model_choice.summary(settings.bundle, threshold=settings.threshold)
    if first := output_formats.header(form, classes):
        print(first)
    for one in seen:
        if isinstance(one, UserError):
            failed = True
            print(one, file=sys.stderr)
        else:
            if sentence:
                print(f"unveil: {sentence}", file=sys.stderr)
                sentence = ""
            print(output_formats.line(one, form, classes, model), flush=True)
    return failed
