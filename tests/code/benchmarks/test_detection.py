"""The measurement of face detectors: pairs of boxes, recall, false faces."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support import scenes

from unveil.benchmarks import detection
from unveil.common.errors import UserError

BOXES = st.lists(
    st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)), max_size=6
)


@given(BOXES, BOXES)
def test_each_box_is_in_one_pair_at_most(marked, found):
    overlaps = detection.match(marked, found)
    assert len(overlaps) <= min(len(marked), len(found))
    assert all(detection.MIN_IOU <= one <= 1 + 1e-9 for one in overlaps)
    assert detection.match(marked, marked) == pytest.approx([1.0] * len(marked))


def test_two_boxes_on_one_face_are_one_found_and_one_false():
    assert detection.match([(0, 0, 10, 10)], [(0, 0, 10, 9), (0, 0, 10, 10)]) == [1.0]


def test_the_overlap_of_a_pair_is_the_shared_part_of_both_boxes():
    assert detection.match([(0, 0, 10, 10)], [(5, 0, 10, 10)]) == [pytest.approx(50 / 150)]
    assert detection.match([(0, 0, 10, 10)], [(10, 0, 10, 10)]) == []


@pytest.fixture
def folder(place) -> Path:
    Path("pictures").mkdir()
    Image.fromarray(scenes.scene((60, 40, 200))).save("pictures/one.png")
    Image.fromarray(scenes.scene()).save("pictures/none.png")
    Path("boxes.json").write_text(json.dumps({"one.png": [[70, 60, 150, 150], [500, 300, 90, 90]]}))
    return Path("pictures")


def test_the_command_prints_a_row_for_each_detector(folder):
    Path("mine.py").write_text("def whole(picture):\n    return [(0, 0, *picture.shape[1::-1])]\n")
    command = [sys.executable, "-m", "unveil", "bench", "detect", "pictures", "boxes.json"]
    completed = subprocess.run(
        [*command, "--other", "mine:whole"], capture_output=True, text=True, timeout=120
    )
    rows = [line.split(" | ") for line in completed.stdout.splitlines() if " of 2 " in line]
    assert [row[:2] for row in rows] == [
        ["| pictures", "1 of 2"],
        ["| video mode", "1 of 2"],
        ["| mine:whole", "0 of 2"],
    ], completed.stderr
    assert [row[3] for row in rows] == ["0", "0", "2"]
    assert rows[0][2] == "0.500 [0.095, 0.905]"


def test_a_mistake_is_one_line(folder):
    finders = detection.own_detectors()
    with pytest.raises(UserError, match=r"pictures has no 'two\.png', for which there are boxes"):
        detection.measure(folder, {"two.png": []}, finders)
    for written, message in {
        "[]": "the file: Input should be .*; the form is",
        '{"a": [[1, 2, 3]]}': r"a\.0\.3: Field required; the form is",
        "{": "the file: Invalid JSON",
        '{"a": [[1, 2, -3, 4]]}': r"a\.0\.2: Input should be greater than 0",
        '{"a": [[1, NaN, 3, 4]]}': r"a\.0\.1: Input should be a finite number",
    }.items():
        Path("wrong.json").write_text(written)
        with pytest.raises(UserError, match=message) as raised:
            detection.read_boxes(Path("wrong.json"))
        assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        detection.read_boxes(Path("gone.json"))
    for name in ("nowhere:find", "json:find", "json", ":x", "json:__name__"):
        with pytest.raises(UserError, match=f"{name} is no function PACKAGE.MODULE:FUNCTION"):
            detection.other_detector(name)
