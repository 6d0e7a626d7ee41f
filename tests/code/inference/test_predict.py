"""`unveil predict`: one line per face, and no emotion without a face."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support import bundles, scenes, terminal

from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE, STARTER
from unveil.inference import bundle, face_detector, output_formats, predict
from unveil.inference.predict import FacePrediction, PredictionSettings

HEAVY = ("keras", "tensorflow", "mlflow", "pandas", "sklearn", "prefect", "dvc", "onnx")


@pytest.fixture
def settings(place) -> PredictionSettings:
    bundles.made(BUNDLE)
    return PredictionSettings(
        bundle=bundle.load(BUNDLE, threads=1), detect=face_detector.detector()
    )


def saved(name: str, picture: np.ndarray) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def test_a_cropped_face_is_predicted_unchanged(settings):
    for place, name in enumerate(bundles.CLASSES):
        (seen,) = predict.predict([saved("face.png", bundles.quarter(place))], settings)
        assert (seen.answer.emotion, seen.face, seen.box) == (name, 0, None)


def test_every_face_of_a_picture_is_predicted_with_its_box(settings):
    path = saved("two.png", scenes.scene((40, 40, 140), (340, 60, 240)))
    seen = list(predict.predict([path], settings))
    assert [one.face for one in seen] == [0, 1]
    assert all(one.answer.emotion in bundles.CLASSES for one in seen)
    assert seen[0].box[2] > seen[1].box[2] > 100


def test_no_face_is_an_answer_never_an_emotion(settings):
    (seen,) = predict.predict([saved("none.png", np.full((200, 300), 99, np.uint8))], settings)
    assert (seen.answer.emotion, seen.answer.reason) == (None, "no_face")
    assert (seen.face, seen.box, seen.smallest) == (None, None, 24)


def test_the_smallest_size_that_is_looked_for_is_said_and_can_be_chosen(place):
    bundles.made(BUNDLE)
    picture = np.full((1600, 2400), 120, np.uint8)
    picture[400:450, 600:650] = np.asarray(Image.fromarray(scenes.drawn()).resize((50, 50)))
    saved("large.png", picture)
    saved("plain.png", np.full((1600, 2400), 120, np.uint8))
    assert unveil("plain.png").stdout == "plain.png: no face of 24 pixels or more\n"
    for options in ((), ("--min-face", "24")):
        (found,) = unveil("large.png", *options, "--format", "jsonl").stdout.splitlines()
        x, y, width, _ = json.loads(found)["box"]
        assert (600 <= x < x + width <= 650, 400 <= y <= 450) == (True, True)
    refused = unveil("large.png", "--min-face", "5")
    assert (refused.returncode, "12" in refused.stderr) == (2, True)
    assert "with --faces none" in unveil("large.png", "--min-face", "30", "--faces").stderr
    assert "--min-face is for images, not for a video" in unveil("a.mp4", "--min-face", "30").stderr
    assert (
        "--turned and --faces exclude each other" in unveil("a.png", "--turned", "--faces").stderr
    )


def test_faces_that_lie_on_their_side_are_found_if_asked_for(place):
    bundles.made(BUNDLE)
    lying = np.rot90(scenes.scene((120, 60, 220), size=(400, 640)))
    Image.fromarray(np.ascontiguousarray(lying)).save("lying.png")
    (found,) = unveil("lying.png", "--turned", "--format", "jsonl").stdout.splitlines()
    x, y, width, height = json.loads(found)["box"]
    # The face is at 120 to 340 from the left and 60 to 280 from the top, before it is turned.
    assert 60 <= x + width / 2 <= 280
    assert 300 <= y + height / 2 <= 520


def test_with_faces_a_large_picture_is_one_face(settings):
    import dataclasses

    path = saved("large.png", bundles.quarter(2, 300))
    (seen,) = predict.predict([path], dataclasses.replace(settings, faces=True))
    assert seen.answer.emotion == "sad"


def test_an_unsure_network_names_no_class(place):
    bundles.made(BUNDLE, abstain_below=0.9)
    settings = PredictionSettings(bundle=bundle.load(BUNDLE), detect=face_detector.detector())
    (seen,) = predict.predict([saved("gray.png", np.full((48, 48), 99, np.uint8))], settings)
    assert (seen.answer.emotion, seen.answer.reason) == (None, "unsure")
    assert sum(seen.answer.probabilities.values()) == pytest.approx(1)


def test_folders_are_read_in_order_and_unreadable_files_are_named(settings):
    for number in range(40):
        saved(f"many/{number % 3}/{number:02d}.png", bundles.quarter(number % 4))
    (Path("many/1") / "text.jpg").write_text("no face")
    (Path("many/1") / "notes.txt").write_text("no picture")
    answers = list(predict.predict([Path("many"), Path("nowhere.png")], settings))
    wrong = [str(one) for one in answers if isinstance(one, UserError)]
    assert wrong == ["many/1/text.jpg: not an image", "nowhere.png: no such file or directory"]
    predictions = [one for one in answers if isinstance(one, FacePrediction)]
    assert [one.source for one in predictions] == sorted(one.source for one in predictions)
    assert len(predictions) == 40
    for one in predictions:
        assert one.answer.emotion == bundles.CLASSES[int(Path(one.source).stem) % 4]


def test_annotated_pictures_have_a_box_where_the_face_is(settings):
    import dataclasses

    path = saved("a/one.png", scenes.scene((60, 40, 200)))
    marked = dataclasses.replace(settings, annotated=Path("shown"))
    (seen,) = predict.predict([path], marked)
    with Image.open("shown/a_one.png") as image:
        pixels = np.asarray(image)
    x, y, width, _ = seen.box
    assert pixels.shape == (480, 640, 3)
    assert tuple(pixels[y, x + width // 2]) == (255, 210, 0)
    assert path.exists()


def test_a_cropped_face_is_labelled_too_and_a_picture_without_a_face_is_not(settings):
    import dataclasses

    face, wall = bundles.quarter(3), np.full((200, 300), 99, np.uint8)
    marked = dataclasses.replace(settings, annotated=Path("shown"))
    list(predict.predict([saved("face.png", face), saved("wall.png", wall)], marked))
    for name, inks in (("face", 2), ("wall", 0)):
        with Image.open(f"shown/{name}.png") as image:
            pixels = np.asarray(image)
        assert (pixels == (255, 210, 0)).all(2).sum(1)[20] == 2 * inks


def test_no_annotated_picture_overwrites_another(settings):
    import dataclasses

    names = ("a/b.png", "a_b.png", "a_b-2.png", "a_b.jpg", "a_b.jpg.png")
    paths = [saved(name, bundles.quarter(place % 4)) for place, name in enumerate(names)]
    marked = dataclasses.replace(settings, annotated=Path("shown"))
    list(predict.predict([*paths, Path("../") / Path.cwd().name / "a_b.png"], marked))
    assert len(list(Path("shown").iterdir())) == 6


@pytest.mark.parametrize("folder", [".", "a", "../{place}"])
def test_an_annotated_copy_never_overwrites_a_picture(settings, place, folder):
    import dataclasses

    names = ("face.png", "other.png", "a/face.png", "a/a_face.png")
    paths = [saved(name, bundles.quarter(number)) for number, name in enumerate(names)]
    before = {path: path.read_bytes() for path in paths}
    changed = dataclasses.replace(settings, annotated=Path(folder.format(place=place.name)))
    with pytest.raises(UserError, match=r"the annotated copy would overwrite .*; name another"):
        list(predict.predict(paths, changed))
    assert {path: path.read_bytes() for path in paths} == before
    assert sorted(Path().rglob("*.png")) == sorted(paths)


def test_csv_and_json_lines_agree(settings):
    paths = [saved("two.png", scenes.scene((40, 40, 140), (340, 60, 240)))]
    paths += [saved("none.png", np.full((200, 300), 99, np.uint8))]
    seen, classes = list(predict.predict(paths, settings)), bundles.CLASSES
    objects = [json.loads(output_formats.line(one, "jsonl", classes)) for one in seen]
    text = "\n".join(
        [
            output_formats.header("csv", classes),
            *(output_formats.line(one, "csv", classes) for one in seen),
        ]
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(objects) == 3
    for row, record in zip(rows, objects, strict=True):
        assert row["source"] == record["source"]
        assert row["emotion"] == (record["emotion"] or "")
        assert row["reason"] == (record["reason"] or "")
        assert [row[name] for name in ("x", "y", "width", "height")] == [
            str(value) for value in record["box"] or [""] * 4
        ]
        for name, value in record["probabilities"].items():
            assert float(row[f"p_{name}"]) == pytest.approx(value, abs=1e-6)


def unveil(*arguments: str, sent: bytes | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", "predict", *arguments]
    done = subprocess.run(command, capture_output=True, input=sent, timeout=120)
    return subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_the_command_predicts_pictures_and_exits_with_2_if_one_is_unreadable(place):
    bundles.made(STARTER)
    saved("face.png", bundles.quarter(3))
    (place / "text.jpg").write_text("no face")
    completed = unveil("face.png", "text.jpg")
    assert completed.stdout.startswith("face.png: surprise  (happy 0.000")
    bundle_line, unreadable = completed.stderr.splitlines()
    assert bundle_line.startswith("unveil: uses models/starter: quarters, trained on: real faces")
    assert unreadable == "text.jpg: not an image"
    assert completed.returncode == 2


def test_the_command_reads_an_image_from_standard_input(place):
    bundles.made(BUNDLE)
    sent = saved("face.png", bundles.quarter(2)).read_bytes()
    completed = unveil("-", "--annotated", "shown", sent=sent)
    assert (completed.returncode, completed.stdout[:7]) == (0, "-: sad ")
    assert [path.name for path in Path("shown").iterdir()] == ["stdin.png"]
    empty = unveil("-", sent=b"")
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "-: standard input is empty; pipe an image into the command" in empty.stderr


def test_a_closed_standard_input_is_one_line(place):
    bundles.made(BUNDLE)
    command = f"{sys.executable} -m unveil predict - <&-"
    completed = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 2
    assert completed.stderr == "-: standard input is empty; pipe an image into the command\n"


def test_the_largest_size_of_a_picture_is_named_and_can_be_chosen(place):
    bundles.made(BUNDLE)
    saved("face.png", bundles.quarter(2))
    size = "48x48 pixels, more than 2000 in all (max_pixels)"
    refused = unveil("face.png", "--max-pixels", "2000")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"face.png: {size}\n"
    assert unveil("face.png", "--max-pixels", "2304").stdout.startswith("face.png: sad ")


def test_the_command_expands_a_pattern(place):
    bundles.made(BUNDLE)
    for name in ("b.png", "a.png", "[c].png", "notes.txt"):
        saved("face.png", bundles.quarter(0)).rename(name)
    seen = [line.partition(":")[0] for line in unveil("*.png").stdout.splitlines()]
    assert seen == ["[c].png", "a.png", "b.png"]
    assert unveil("[c].png").stdout.startswith("[c].png: happy")


def test_an_output_folder_that_cannot_be_written_is_one_line(place):
    bundles.made(BUNDLE)
    saved("face.png", bundles.quarter(0))
    Path("shown").write_text("a file")
    completed = unveil("face.png", "--annotated", "shown")
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr.splitlines()[-1].startswith("unveil: shown")
    assert Path("shown").read_text() == "a file"


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".jpg"])
def test_every_suffix_of_a_jpeg_is_read(place, suffix):
    bundles.made(STARTER)
    path = saved("many/face.jpeg", bundles.quarter(0)).rename(f"many/face{suffix}")
    assert unveil("many").stdout.startswith(f"{path}: happy")


def test_a_folder_without_an_image_file_is_an_error(place):
    bundles.made(STARTER)
    Path("empty").mkdir()
    Path("empty/notes.txt").touch()
    completed = unveil("empty")
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr.startswith("unveil: empty contains no image file; supported suffixes: ")
    assert len(completed.stderr.splitlines()) == 1


def test_files_that_are_left_out_are_counted_and_videos_named(place):
    bundles.made(STARTER)
    saved("many/face.png", bundles.quarter(0))
    for name in ("a.txt", "b/b.TXT", "README", "b/my clip.mov", ".DS_Store", ".git/config"):
        Path("many", name).parent.mkdir(exist_ok=True)
        Path("many", name).touch()
    completed = unveil("many")
    assert completed.returncode == 0
    assert completed.stdout.startswith("many/face.png: happy")
    assert len(completed.stdout.splitlines()) == 1
    assert completed.stderr.splitlines()[1:] == [
        "unveil: left out 4 files: 2 .txt, 1 without suffix, 1 .mov; "
        "predict videos with `unveil predict 'many/b/my clip.mov'`"
    ]


def test_a_folder_of_videos_says_how_to_predict_them(place):
    bundles.made(STARTER)
    Path("clips").mkdir()
    for number in range(5):
        Path(f"clips/{number}.mp4").touch()
    completed = unveil("clips")
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr.endswith(
        "; predict videos with `unveil predict clips/0.mp4 clips/1.mp4 clips/2.mp4` (and 2 more)\n"
    )
    assert len(completed.stderr.splitlines()) == 1


def test_nothing_is_said_where_nothing_is_left_out(place):
    bundles.made(STARTER)
    saved("many/face.png", bundles.quarter(0))
    Path("many/.DS_Store").touch()
    assert len(unveil("many").stderr.splitlines()) == 1


def test_progress_over_a_folder_is_on_a_terminal(place):
    bundles.made(BUNDLE)
    first = saved("many/0.png", scenes.scene((40, 40, 140), (340, 60, 240)))
    for number in range(1, 3000):
        Path(f"many/{number}.png").hardlink_to(first)
    command = [sys.executable, "-m", "unveil", "predict", "many"]
    pattern = r"predict: +\d+%.* \d+/3000 \[\d\d:\d\d<[\d:]+, +[\d.]+ pictures/s\]"
    text = terminal.shown(command, pattern, Path("lines.txt"))
    assert "many/" not in text
    assert Path("lines.txt").read_text().startswith("many/0.png face 0 at ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "choose one input: PATHS, --video FILE or --camera N"),
        (["a.png", "--camera", "0"], "choose one input"),
        (["--camera", "97"], "camera 97 cannot be opened"),
        (["--video", "gone.avi"], "gone.avi is not there"),
        (["gone.mp4"], "gone.mp4 is not there"),
        (["a.png", "clip.mp4"], "clip.mp4 is a video and a.png is not; predict them one by one"),
        (["*.jpg"], "no file matches '*.jpg'"),
        (["-", "-"], "'-' is given twice; standard input is one image"),
        (["HTTPS://a.example/x.jpg"], "HTTPS://a.example/x.jpg is a URL; download the file"),
        (["rtsp://me:secret@host/live"], "rtsp://host/live is a URL; download the file and give "),
        (["--video", "rtsp://me:secret@host/live"], "rtsp://host/live is a URL; download"),
        (["rtsp://host/live"], "or use `unveil video URL` for a video"),
    ],
)
def test_a_mistake_is_one_line(place, arguments, named):
    bundles.made(BUNDLE)
    completed = unveil(*arguments)
    assert completed.returncode == 2
    assert completed.stderr.startswith("unveil: ") and named in completed.stderr
    assert len(completed.stderr.splitlines()) == 1


def test_predicting_loads_no_training(place):
    bundles.made(BUNDLE)
    saved("face.png", scenes.scene((60, 40, 200)))
    code = (
        "import sys; from unveil.cli import app\n"
        "try: app(['predict', 'face.png'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert completed.stdout.splitlines()[-1] == "[]", completed.stderr
