"""`unveil predict`: one line for each face, and a picture without one is no emotion."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests import bundles, scenes

from unveil import bundle, detect, lines, predict, video
from unveil.errors import UserError
from unveil.images import Limits
from unveil.paths import BUNDLE, STARTER
from unveil.predict import Asked, Seen

HEAVY = ("keras", "tensorflow", "mlflow", "pandas", "sklearn", "prefect", "dvc", "onnx")


@pytest.fixture
def asked(place) -> Asked:
    bundles.made(BUNDLE)
    return Asked(bundle=bundle.load(BUNDLE, threads=1), detect=detect.detector())


def saved(name: str, picture: np.ndarray) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def test_a_face_alone_is_asked_about_as_it_is(asked):
    for place, name in enumerate(bundles.CLASSES):
        (seen,) = predict.predict([saved("face.png", bundles.quarter(place))], asked)
        assert (seen.answer.emotion, seen.face, seen.box) == (name, 0, None)


def test_every_face_of_a_picture_is_told_of_with_its_place(asked):
    path = saved("two.png", scenes.scene((40, 40, 140), (340, 60, 240)))
    seen = list(predict.predict([path], asked))
    assert [one.face for one in seen] == [0, 1]
    assert all(one.answer.emotion in bundles.CLASSES for one in seen)
    assert seen[0].box[2] > seen[1].box[2] > 100


def test_no_face_is_an_answer_never_an_emotion(asked):
    (seen,) = predict.predict([saved("none.png", np.full((200, 300), 99, np.uint8))], asked)
    assert (seen.answer.emotion, seen.answer.reason) == (None, "no_face")
    assert (seen.face, seen.box) == (None, None)


def test_a_large_picture_is_one_face_when_that_is_said(asked):
    import dataclasses

    path = saved("large.png", bundles.quarter(2, 300))
    (seen,) = predict.predict([path], dataclasses.replace(asked, faces=True))
    assert seen.answer.emotion == "sad"


def test_an_unsure_network_names_no_class(place):
    bundles.made(BUNDLE, abstain_below=0.9)
    asked = Asked(bundle=bundle.load(BUNDLE), detect=detect.detector())
    (seen,) = predict.predict([saved("gray.png", np.full((48, 48), 99, np.uint8))], asked)
    assert (seen.answer.emotion, seen.answer.reason) == (None, "unsure")
    assert sum(seen.answer.probabilities.values()) == pytest.approx(1)


def test_folders_are_searched_in_order_and_what_cannot_be_read_is_named(asked):
    for number in range(40):
        saved(f"many/{number % 3}/{number:02d}.png", bundles.quarter(number % 4))
    (Path("many/1") / "text.jpg").write_text("no face")
    (Path("many/1") / "notes.txt").write_text("no picture")
    answers = list(predict.predict([Path("many"), Path("nowhere.png")], asked))
    wrong = [str(one) for one in answers if isinstance(one, UserError)]
    assert wrong == ["many/1/text.jpg: not an image", "nowhere.png: no such file or directory"]
    told = [one for one in answers if isinstance(one, Seen)]
    assert [one.source for one in told] == sorted(one.source for one in told)
    assert len(told) == 40
    for one in told:
        assert one.answer.emotion == bundles.CLASSES[int(Path(one.source).stem) % 4]


def test_annotated_pictures_have_a_box_where_the_face_is(asked):
    import dataclasses

    path = saved("a/one.png", scenes.scene((60, 40, 200)))
    marked = dataclasses.replace(asked, annotated=Path("shown"))
    (seen,) = predict.predict([path], marked)
    with Image.open("shown/a_one.png") as image:
        pixels = np.asarray(image)
    x, y, width, _ = seen.box
    assert pixels.shape == (480, 640, 3)
    assert tuple(pixels[y, x + width // 2]) == (255, 210, 0)
    assert path.exists()


def test_a_picture_that_is_a_face_has_its_label_too_and_one_without_a_face_has_none(asked):
    import dataclasses

    face, wall = bundles.quarter(3), np.full((200, 300), 99, np.uint8)
    marked = dataclasses.replace(asked, annotated=Path("shown"))
    list(predict.predict([saved("face.png", face), saved("wall.png", wall)], marked))
    for name, inks in (("face", 2), ("wall", 0)):
        with Image.open(f"shown/{name}.png") as image:
            pixels = np.asarray(image)
        assert (pixels == (255, 210, 0)).all(2).sum(1)[20] == 2 * inks


def test_no_annotated_picture_takes_the_place_of_another(asked):
    import dataclasses

    names = ("a/b.png", "a_b.png", "a_b-2.png", "a_b.jpg", "a_b.jpg.png")
    paths = [saved(name, bundles.quarter(place % 4)) for place, name in enumerate(names)]
    marked = dataclasses.replace(asked, annotated=Path("shown"))
    list(predict.predict([*paths, Path("../") / Path.cwd().name / "a_b.png"], marked))
    assert len(list(Path("shown").iterdir())) == 6


@pytest.mark.parametrize("folder", [".", "a", "../{place}"])
def test_a_picture_is_never_replaced_by_its_annotated_copy(asked, place, folder):
    import dataclasses

    names = ("face.png", "other.png", "a/face.png", "a/a_face.png")
    paths = [saved(name, bundles.quarter(number)) for number, name in enumerate(names)]
    before = {path: path.read_bytes() for path in paths}
    marked = dataclasses.replace(asked, annotated=Path(folder.format(place=place.name)))
    with pytest.raises(UserError, match="would be replaced by its annotated copy; name another"):
        list(predict.predict(paths, marked))
    assert {path: path.read_bytes() for path in paths} == before
    assert sorted(Path().rglob("*.png")) == sorted(paths)


def test_frames_larger_or_smaller_than_a_picture_may_be_are_refused(place):
    path = scenes.film(Path("film.avi"), [np.zeros((48, 64), np.uint8)] * 2)
    for limits, said in (
        (Limits(max_pixels=3000), "more than 3000"),
        (Limits(min_side=50), "side"),
    ):
        with (
            pytest.raises(UserError, match=rf"film\.avi: frames of 64x48 pixels.*{said}"),
            video.opened(path, limits) as frames,
        ):
            list(frames)
    with video.opened(path, Limits(max_pixels=64 * 48)) as frames:
        assert len(list(frames)) == 2


def moving() -> list[np.ndarray]:
    return [scenes.scene((40 + 6 * step, 100, 200)) for step in range(12)]


def test_a_face_in_a_video_keeps_its_number_and_every_frame_is_told(asked):
    path = scenes.film(Path("film.avi"), [*moving(), np.full((480, 640), 99, np.uint8)])
    with video.opened(path) as frames:
        seen = [one for some in predict.watch(frames, "film.avi", asked) for one in some]
    assert [round(one.time, 2) for one in seen] == [round(step / 25, 2) for step in range(13)]
    assert {one.face for one in seen[:-1]} == {0}
    assert seen[-1].answer.reason == "no_face"
    assert seen[0].box[0] < seen[11].box[0]


def test_a_video_that_is_none_is_named(place):
    (place / "film.avi").write_text("no film")
    for source, said in ((Path("film.avi"), "cannot be opened"), (Path("gone.avi"), "not there")):
        with pytest.raises(UserError, match=said), video.opened(source):
            raise AssertionError
    with pytest.raises(UserError, match="camera 97 cannot be opened"), video.opened(97):
        raise AssertionError


def test_csv_and_json_lines_say_the_same(asked):
    paths = [saved("two.png", scenes.scene((40, 40, 140), (340, 60, 240)))]
    paths += [saved("none.png", np.full((200, 300), 99, np.uint8))]
    seen, classes = list(predict.predict(paths, asked)), bundles.CLASSES
    objects = [json.loads(lines.line(one, "jsonl", classes)) for one in seen]
    text = "\n".join(
        [lines.head("csv", classes), *(lines.line(one, "csv", classes) for one in seen)]
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(objects) == 3
    for row, said in zip(rows, objects, strict=True):
        assert row["source"] == said["source"]
        assert row["emotion"] == (said["emotion"] or "")
        assert row["reason"] == (said["reason"] or "")
        assert [row[name] for name in ("x", "y", "width", "height")] == [
            str(value) for value in said["box"] or [""] * 4
        ]
        for name, value in said["probabilities"].items():
            assert float(row[f"p_{name}"]) == pytest.approx(value)


def unveil(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", "predict", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_command_tells_of_pictures_and_ends_with_2_when_one_was_unreadable(place):
    bundles.made(STARTER)
    saved("face.png", bundles.quarter(3))
    (place / "text.jpg").write_text("no face")
    said = unveil("face.png", "text.jpg")
    assert said.stdout.startswith("face.png: surprise  (happy 0.000")
    asks, unreadable = said.stderr.splitlines()
    assert asks.startswith("unveil: asks models/starter: quarters, trained on: real faces")
    assert unreadable == "text.jpg: not an image"
    assert said.returncode == 2


def test_a_folder_without_a_picture_is_named(place):
    bundles.made(STARTER)
    Path("empty").mkdir()
    Path("empty/notes.txt").touch()
    said = unveil("empty")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("unveil: empty has no picture; they end in .bmp, ")
    assert len(said.stderr.splitlines()) == 1


def test_the_command_watches_a_video(place):
    bundles.made(BUNDLE)
    scenes.film(Path("film.avi"), moving()[:3])
    said = unveil("--video", "film.avi", "--format", "jsonl", "--annotated", "shown")
    assert said.returncode == 0, said.stderr
    assert [json.loads(line)["face"] for line in said.stdout.splitlines()] == [0, 0, 0]
    assert len(list(Path("shown").iterdir())) == 3
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "choose what to look at: PATHS, --video FILE or --camera N"),
        (["a.png", "--camera", "0"], "choose what to look at"),
        (["--camera", "97"], "camera 97 cannot be opened"),
        (["--video", "gone.avi"], "gone.avi is not there"),
        (["a.png", "--detector", "gone.onnx"], "gone.onnx is not there"),
    ],
)
def test_a_mistake_is_one_line(place, arguments, named):
    bundles.made(BUNDLE)
    said = unveil(*arguments)
    assert said.returncode == 2
    assert said.stderr.startswith("unveil: ") and named in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_predicting_loads_no_training(place):
    bundles.made(BUNDLE)
    saved("face.png", scenes.scene((60, 40, 200)))
    code = (
        "import sys; from unveil.cli import app\n"
        "try: app(['predict', 'face.png'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == "[]", said.stderr


def test_the_frames_of_a_video_are_gray_whatever_its_colours(place):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[..., 1] = 200
    writer = cv2.VideoWriter("c.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(frame)
    writer.release()
    with video.opened(Path("c.avi")) as frames:
        (one,) = frames
    assert (one.number, one.time, one.pixels.shape) == (0, 0.0, (48, 64))
    assert abs(int(one.pixels.mean()) - 117) < 4
