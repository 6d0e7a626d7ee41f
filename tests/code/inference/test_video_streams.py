"""Videos from a URL: a real web server and a real RTSP server, both on 127.0.0.1."""

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import bundles, films, rtsp, scenes

from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE
from unveil.inference import bundle, face_detector, picture_sizes, video, video_source
from unveil.inference.frame_choice import FrameChoice
from unveil.inference.predict import FacePrediction, PredictionSettings
from unveil.inference.predict_streams import predict_streams
from unveil.inference.video_frames import Frame
from unveil.inference.video_source import Address, parse

COUNT = 75
SECRETS = ("anna", "geheim")


def shown(url: str, **choice) -> list[Frame]:
    with video.opened(Address(url), choice=FrameChoice(**choice)) as stream:
        return list(stream.frames)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_video_is_read_over_http(place, suffix):
    films.h264(Path(f"film.{suffix}"), films.counted(COUNT))
    with films.web(place) as host:
        frames = shown(f"http://{host}/film.{suffix}")
    with video.opened(Path(f"film.{suffix}")) as stream:
        expected = list(stream.frames)
    assert [one.time for one in frames] == [one.time for one in expected]
    assert films.numbers(frames) == films.numbers(expected)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here to make a certificate")
def test_a_certificate_that_nobody_signed_is_refused_and_a_trusted_one_is_not(place, monkeypatch):
    films.h264(Path("film.mp4"), films.counted(COUNT))
    signed = films.certificate(place / "own.pem")
    with films.web(place, signed) as host:
        url = f"https://anna:geheim@{host}/film.mp4"
        with pytest.raises(UserError, match=r"https://127.*this machine trusts its certificate"):
            shown(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(signed))
        assert len(shown(url)) == COUNT


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_span_of_a_video_over_http_needs_no_server_that_can_jump(place, suffix):
    films.h264(Path(f"film.{suffix}"), films.counted(COUNT))
    with films.web(place) as host:
        frames = shown(f"http://{host}/film.{suffix}", start=1.5, end=2.0)
        assert [one.time for one in frames] == pytest.approx(np.arange(38, 50) / 25)
        with pytest.raises(UserError, match=r"--from 9 is beyond the end of http://.*lasts 3\.00"):
            shown(f"http://{host}/film.{suffix}", start=9)


def test_a_span_of_a_live_stream_is_refused(place):
    films.h264(Path("film.ts"), films.counted(9))
    with films.web(place) as host:
        for url in (f"http://{host}/film.ts", "rtsp://127.0.0.1:1/live"):
            with pytest.raises(UserError, match=r"--from and --to: .* is a live stream, which has"):
                shown(url, start=1, end=2)
    with (
        pytest.raises(UserError, match=r"--to: camera 0 is a camera, which has no start"),
        video.opened(0, choice=FrameChoice(end=2)),
    ):
        raise AssertionError


def test_a_video_is_read_over_rtsp_with_a_password():
    frames = films.counted(COUNT, side=128)
    with rtsp.serving(frames, user="anna:geheim @1") as server:
        got = shown(f"rtsp://anna:geheim%20%401@127.0.0.1:{server.port}/live")
        assert len(got) == COUNT
        assert films.numbers(got) == pytest.approx(range(COUNT), abs=2)
        assert got[-1].time == pytest.approx((COUNT - 1) / 25, abs=0.1)
        with pytest.raises(UserError, match=r"rtsp://127.*/live cannot be opened.*401") as raised:
            shown(f"rtsp://anna:geheim@127.0.0.1:{server.port}/live")
    assert not any(secret in str(raised.value) for secret in SECRETS)


def test_a_large_frame_in_many_packets_arrives_whole():
    gray = np.random.default_rng(0).integers(0, 256, (3, 240, 320, 1)).astype(np.uint8)
    noise = np.repeat(gray, 3, 3)
    with rtsp.serving(list(noise)) as server:
        got = shown(f"rtsp://127.0.0.1:{server.port}/live")
    assert [one.pixels.shape for one in got] == [(240, 320, 3)] * 3
    assert np.abs(got[-1].pixels.astype(int) - noise[-1]).mean() < 12


