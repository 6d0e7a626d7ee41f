"""Which frames of a file are read: each N-th, at most F per second, from one time to another."""

from pathlib import Path

import av
import pytest
from tests.support import bundles, films, scenes

from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE
from unveil.inference import bundle, face_detector, picture_sizes, video, video_frames
from unveil.inference.frame_choice import FrameChoice
from unveil.inference.predict import PredictionSettings
from unveil.inference.predict_video import predict_video

FORMATS = ("mp4", "mkv", "ts", "avi", "h264")
COUNT = 200


def shown(path: Path, **choice) -> list:
    with video.opened(path, choice=FrameChoice(**choice)) as stream:
        return list(stream.frames)


class Spy:
    """A decoded frame that counts its conversions to RGB."""

    converted = 0

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame

    def __getattr__(self, name: str):
        Spy.converted += name == "to_ndarray"
        return getattr(self._frame, name)


@pytest.fixture
def decoded(monkeypatch) -> list[Spy]:
    seen, real = [], video_frames._decoded
    Spy.converted = 0

    def spied(*arguments):
        for frame in real(*arguments):
            seen.append(Spy(frame))
            yield seen[-1]

    monkeypatch.setattr(video_frames, "_decoded", spied)
    return seen


def test_only_chosen_frames_are_converted_to_rgb(place, decoded):
    path = films.h264(Path("film.mp4"), films.counted(50))
    assert films.numbers(shown(path, every=20)) == pytest.approx([0, 20, 40], abs=2)
    assert (len(decoded), Spy.converted) == (50, 3)
    assert films.numbers(shown(path, per_second=5)) == pytest.approx(range(0, 50, 5), abs=2)
    assert Spy.converted == 13


@pytest.mark.parametrize("suffix", FORMATS)
def test_reading_starts_at_the_first_frame_of_the_span_and_stops_at_its_end(place, decoded, suffix):
    path = films.h264(Path(f"film.{suffix}"), films.counted(COUNT))
    every = shown(path)
    assert len(every) == COUNT
    decoded.clear()
    frames = shown(path, start=5.01, end=5.3)
    expected = [one for one in every if 5.01 <= one.time < 5.3]
    assert len(expected) in (7, 8)
    assert [one.time for one in frames] == pytest.approx([one.time for one in expected])
    assert films.numbers(frames) == films.numbers(expected)
    if suffix != "h264":  # it has no times to seek by
        assert len(decoded) < 100


@pytest.mark.parametrize("suffix", FORMATS[:-1])
@pytest.mark.parametrize("start", [0.0, 0.01, 1.0, 3.96, 7.9])
def test_no_frame_from_the_start_on_is_missing(place, suffix, start):
    path = films.h264(Path(f"film.{suffix}"), films.counted(COUNT))
    expected = [one.time for one in shown(path) if one.time >= start]
    assert [one.time for one in shown(path, start=start)] == pytest.approx(expected)


def test_the_first_frame_of_the_span_is_the_first_of_each_nth(place):
    path = films.h264(Path("film.mp4"), films.counted(COUNT))
    frames = shown(path, start=2.0, every=10, end=3.0)
    assert [one.time for one in frames] == pytest.approx([2.0, 2.4, 2.8])
    assert [one.number for one in frames] == [0, 10, 20]


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"start": 9.0}, "--from 9 is beyond the end of film.mp4, which lasts 8.00 s; choose an"),
        ({"start": 8.0}, "--from 8 is beyond the end of film.mp4, which lasts 8.00 s"),
        ({"end": 60.0}, "--to 60 is beyond the end of film.mp4, which lasts 8.00 s"),
    ],
)
def test_a_time_beyond_the_end_is_one_line_with_the_duration(place, choice, named):
    path = films.h264(Path("film.mp4"), films.counted(COUNT))
    with pytest.raises(UserError) as raised:
        shown(path, **choice)
    assert named in str(raised.value)
    assert len(shown(path, start=7.5, end=8.4)) == 12


def test_a_time_beyond_the_end_of_a_file_without_duration_is_found_by_reading(place):
    path = films.h264(Path("film.h264"), films.counted(50))
    with pytest.raises(UserError, match=r"--from 9 is beyond the end of film\.h264, which lasts 1"):
        shown(path, start=9.0)


def test_a_span_between_two_frames_is_one_line(place):
    path = films.h264(Path("film.mp4"), films.counted(50))
    with pytest.raises(UserError, match=r"no frame of film\.mp4 is from 1\.01 s to before 1\.02 s"):
        shown(path, start=1.01, end=1.02)


def test_a_file_that_starts_late_keeps_its_times(place):
    path = films.h264(Path("film.ts"), films.counted(50), start=1000)
    first, *_ = shown(path, start=41.0)
    assert 41.0 <= first.time < 41.05
    with pytest.raises(UserError, match=r"which lasts 2\.\d\d s, from 40\.\d\d s to 42\.\d\d s"):
        shown(path, start=50.0)
    with pytest.raises(UserError, match=r"--to 3 is before the start of film\.ts, which runs from"):
        shown(path, end=3.0)


def test_how_many_frames_will_be_read_is_known(place):
    path = films.h264(Path("film.mp4"), films.counted(COUNT))
    for choice, total in (({}, 200), ({"start": 2.0, "end": 3.0}, 25), ({"every": 9}, 200)):
        with video.opened(path, choice=FrameChoice(**choice)) as stream:
            list(stream.frames)
            assert (stream.total, stream.read) == (total, total)
    with video.opened(films.h264(Path("film.h264"), films.counted(9))) as stream:
        assert stream.total is None


@pytest.mark.parametrize(
    ("choice", "rate", "count"),
    [({"every": 5}, 5, 10), ({"per_second": 12.5}, 12.5, 25), ({"per_second": 99}, 25, 50)],
)
def test_the_annotated_video_has_the_speed_of_the_original(place, choice, rate, count):
    bundles.made(BUNDLE)
    settings = PredictionSettings(bundle.load(BUNDLE), face_detector.detector(picture_sizes.MOVING))
    path = films.h264(Path("film.mp4"), films.counted(50))
    with video.opened(path, choice=FrameChoice(**choice)) as stream:
        list(predict_video(stream, "film.mp4", settings, Path("shown/film.mp4")))
    with av.open("shown/film.mp4") as container:
        copy = container.streams.video[0]
        assert (float(copy.average_rate), copy.frames) == (rate, count)
        assert container.duration / av.time_base == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("choice", [{"every": 25}, {"per_second": 0.5}, {}])
def test_a_face_that_is_missed_in_one_frame_keeps_its_number(place, choice):
    bundles.made(BUNDLE)
    settings = PredictionSettings(bundle.load(BUNDLE), face_detector.detector(picture_sizes.MOVING))
    step = {"every": 25, "per_second": 50}
    between = next((step[name] for name in choice), 1)
    face, wall = scenes.scene((100, 60, 200)), scenes.scene()
    film = [one for one in (face, face, wall, face, face) for _ in range(between)]
    with video.opened(films.h264(Path("film.mkv"), film), choice=FrameChoice(**choice)) as stream:
        seen = list(predict_video(stream, "film.mkv", settings))
    assert [[one.face for one in frame] for frame in seen] == [[0], [0], [None], [0], [0]]
