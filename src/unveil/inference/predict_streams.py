"""Videos, cameras and URLs -> the predictions of all their faces, with progress on stderr."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from unveil.common.errors import UserError
from unveil.inference import video, video_source
from unveil.inference.annotated_names import refuse_overwriting, video_names
from unveil.inference.frame_choice import FrameChoice
from unveil.inference.predict import FacePrediction, PredictionSettings
from unveil.inference.predict_video import predict_video
from unveil.inference.progress import Progress
from unveil.inference.video_frames import Stream
from unveil.inference.video_source import Address, Source


def predict_streams(
    sources: Sequence[Source], settings: PredictionSettings, choice: FrameChoice = video.ALL
) -> Iterator[FacePrediction | UserError]:
    """Predict every face in the chosen frames of each source, one after the other.

    Annotated copies are written to the folder of the settings. What could not be read of a source
    yields a ``UserError`` after its predictions. Raises ``UserError`` if a source cannot be opened.
    """
    for source, target in zip(sources, _targets(sources, settings.annotated), strict=True):
        with (
            video.opened(source, settings.limits, choice) as stream,
            Progress(stream.total, "video", "frames") as bar,
        ):
            for seen in predict_video(stream, str(source), settings, target):
                yield from seen
                bar.update(stream.read - bar.n)
            yield from _losses(source, stream)


def _losses(source: Source, stream: Stream) -> Iterator[UserError]:
    name = video_source.name(source)
    if stream.damaged:
        packets = f"{stream.damaged} damaged packet{'s' * (stream.damaged != 1)}"
        yield UserError(f"{name}: {packets}; their frames are missing")
    if stream.lost:
        yield UserError(
            f"{name}: the stream ended early, after {stream.read} frames: {stream.lost}"
        )


def _targets(sources: Sequence[Source], folder: Path | None) -> Sequence[Path | None]:
    if folder is None:
        return [None] * len(sources)
    named = refuse_overwriting(list(video_names(map(_path, sources))), folder)
    return [folder / name for _, name in named]


def _path(source: Source) -> Path:
    if isinstance(source, int):
        return Path(f"camera{source}")
    return Path(f"{source.stem}.mp4") if isinstance(source, Address) else source
