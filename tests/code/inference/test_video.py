"""Videos: frames, tracked faces, and an annotated copy."""

import json
import re
import socket
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from tests.support import bundles, scenes

from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE
from unveil.data.decoding import Limits
from unveil.inference import annotated_video, bundle, face_detector, video, video_frames
from unveil.inference.predict import PredictionSettings
from unveil.inference.predict_video import predict_video


@pytest.fixture
def settings(place) -> PredictionSettings:
    bundles.made(BUNDLE)
    return PredictionSettings(bundle=bundle.load(BUNDLE), detect=face_detector.detector())


def unveil(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", "predict", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_frames_outside_the_size_limits_are_refused(place):
    path = scenes.film(Path("film.avi"), [np.zeros((48, 64), np.uint8)] * 2)
    for limits, message in (
        (Limits(max_pixels=3000), "more than 3000"),
        (Limits(min_side=50), "side"),
    ):
        with (
            pytest.raises(UserError, match=rf"film\.avi: frames of 64x48 pixels.*{message}"),
            video.opened(path, limits) as stream,
        ):
            list(stream.frames)
    with video.opened(path, Limits(max_pixels=64 * 48)) as stream:
        assert len(list(stream.frames)) == 2


def moving() -> list[np.ndarray]:
    return [scenes.scene((40 + 6 * step, 100, 200)) for step in range(12)]


def test_a_face_in_a_video_keeps_its_number_in_every_frame(settings):
    path = scenes.film(Path("film.avi"), [*moving(), np.full((480, 640), 99, np.uint8)])
    with video.opened(path) as stream:
        seen = [one for some in predict_video(stream, "film.avi", settings) for one in some]
    assert [round(one.time, 2) for one in seen] == [round(step / 25, 2) for step in range(13)]
    assert {one.face for one in seen[:-1]} == {0}
    assert seen[-1].answer.reason == "no_face"
    assert seen[0].box[0] < seen[11].box[0]


def test_an_unreadable_video_is_named(place):
    (place / "film.avi").write_text("no film")
    for source, message in (
        (Path("film.avi"), "cannot be opened"),
        (Path("gone.avi"), "not there"),
    ):
        with pytest.raises(UserError, match=message), video.opened(source):
            raise AssertionError
    with pytest.raises(UserError, match="camera 97 cannot be opened"), video.opened(97):
        raise AssertionError


@pytest.mark.parametrize("arguments", [["--video", "film.avi"], ["film.avi"]])
def test_the_command_predicts_a_video_and_annotates_a_copy(place, arguments):
    bundles.made(BUNDLE)
    scenes.film(Path("film.avi"), moving()[:3])
    completed = unveil(*arguments, "--format", "jsonl", "--annotated", "shown")
    assert completed.returncode == 0, completed.stderr
    assert [json.loads(line)["face"] for line in completed.stdout.splitlines()] == [0, 0, 0]
    assert [path.name for path in Path("shown").iterdir()] == ["film.mp4"]
    capture = cv2.VideoCapture("shown/film.mp4")
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    frames = [capture.read() for _ in range(4)]
    assert [there for there, _ in frames] == [True, True, True, False]
    # The label and the box are yellow, the film is gray.
    assert (np.ptp(frames[0][1].astype(int), axis=2) > 100).sum() > 500
    assert len(completed.stderr.splitlines()) == 1


def test_what_was_written_of_an_interrupted_video_is_kept(settings):
    path = scenes.film(Path("film.avi"), moving()[:4])
    with video.opened(path) as stream:
        seen = predict_video(stream, "0", settings, Path("shown/camera0.mp4"))
        next(seen)
        next(seen)
        seen.close()
    capture = cv2.VideoCapture("shown/camera0.mp4")
    assert [capture.read()[0] for _ in range(3)] == [True, True, False]


def test_annotated_videos_overwrite_neither_an_input_nor_one_another(place):
    bundles.made(BUNDLE)
    for name in ("a/film.avi", "b/film.avi"):
        Path(name).parent.mkdir()
        scenes.film(Path(name), moving()[:2])
    assert unveil("a/film.avi", "b/film.avi", "--annotated", "shown").returncode == 0
    assert sorted(path.name for path in Path("shown").iterdir()) == ["a_film.mp4", "b_film.mp4"]
    before = Path("shown/a_film.mp4").rename("film.mp4").read_bytes()
    completed = unveil("film.mp4", "--annotated", ".")
    assert completed.returncode == 2
    assert "unveil: the annotated copy would overwrite film.mp4; name another" in completed.stderr
    assert Path("film.mp4").read_bytes() == before


def test_an_interrupt_before_the_first_frame_stays_an_interrupt(place):
    with pytest.raises(KeyboardInterrupt), annotated_video.opened(Path("shown/film.mp4"), 25):
        raise KeyboardInterrupt
    assert not list(Path("shown").iterdir())


def test_a_video_that_cannot_be_written_is_one_line_and_leaves_no_file(place):
    too_wide = Image.new("RGB", (17_000, 32))
    with (
        pytest.raises(UserError, match=r"film\.mp4 cannot be written: ") as raised,
        annotated_video.opened(Path("a:b/film.mp4"), 25) as writer,
    ):
        writer.write(too_wide)
    assert "\n" not in str(raised.value)
    assert not list(Path("a:b").iterdir())


def test_a_video_without_a_frame_leaves_no_file(place):
    with (
        pytest.raises(UserError, match=r"film\.mp4: the video has no frame"),
        annotated_video.opened(Path("shown/film.mp4"), 25),
    ):
        pass
    assert not list(Path("shown").iterdir())


def test_the_frames_of_a_video_have_its_colours(place):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[..., 1] = 200
    writer = cv2.VideoWriter("c.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(frame)
    writer.release()
    with video.opened(Path("c.avi")) as stream:
        (one,) = stream.frames
    assert (one.number, one.time, one.pixels.shape) == (0, 0.0, (48, 64, 3))
    assert one.pixels.mean((0, 1)) == pytest.approx([0, 200, 0], abs=6)


def damaged(path: Path) -> Path:
    """Write a video of noise with H.264, with other bytes in its middle."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(60):
            pixels = noise.integers(0, 256, (240, 320, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60_000] = noise.bytes(60_000)
    path.write_bytes(content)
    return path


@pytest.mark.fault("a damaged video")
def test_the_rest_of_a_damaged_video_is_predicted_and_the_damage_is_said(place):
    bundles.made(BUNDLE)
    damaged(Path("film.mp4"))
    completed = unveil("film.mp4")
    assert completed.returncode == 2
    assert re.search(
        r"\nfilm\.mp4: \d damaged packets?; their frames are missing\n$", completed.stderr
    )
    assert "Traceback" not in completed.stderr
    assert 40 <= len(completed.stdout.splitlines()) < 60


def test_a_playlist_does_not_make_us_call_another_machine(place):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/part.ts"
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", address, "#EXT-X-ENDLIST", ""]
        Path("film.m3u8").write_text("\n".join(lines))
        with pytest.raises(UserError, match="cannot be opened"), video.opened(Path("film.m3u8")):
            raise AssertionError
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def h264(path: str, frames: list[np.ndarray]) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", 25, {"crf": "1"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_the_video_of_a_turned_phone_is_upright(place, quarter):
    upright = np.zeros((64, 128, 3), np.uint8)
    upright[:32, :64] = 255
    h264("film.mp4", [np.rot90(upright, quarter)])
    # The matrix of the track's header (ISO/IEC 14496-12) turns the frames back, clockwise.
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
    turned = (cosine, sine, 0, -sine, cosine, 0)
    matrix = struct.pack(">9i", *(one << 16 for one in turned), 0, 0, 1 << 30)
    content = bytearray(Path("film.mp4").read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + 36] = matrix
    Path("film.mp4").write_bytes(content)
    with video.opened(Path("film.mp4")) as stream:
        (frame,) = stream.frames
    assert frame.pixels.shape == upright.shape
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 5


def test_times_that_go_back_stand_still(place, monkeypatch):
    h264("film.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3)
    frames = [av.VideoFrame(64, 48, "rgb24") for _ in range(3)]
    for frame, moment in zip(frames, (5, 1000, 2), strict=True):
        frame.pts, frame.time_base = moment, Fraction(1)
    monkeypatch.setattr(video_frames, "_decoded", lambda *_: iter(frames))
    with video.opened(Path("film.mp4")) as stream:
        assert [frame.time for frame in stream.frames] == [5, 1000, 1000]


@pytest.mark.fault("a video cut off")
def test_what_was_recorded_of_a_cut_video_is_predicted(place):
    bundles.made(BUNDLE)
    path = scenes.film(Path("film.avi"), moving())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    completed = unveil("film.avi", "--format", "jsonl")
    assert "Traceback" not in completed.stderr
    assert 4 <= len(completed.stdout.splitlines()) <= 8


def test_the_times_are_those_of_the_container(place):
    with av.open("uneven.mkv", "w") as container:
        stream = container.add_stream("mpeg4", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for moment in (0, 40, 480, 2000):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with video.opened(Path("uneven.mkv")) as opened:
        assert [round(one.time, 2) for one in opened.frames] == [0, 0.04, 0.48, 2]
