"""unveil video: a file, a camera or a URL, and only the frames that are asked for."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import pytest
from tests.support import bundles, films, rtsp, scenes, terminal

from unveil.common.paths import BUNDLE

COMMAND = [sys.executable, "-m", "unveil", "video"]


@pytest.fixture
def clip(place) -> Path:
    bundles.made(BUNDLE)
    return films.h264(Path("clip.mp4"), [scenes.scene((200, 100, 240))] * 100)


def unveil(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120)


def test_a_span_of_a_file_is_predicted_and_annotated(clip):
    options = ["--from", "0:01.5", "--to", "3", "--every", "10"]
    completed = unveil("clip.mp4", *options, "--format", "jsonl", "--annotated", "shown")
    assert completed.returncode == 0, completed.stderr
    seen = [json.loads(line) for line in completed.stdout.splitlines()]
    assert [one["time"] for one in seen] == pytest.approx([1.52, 1.92, 2.32, 2.72])
    assert {(one["face"], one["source"]) for one in seen} == {(0, "clip.mp4")}
    assert len(completed.stderr.splitlines()) == 1
    with av.open("shown/clip.mp4") as container:
        copy = container.streams.video[0]
        assert (copy.frames, float(copy.average_rate)) == (4, 2.5)


def test_predict_and_video_give_the_same_lines(clip):
    options = ("--format", "csv", "--threshold", "0.3", "--bundle", "champion")
    completed = unveil("clip.mp4", *options)
    command = [sys.executable, "-m", "unveil", "predict", "clip.mp4", *options]
    other = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert completed.returncode == other.returncode == 0
    assert completed.stdout == other.stdout
    assert len(list(csv.DictReader(io.StringIO(completed.stdout)))) == 100


def test_a_camera_over_rtsp_is_predicted_and_its_password_is_not_shown(place):
    bundles.made(BUNDLE)
    frame = cv2.cvtColor(scenes.scene((200, 100, 240)), cv2.COLOR_GRAY2RGB)
    with rtsp.serving([frame] * 50, user="anna:geheim") as server:
        url = f"rtsp://anna:geheim@127.0.0.1:{server.port}/live"
        completed = unveil(url, "--fps", "5", "--annotated", "shown")
    assert completed.returncode == 0, completed.stderr
    lines = completed.stdout.splitlines()
    assert 9 <= len(lines) <= 12
    assert all(one.startswith(f"rtsp://127.0.0.1:{server.port}/live ") for one in lines)
    assert [path.name for path in Path("shown").iterdir()] == [f"127.0.0.1_{server.port}_live.mp4"]
    assert "geheim" not in completed.stdout + completed.stderr


@pytest.mark.fault("a connection lost in a video")
def test_a_lost_connection_exits_with_2_after_the_frames_so_far(place, clip):
    films.h264(Path("cut.ts"), films.counted(100, side=96))
    with films.web(place) as host:
        url = f"http://anna:geheim@{host}/cut.ts"
        completed = unveil(url, "--format", "jsonl")
    assert completed.returncode == 2
    seen = [json.loads(line) for line in completed.stdout.splitlines()]
    assert 20 <= len(seen) < 80
    assert f"\nhttp://{host}/cut.ts: the stream ended early, after " in completed.stderr
    assert "geheim" not in completed.stdout + completed.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["0", "--from", "3"], "--from: camera 0 is a camera, which has no start and no end"),
        (["97"], "camera 97 cannot be opened as a video"),
        (["clip.mp4", "--from", "1:30"], "--from 90 is beyond the end of clip.mp4, which lasts 4."),
        (["clip.mp4", "--from", "-1"], "--from -1: not a time in the video; choose seconds from 0"),
        (["clip.mp4", "--from", "3", "--to", "2"], "--to 2 is not after the start at 3; choose a"),
        (["clip.mp4", "--every", "2", "--fps", "2"], "--every and --fps exclude each other"),
        (["ftp://anna:geheim@host/a"], "ftp://host/a: unknown kind of URL 'ftp'; choose from rtsp"),
        (["gone.mp4"], "gone.mp4 is not there; name a video file"),
        (["face.png"], "face.png is an image; `unveil predict face.png` takes images"),
    ],
)
def test_a_mistake_is_one_line(clip, arguments, named):
    completed = unveil(*arguments)
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr.startswith(f"unveil: {named}")
    assert len(completed.stderr.splitlines()) == 1


@pytest.mark.parametrize("output", [Path("lines.txt"), None])
def test_progress_is_on_a_terminal_and_the_lines_stay_whole(place, output):
    bundles.made(BUNDLE)
    films.h264(Path("long.mp4"), (one for _ in range(100) for one in films.counted(50, side=128)))
    pattern = r"video: +\d+%.* \d+/5000 \[\d\d:\d\d<[\d:]+, +[\d.]+ frames/s\]"
    text = terminal.shown([*COMMAND, "long.mp4"], pattern, output)
    assert " 0/5000" not in text  # it appears after two seconds
    lines = output.read_text().splitlines() if output else re.findall(r"long\.mp4[^\r\n]*", text)
    assert len(lines) > 20
    # The last one may be cut by the interrupt.
    assert {re.sub(r"[\d.]+ s", "", one) for one in lines[:-1]} == {
        "long.mp4 : no face of 24 pixels or more"
    }


def test_an_interrupted_stream_keeps_its_annotated_frames(place):
    bundles.made(BUNDLE)
    with rtsp.serving(films.counted(50, side=128), "silence") as server:
        url = f"rtsp://127.0.0.1:{server.port}/live"
        command = [*COMMAND, url, "--annotated", "shown"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            lines = [process.stdout.readline() for _ in range(20)]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
    assert all(line.startswith(url.encode()) for line in lines)
    assert process.returncode == 130
    (copy,) = Path("shown").iterdir()
    with av.open(str(copy)) as container:
        assert len(list(container.decode(video=0))) >= 19
