"""unveil bench detect: measure face detection on pictures with marked faces."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App

app = App()


@app.command("detect")
def bench_detect(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    boxes: Annotated[
        Path,
        typer.Argument(
            help='The faces, as JSON: {"file.jpg": [[left, top, width, height], ...]}. Pictures '
            "that are not named have none."
        ),
    ],
    other: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Another detector: a Python function that takes an RGB array and returns boxes.",
        ),
    ] = None,
) -> None:
    """Measure recall, false faces, overlap and time of face detection."""
    from unveil.benchmarks import detection

    finders = detection.own_detectors()
    if other is not None:
        finders[other] = detection.other_detector(other)
    print(detection.table(detection.measure(folder, detection.read_boxes(boxes), finders)))