@contextmanager
def silent() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def full() -> Iterator[int]:
    """A server with a full queue: further connections wait, as for a host that is not there."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp"])
@pytest.mark.parametrize("host", [silent, full])
def test_a_host_that_does_not_answer_is_given_up(monkeypatch, scheme, host):
    monkeypatch.setattr(video_source, "TIMEOUT", 0.5)
    with host() as port, pytest.raises(UserError) as raised:
        shown(f"{scheme}://anna:geheim@127.0.0.1:{port}/live")
    said = f"{scheme}://127.0.0.1:{port}/live cannot be opened as a video: no answer within 0.5 s"
    assert str(raised.value).partition(";")[0] == said


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp"])
def test_a_host_that_refuses_is_named_without_the_password(scheme):
    with silent() as port:
        pass
    with pytest.raises(UserError) as raised:
        shown(f"{scheme}://anna:geheim@127.0.0.1:{port}/live?token=geheim")
    text = str(raised.value)
    assert f"{scheme}://127.0.0.1:{port}/live?token=*** cannot be opened as a video: " in text
    assert "refused" in text and not any(secret in text for secret in SECRETS)


def test_a_stream_that_ends_before_its_first_frame_is_one_line(settings):
    films.h264(Path("film.mp4"), films.counted(COUNT))
    content = Path("film.mp4").read_bytes()
    # The server sends half of the file: the list of the frames, and none of them.
    Path("cut.mp4").write_bytes(content[: 2 * (content.index(b"mdat") + 4)])
    with films.web(Path.cwd()) as host, pytest.raises(UserError) as raised:
        predicted(f"http://anna:geheim@{host}/cut.mp4", settings)
    expected = f"http://{host}/cut.mp4: the stream ended before its first frame: "
    assert str(raised.value).startswith(expected)
    assert not Path("shown").exists() or not list(Path("shown").iterdir())


@pytest.fixture
def settings(place) -> PredictionSettings:
    bundles.made(BUNDLE)
    return PredictionSettings(
        bundle.load(BUNDLE), face_detector.detector(picture_sizes.MOVING), annotated=Path("shown")
    )


def predicted(url: str, settings: PredictionSettings) -> tuple[list[FacePrediction], list[str]]:
    seen = list(predict_streams([Address(url)], settings))
    faces = [one for one in seen if isinstance(one, FacePrediction)]
    return faces, [str(one) for one in seen if isinstance(one, UserError)]


@pytest.mark.fault("a connection lost in a video")
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_the_frames_before_a_lost_connection_stand_and_the_loss_is_said(settings, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 96, 96, 3)).astype(np.uint8)
    films.h264(Path(f"cut.{suffix}"), list(noise))
    with films.web(Path.cwd()) as host:
        faces, losses = predicted(f"http://anna:geheim@{host}/cut.{suffix}", settings)
    content = Path(f"cut.{suffix}").read_bytes()
    Path(f"half.{suffix}").write_bytes(content[: len(content) // 2])
    with video.opened(Path(f"half.{suffix}")) as stream:
        there = len(list(stream.frames))
    # The decoder holds two frames back, which belong to the result.
    assert 25 <= there - 1 <= len(faces) <= there + 1
    assert {one.source for one in faces} == {f"http://{host}/cut.{suffix}"}
    *_, last = losses
    expected = rf"http://{host}/cut\.{suffix}: the stream ended early, after {len(faces)} frames: "
    assert re.match(expected, last)
    assert [path.name for path in Path("shown").iterdir()] == [f"{host.replace(':', '_')}_cut.mp4"]


@pytest.mark.fault("a camera that falls silent")
def test_a_camera_that_falls_silent_ends_the_stream(settings, monkeypatch):
    monkeypatch.setattr(video_source, "TIMEOUT", 1.0)
    film = [np.repeat(scenes.scene((100, 60, 200))[..., None], 3, 2)] * 60
    with rtsp.serving(film, "silence") as server:
        url = f"rtsp://127.0.0.1:{server.port}/live"
        faces, losses = predicted(url, settings)
    assert losses == [f"{url}: the stream ended early, after 60 frames: no answer within 1 s"]
    assert [one.face for one in faces] == [0] * 60


def test_an_rtsp_video_that_states_its_length_and_is_cut_ended_early(settings):
    with rtsp.serving(films.counted(COUNT), "cut") as server:
        url = f"rtsp://127.0.0.1:{server.port}/live"
        faces, losses = predicted(url, settings)
    assert len(faces) == COUNT
    expected = f"after {COUNT} frames: its end is at {rtsp.RANGE:.2f} s"
    assert losses == [f"{url}: the stream ended early, {expected}"]


def test_an_rtsp_video_that_ends_as_announced_is_no_error(settings):
    with rtsp.serving(films.counted(5)) as server:
        faces, losses = predicted(f"rtsp://127.0.0.1:{server.port}/live", settings)
    assert (len(faces), losses) == (5, [])


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Redirect(Quiet):
    """Sends every reader elsewhere."""

    target = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.target)
        self.end_headers()


class Pictures(Quiet):
    """A camera that sends one JPEG after the other, without times."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=next")
        self.end_headers()
        for frame in films.counted(30):
            _, jpeg = cv2.imencode(".jpg", frame)
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
        self.wfile.write(b"--next--\r\n")


