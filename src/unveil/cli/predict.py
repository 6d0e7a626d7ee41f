"""unveil predict: classify the faces in images, videos or a camera stream."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.commands import App, with_options
from unveil.cli.predictions import Bundle, Format, Threshold, print_all
from unveil.common.errors import UserError

if TYPE_CHECKING:
    from unveil.inference.picture_sizes import DetectorSettings
    from unveil.inference.video_source import Source

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
Faces = Annotated[
    bool, typer.Option("--faces", help="Skip face detection: each image is one face.")
]
Smallest = Annotated[
    int | None,
    typer.Option(
        "--min-face",
        min=12,
        help="Find faces from this many pixels, but at least 1/150 of the longer side. The default "
        "is 24, or 1/63 of the longer side if that is more, which is faster. Where no face is "
        "found, smaller ones are searched for, down to the size given or 24 pixels, but at least "
        "1/256 of the longer side.",
    ),
]
Turned = Annotated[
    bool,
    typer.Option(
        "--turned",
        help="Find faces that lie on their side, too; it takes three times as long.",
    ),
]
Pixels = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        max=178_956_970,
        help="Maximum size of an image, in pixels, at most what Pillow opens; memory grows with "
        "it. A file may have as many bytes, at least 20 million.",
    ),
]


@dataclass(frozen=True)
class Search:
    """How faces are searched for, and in which images."""

    faces: Faces = False
    smallest: Smallest = None
    turned: Turned = False
    pixels: Pixels = 25_000_000


@app.command()
@with_options()
def predict(
    paths: Inputs = None,
    watched: Stream = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="The output format; one line per face."),
    ] = "text",
    annotated: Folder = None,
    threshold: Threshold = None,
    search: Search = Search(),
    name: Bundle = None,
) -> None:
    """Classify the apparent expression of every face.

    The result is a class, `unsure` with the most probable class, or `no face`. An image of at most
    64 pixels per side counts as one face. The default model is the champion in data/07_bundle if it
    was trained on real faces, otherwise the starter. The model that is used is printed to stderr.
    """
    if bool(paths) == (watched is not None):
        raise UserError("choose one input: PATHS, --video FILE or --camera N")

    from unveil.data.decoding import Limits
    from unveil.inference import bundle, face_detector, model_choice, sources
    from unveil.inference import predict as predicts
    from unveil.inference.predict import PredictionSettings
    from unveil.inference.predict_streams import predict_streams

    files = sources.expand(paths or [])
    streams: list[Source] = [one for one in files if sources.is_video(one)]
    if watched is not None:
        sources.refuse_url(watched)
        streams = [int(watched) if watched.isdecimal() else Path(watched)]
    images, left_out = ([], []) if streams else sources.search(files)
    settings = PredictionSettings(
        # Several images run in parallel, one core each; in a stream the network uses all.
        bundle=bundle.load(model_choice.find_bundle(name), threads=0 if streams else 1),
        detect=face_detector.detector(_detection(search, is_video=bool(streams))),
        faces=search.faces,
        limits=Limits().with_pixels(search.pixels),
        annotated=annotated,
        threshold=threshold,
    )
    seen = predict_streams(streams, settings) if streams else predicts.predict(images, settings)
    print_all(seen, settings, form, sources.describe(left_out) if left_out else "")


def _detection(search: Search, *, is_video: bool) -> "DetectorSettings":
    from unveil.inference import picture_sizes

    options = (("--min-face", search.smallest is not None), ("--turned", search.turned))
    given = [name for name, is_given in options if is_given]
    if search.faces and given:
        raise UserError(
            f"{given[0]} and --faces exclude each other: with --faces none is searched for"
        )
    if is_video and given:
        raise UserError(f"{given[0]} is for images, not for a video")
    settings = picture_sizes.MOVING if is_video else picture_sizes.files(search.smallest)
    return replace(settings, turned=search.turned)
