"""unveil video: classify the faces in a video file, a camera or a network stream."""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App, with_options
from unveil.cli.predictions import Bundle, Format, Threshold, print_all

app = App()

Input = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A video file, a camera number from 0, or a URL: rtsp://, http:// or https://.",
    ),
]
Folder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Save an mp4 with boxes and labels to DIR.")
]
Every = Annotated[
    int | None,
    typer.Option(min=1, max=100_000, metavar="N", help="Classify each N-th frame."),
]
PerSecond = Annotated[
    float | None,
    typer.Option(
        "--fps",
        min=0.001,
        max=1000,
        metavar="F",
        help="Classify at most F frames in a second of the video, instead of --every.",
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="T",
        help="Start at this time of the file: seconds, or [h:]mm:ss[.fff].",
    ),
]
End = Annotated[
    str | None, typer.Option("--to", metavar="T", help="Stop before this time of the file.")
]


@dataclass(frozen=True)
class Chosen:
    """Which frames are classified."""

    every: Every = None
    per_second: PerSecond = None
    start: Start = None
    end: End = None


@app.command()
@with_options()
def video(
    source: Input,
    form: Annotated[
        Format, typer.Option("--format", help="The output format; one line per face.")
    ] = "text",
    annotated: Folder = None,
    threshold: Threshold = None,
    name: Bundle = None,
    frames: Chosen = Chosen(),
) -> None:
    """Classify the apparent expression of every face in a video, a camera or a stream.

    A face keeps its number over the frames. Times are those that the file states. If a connection
    is lost, the results so far stand, and the exit code is 2. A URL is printed without user and
    password. Stop a camera with Ctrl-C.
    """
    from unveil.inference import (
        bundle,
        face_detector,
        frame_choice,
        model_choice,
        picture_sizes,
        video_source,
    )
    from unveil.inference.predict import PredictionSettings
    from unveil.inference.predict_streams import predict_streams

    choice = frame_choice.choose(*astuple(frames))
    opened = video_source.parse(source)
    settings = PredictionSettings(
        bundle=bundle.load(model_choice.find_bundle(name), threads=0),
        detect=face_detector.detector(picture_sizes.MOVING),
        annotated=annotated,
        threshold=threshold,
    )
    print_all(predict_streams([opened], settings, choice), settings, form)
