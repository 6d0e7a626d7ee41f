"""Who is asked: real faces before drawn ones, nothing replaced in silence, always by name."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests import bundles

from unveil import bundle, bundle_folder, lineage, origins
from unveil.errors import UserError
from unveil.paths import BUNDLE, LAST_GOOD, PACKED, PROMOTIONS, STARTER

LOOKS = ("skin_tone", "age_band", "glasses", "lighting", "member")
REAL, DRAWN = {"data": origins.REAL}, {"data": origins.DRAWN}


def named(folder: Path, name: str, lineage: dict) -> Path:
    return bundles.made(folder, architecture=name, lineage=lineage)


def promoted(*more: str) -> None:
    PROMOTIONS.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"candidate": "cnn3", "act": "promoted", "promoted": True, "version": "4"},
        {"candidate": "vgg16", "act": "refused", "promoted": False, "version": None},
    ]
    PROMOTIONS.write_text("".join(f"{json.dumps(one)}\n" for one in lines) + "".join(more))


def unveil(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def face(place) -> Path:
    Image.fromarray(bundles.quarter(3)).save("face.png")
    return place / "face.png"


def test_a_network_of_drawn_faces_never_stands_before_one_of_real_ones(face):
    named(STARTER, "came_along", {})
    named(BUNDLE, "of_drawings", {**DRAWN, "version": "1"})
    said = unveil("predict", face)
    first, second = said.stderr.splitlines()
    assert first == (
        "unveil: data/07_bundle is not asked, trained on: synthetic faces; `--bundle "
        "data/07_bundle` asks it"
    )
    assert second.startswith(
        "unveil: asks models/starter: came_along, trained on: real faces; under"
    )
    said = unveil("predict", face, "--bundle", BUNDLE)
    (line,) = said.stderr.splitlines()
    assert line.startswith(
        "unveil: asks data/07_bundle: of_drawings, version 1, trained on: synthetic faces; under"
    )
    assert said.returncode == 0


def test_the_champion_of_real_faces_answers_before_the_starter(face):
    named(STARTER, "came_along", {})
    named(BUNDLE, "champion", {**REAL, "version": 3})
    said = unveil("predict", face, "--format", "jsonl")
    assert json.loads(said.stdout)["model"] == {
        "architecture": "champion",
        "version": "3",
        "trained_on": "real faces",
        "digest": bundle.load(BUNDLE).digest[:12],
    }
    rows = unveil("predict", face, "--format", "csv").stdout.splitlines()
    assert rows[0].endswith("model_architecture,model_version,model_trained_on,model_digest")
    assert ",champion,3,real faces," in rows[1]


def test_a_bundle_that_does_not_say_what_it_learned_from_is_not_before_the_starter(place):
    named(BUNDLE, "older", {})
    assert lineage.chosen(None) == BUNDLE
    assert lineage.trained_on(bundle.load(BUNDLE)) == "not stated"
    named(STARTER, "came_along", {})
    assert lineage.chosen(None) == STARTER


def test_the_only_bundle_is_asked_by_name_where_it_is_of_drawn_faces(place):
    named(BUNDLE, "of_drawings", DRAWN)
    with pytest.raises(
        UserError, match="trained on synthetic faces; `--bundle data/07_bundle` asks"
    ):
        lineage.chosen(None)
    assert lineage.chosen(BUNDLE) == BUNDLE


def test_a_promoted_bundle_that_is_gone_is_never_replaced_in_silence(face):
    named(STARTER, "came_along", {})
    promoted('{"candidate": "cnn5_gr')
    for arguments in (["predict", face], ["serve", "--purpose", "my own front door", "--port", 0]):
        said = unveil(*arguments)
        (line,) = said.stderr.splitlines()
        assert said.returncode == 2
        assert line == (
            "unveil: version 4, cnn3, was promoted, but data/07_bundle is gone; `unveil export` "
            "makes it again, `--bundle models/starter` asks the network that came along"
        )
    assert unveil("predict", face, "--bundle", STARTER).returncode == 0


@pytest.mark.parametrize("left", ["nothing", "half a card", "no text"])
def test_a_bundle_that_cannot_be_read_is_a_line_and_not_the_starter(face, left):
    named(STARTER, "came_along", {})
    named(BUNDLE, "champion", REAL)
    card = BUNDLE / "bundle.json"
    content = card.read_bytes()
    damaged = {"half a card": content[: len(content) // 2], "no text": b"\xff\xfe\0"}
    card.unlink() if left == "nothing" else card.write_bytes(damaged[left])
    said = unveil("predict", face)
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith("unveil: data/07_bundle/bundle.json")


def test_the_copy_of_a_server_stands_for_its_own_bundle_alone(place):
    assert not lineage.is_kept(LAST_GOOD)
    named(STARTER, "came_along", {})
    LAST_GOOD.parent.mkdir(parents=True)
    shutil.copytree(STARTER, LAST_GOOD)
    assert not lineage.is_kept(LAST_GOOD)
    named(LAST_GOOD, "champion", DRAWN)
    assert not lineage.is_kept(LAST_GOOD)
    named(LAST_GOOD, "champion", REAL)
    assert lineage.is_kept(LAST_GOOD)


def test_a_server_does_not_take_drawings_in_the_place_of_faces(place):
    real = bundle.load(named(Path("real"), "champion", REAL))
    drawn = bundle.load(named(Path("drawn"), "of_drawings", DRAWN))
    lineage.require_no_worse(drawn, real)
    lineage.require_no_worse(drawn, drawn)
    with pytest.raises(UserError, match="drawn was trained on synthetic faces; start the server"):
        lineage.require_no_worse(real, drawn)


@pytest.mark.parametrize(
    ("members", "columns", "known"),
    [
        (["sample/train/happy/train_happy_0001.png"], (), origins.DRAWN),
        (["train/happy/0000001-train_happy_0001.png"], LOOKS, origins.DRAWN),
        (["train/happy/train_happy_0001.png"], (), origins.REAL),
        (["train/happy/1.png", "sample/train/sad/train_sad_0001.png"], (), origins.REAL),
        ([], (), origins.UNKNOWN),
    ],
)
def test_drawn_faces_are_known_by_their_names_and_groups(members, columns, known):
    assert origins.of(members, columns) == known


def test_what_was_packed_says_where_it_is_from(packed):
    assert origins.packed() == origins.REAL
    table = pd.read_parquet(PACKED / "train.parquet")
    table["member"] = [f"sample/train/sad/train_sad_{one:04}.png" for one in range(len(table))]
    table.to_parquet(PACKED / "train.parquet")
    assert origins.packed() == origins.DRAWN
    (PACKED / "train.parquet").unlink()
    assert origins.packed() == origins.UNKNOWN


@pytest.mark.parametrize("damage", [lambda whole: b"PAR1", lambda whole: whole[:-9]])
def test_a_damaged_table_of_packed_faces_is_one_line(packed, damage):
    table = PACKED / "train.parquet"
    table.write_bytes(damage(table.read_bytes()))
    with pytest.raises(UserError, match=r"train.parquet cannot be read: .*`unveil pack` makes"):
        origins.packed()


def test_a_decision_that_is_nested_too_deep_is_passed_over(face):
    PROMOTIONS.parent.mkdir(parents=True, exist_ok=True)
    PROMOTIONS.write_text("[" * 100_000 + "\n")
    assert lineage.promoted() is None


@pytest.mark.parametrize("kept", [{"thesis.txt"}, {"bundle.json", "thesis.txt"}, {"README.md"}])
def test_a_folder_with_more_than_a_bundle_is_never_replaced(tmp_path, kept):
    for name in kept:
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=r"replaces its folder as a whole; name a new") as refused:
        bundle_folder.refuse_other_content(tmp_path)
    assert "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_file_and_a_folder_below_are_never_replaced_by_a_bundle(tmp_path):
    bundles.made(tmp_path / "b")
    (tmp_path / "b/notes").mkdir()
    (tmp_path / "file").write_text("mine")
    for path, said in ((tmp_path / "b", "has 'notes'"), (tmp_path / "file", "not a directory")):
        with pytest.raises(UserError, match=said):
            bundle_folder.refuse_other_content(path)


def test_a_folder_that_is_absent_or_empty_or_a_bundle_of_any_state_may_be_replaced(tmp_path):
    bundle_folder.refuse_other_content(tmp_path / "absent")
    bundle_folder.refuse_other_content(tmp_path)
    bundle_folder.refuse_other_content(bundles.made(tmp_path / "b"))
    (tmp_path / "b/bundle.json").write_text("{")
    bundle_folder.refuse_other_content(tmp_path / "b")
    (tmp_path / "b/bundle.json").unlink()
    bundle_folder.refuse_other_content(tmp_path / "b")


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--to", "notes"),
        ("export", "--architecture", "cnn3", "--to", "notes"),
        ("serve", "--purpose", "my own face in a video call", "--port", "0", "--keep", "notes"),
    ],
)
def test_export_and_serve_refuse_a_folder_of_a_person_before_they_work(place, command):
    bundles.made(place / "data/07_bundle")
    (place / "notes").mkdir()
    (place / "notes/thesis.txt").write_text("mine")
    began = [sys.executable, "-m", "unveil", *command]
    said = subprocess.run(began, capture_output=True, text=True, timeout=120)
    assert (said.returncode, len(said.stderr.splitlines())) == (2, 1)
    assert "notes has 'thesis.txt', which is no part of a bundle" in said.stderr
    assert [path.name for path in (place / "notes").iterdir()] == ["thesis.txt"]