def test_pictures_without_times_have_the_time_of_their_arrival():
    with films.answering(Pictures) as host:
        frames = shown(f"http://{host}/video.mjpg")
    assert films.numbers(frames) == pytest.approx(range(30), abs=2)
    times = [one.time for one in frames]
    assert times == sorted(times)
    assert not any(one == pytest.approx(place / 25) for place, one in enumerate(times) if place)


@pytest.mark.parametrize("target", ["file://{place}/film.ts", "https://{host}/film.ts"])
def test_a_redirect_leads_to_no_other_protocol(place, monkeypatch, target):
    films.h264(Path("film.ts"), films.counted(9))
    with films.web(place) as host, films.answering(Redirect) as other:
        monkeypatch.setattr(Redirect, "target", f"http://{host}/film.ts")
        assert len(shown(f"http://{other}/film.ts")) == 9
        monkeypatch.setattr(Redirect, "target", target.format(place=place, host=host))
        with pytest.raises(UserError, match="it may lead to a URL of another kind"):
            shown(f"http://{other}/film.ts")


def test_a_playlist_on_a_server_reads_no_file_of_this_machine(place):
    films.h264(Path("film.ts"), films.counted(9))
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", "{}", "#EXT-X-ENDLIST", ""]
    with films.web(place) as host:
        for name, part in (("own", f"http://{host}/film.ts"), ("file", f"file://{place}/film.ts")):
            Path(f"{name}.m3u8").write_text("\n".join(lines).format(part))
        assert len(shown(f"http://{host}/own.m3u8")) == 9
        with pytest.raises(UserError, match="cannot be opened as a video"):
            shown(f"http://{host}/file.m3u8")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "ftp://anna:geheim@h/a.mp4",
            "ftp://h/a.mp4: unknown kind of URL 'ftp'; choose from rtsp,",
        ),
        ("file:///etc/passwd", "unknown kind of URL 'file'"),
        ("photo.JPG", "photo.JPG is an image; `unveil predict photo.JPG` takes images"),
        (".", ". is a folder; name a video file, a camera number or a URL"),
    ],
)
def test_what_is_no_video_is_named_with_the_choices(text, named):
    with pytest.raises(UserError) as raised:
        parse(text)
    assert named in str(raised.value) and "geheim" not in str(raised.value)


def test_sources_are_told_apart():
    assert parse("2") == 2
    assert parse("clip.mp4") == Path("clip.mp4")
    assert str(parse("RTSP://anna:geheim@h:8554/a/b.sdp?x=1")) == "RTSP://h:8554/a/b.sdp?x=1"
    assert parse("https://anna:geheim@[::1]:8/a b.mp4?x#y").stem == "1_8_a_b"


@given(st.text(st.characters(exclude_characters="/?#"), min_size=6))
def test_no_password_is_in_the_text_of_an_address(password):
    address = Address(f"rtsp://anna:{password}@camera.example/live")
    assert str(address) == "rtsp://camera.example/live"
    assert "anna" not in repr(address)
    assert address.stem == "camera.example_live"
