"""A video whose frames change their size: every frame is answered, and faces keep their numbers."""

from pathlib import Path

import av
import cv2
import pytest
from tests.support import bundles, films, scenes

from unveil.common.paths import BUNDLE
from unveil.inference import bundle, face_detector, picture_sizes, video
from unveil.inference.predict import FacePrediction, PredictionSettings
from unveil.inference.predict_streams import predict_streams

COUNT = 10


def joined(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Join videos of the same scene in these sizes; MPEG-TS and raw H.264 allow it."""
    picture, parts = scenes.scene((200, 100, 240)), []
    for place, size in enumerate(sizes):
        part = path.with_stem(f"part{place}")
        frames = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA)] * COUNT
        parts.append(films.h264(part, frames, start=place * COUNT).read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("suffix", [".ts", ".h264"])
@pytest.mark.parametrize(
    "sizes",
    [[(640, 480), (320, 240), (640, 480)], [(640, 480), (480, 640)], [(320, 240), (640, 480)]],
)
def test_all_frames_are_answered_and_the_face_keeps_its_number(place, suffix, sizes):
    bundles.made(BUNDLE)
    settings = PredictionSettings(
        bundle.load(BUNDLE), face_detector.detector(picture_sizes.MOVING), annotated=Path("shown")
    )
    path = joined(Path(f"film{suffix}"), sizes)
    seen = list(predict_streams([path], settings))
    assert all(isinstance(one, FacePrediction) for one in seen)
    assert [one.face for one in seen] == [0] * COUNT * len(sizes)
    for place_of, (width, _) in enumerate(sizes):
        middle = seen[place_of * COUNT + COUNT // 2].box
        assert middle[0] + middle[2] / 2 == pytest.approx(320 / 640 * width, abs=width / 12)
    with av.open("shown/film.mp4") as container:
        copies = list(container.decode(video=0))
    assert len(copies) == len(seen)
    assert {(one.width, one.height) for one in copies} == {sizes[0]}


def test_the_frames_have_the_size_that_they_have_in_the_file(place):
    with video.opened(joined(Path("film.ts"), [(640, 480), (320, 240)])) as stream:
        shapes = [frame.pixels.shape for frame in stream.frames]
    assert shapes == [(480, 640, 3)] * COUNT + [(240, 320, 3)] * COUNT
