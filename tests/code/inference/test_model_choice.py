"""Choice of the bundle: real before synthetic faces, and no silent replacement."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.support import bundles

from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE, LAST_GOOD, PACKED, PROMOTIONS, STARTER
from unveil.data import real_or_synthetic
from unveil.inference import bundle, model_choice

LOOKS = ("skin_tone", "age_band", "glasses", "lighting", "member")
REAL, DRAWN = {"data": real_or_synthetic.REAL}, {"data": real_or_synthetic.DRAWN}


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


def test_a_network_of_synthetic_faces_is_never_preferred_to_one_of_real_faces(face):
    named(STARTER, "came_along", {})
    named(BUNDLE, "of_drawings", {**DRAWN, "version": "1"})
    completed = unveil("predict", face)
    first, second = completed.stderr.splitlines()
    assert first == (
        "unveil: data/07_bundle is not used, trained on: synthetic faces; `--bundle champion` "
        "selects it"
    )
    assert second.startswith(
        "unveil: uses models/starter: came_along, trained on: real faces; unsure below"
    )
    completed = unveil("predict", face, "--bundle", BUNDLE)
    (line,) = completed.stderr.splitlines()
    assert line.startswith(
        "unveil: uses data/07_bundle: of_drawings, version 1, trained on: synthetic faces; "
        "unsure below"
    )
    assert completed.returncode == 0


def test_only_a_champion_of_synthetic_faces_has_a_note(place):
    assert model_choice.synthetic_champion_note() == ""
    named(BUNDLE, "champion", REAL)
    assert model_choice.synthetic_champion_note() == ""
    named(BUNDLE, "of_drawings", DRAWN)
    assert "use the starter, unless you give `--bundle champion`" in (
        model_choice.synthetic_champion_note()
    )


def test_a_champion_of_real_faces_is_preferred_to_the_starter(face):
    named(STARTER, "came_along", {})
    named(BUNDLE, "champion", {**REAL, "version": 3})
    completed = unveil("predict", face, "--format", "jsonl")
    assert json.loads(completed.stdout)["model"] == {
        "architecture": "champion",
        "version": "3",
        "trained_on": "real faces",
        "digest": bundle.load(BUNDLE).digest[:12],
    }
    rows = unveil("predict", face, "--format", "csv").stdout.splitlines()
    assert "model_architecture,model_version,model_trained_on,model_digest" in rows[0]
    assert ",champion,3,real faces," in rows[1]


def test_a_bundle_of_unknown_training_data_is_not_preferred_to_the_starter(place):
    named(BUNDLE, "older", {})
    assert model_choice.choose_bundle() == ROOT / STARTER
    assert model_choice.trained_on(bundle.load(BUNDLE)) == "not stated"
    named(STARTER, "came_along", {})
    assert model_choice.choose_bundle() == STARTER


def test_a_bundle_of_synthetic_faces_must_be_named(place):
    named(BUNDLE, "of_drawings", DRAWN)
    assert model_choice.choose_bundle() == ROOT / STARTER
    assert model_choice.find_bundle(BUNDLE) == BUNDLE


def test_a_missing_promoted_bundle_is_never_replaced_silently(face):
    named(STARTER, "came_along", {})
    promoted('{"candidate": "cnn5_gr')
    for arguments in (["predict", face], ["serve", "--purpose", "my own front door", "--port", 0]):
        completed = unveil(*arguments)
        (line,) = completed.stderr.splitlines()
        assert completed.returncode == 2
        assert line == (
            "unveil: version 4, cnn3, was promoted, but data/07_bundle is gone; `unveil export` "
            "restores it, `--bundle starter` selects the network that comes with unveil"
        )
    assert unveil("predict", face, "--bundle", STARTER).returncode == 0


@pytest.mark.parametrize("left", ["nothing", "half a card", "no text"])
def test_an_unreadable_bundle_is_an_error_and_not_replaced_by_the_starter(face, left):
    named(STARTER, "came_along", {})
    named(BUNDLE, "champion", REAL)
    card = BUNDLE / "bundle.json"
    content = card.read_bytes()
    damaged = {"half a card": content[: len(content) // 2], "no text": b"\xff\xfe\0"}
    card.unlink() if left == "nothing" else card.write_bytes(damaged[left])
    completed = unveil("predict", face)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert line.startswith("unveil: data/07_bundle/bundle.json")


def test_a_servers_copy_replaces_only_its_own_bundle(place):
    assert not model_choice.can_fall_back_to(LAST_GOOD)
    named(STARTER, "came_along", {})
    LAST_GOOD.parent.mkdir(parents=True)
    shutil.copytree(STARTER, LAST_GOOD)
    assert not model_choice.can_fall_back_to(LAST_GOOD)
    named(LAST_GOOD, "champion", DRAWN)
    assert not model_choice.can_fall_back_to(LAST_GOOD)
    named(LAST_GOOD, "champion", REAL)
    assert model_choice.can_fall_back_to(LAST_GOOD)


def test_a_server_does_not_replace_a_network_of_real_faces_by_one_of_synthetic_faces(place):
    real = bundle.load(named(Path("real"), "champion", REAL))
    drawn = bundle.load(named(Path("drawn"), "of_drawings", DRAWN))
    model_choice.refuse_synthetic_replacement(drawn, real)
    model_choice.refuse_synthetic_replacement(drawn, drawn)
    with pytest.raises(UserError, match="drawn was trained on synthetic faces; restart the server"):
        model_choice.refuse_synthetic_replacement(real, drawn)


@pytest.mark.parametrize(
    ("members", "columns", "known"),
    [
        (["sample/train/happy/train_happy_0001.png"], (), real_or_synthetic.DRAWN),
        (["train/happy/0000001-train_happy_0001.png"], LOOKS, real_or_synthetic.DRAWN),
        (["train/happy/train_happy_0001.png"], (), real_or_synthetic.REAL),
        (["train/happy/1.png", "sample/train/sad/train_sad_0001.png"], (), real_or_synthetic.REAL),
        ([], (), real_or_synthetic.UNKNOWN),
    ],
)
def test_synthetic_faces_are_recognized_by_names_and_attributes(members, columns, known):
    assert real_or_synthetic.origin_of(members, columns) == known


def test_packed_faces_have_an_origin(packed):
    assert real_or_synthetic.origin_of_packed() == real_or_synthetic.REAL
    table = pd.read_parquet(PACKED / "train.parquet")
    table["member"] = [f"sample/train/sad/train_sad_{one:04}.png" for one in range(len(table))]
    table.to_parquet(PACKED / "train.parquet")
    assert real_or_synthetic.origin_of_packed() == real_or_synthetic.DRAWN
    (PACKED / "train.parquet").unlink()
    assert real_or_synthetic.origin_of_packed() == real_or_synthetic.UNKNOWN


@pytest.mark.parametrize("damage", [lambda whole: b"PAR1", lambda whole: whole[:-9]])
def test_a_damaged_table_of_packed_faces_is_a_one_line_error(packed, damage):
    table = PACKED / "train.parquet"
    table.write_bytes(damage(table.read_bytes()))
    with pytest.raises(UserError, match=r"train.parquet cannot be read: .*run `unveil pack` again"):
        real_or_synthetic.origin_of_packed()


def test_a_promotion_that_is_nested_too_deeply_is_ignored(face):
    PROMOTIONS.parent.mkdir(parents=True, exist_ok=True)
    PROMOTIONS.write_text("[" * 100_000 + "\n")
    assert model_choice.last_promotion() is None


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--to", "notes"),
        ("export", "--architecture", "cnn3", "--to", "notes"),
        ("serve", "--purpose", "my own face in a video call", "--port", "0", "--keep", "notes"),
    ],
)
def test_export_and_serve_refuse_a_folder_with_other_files_before_they_work(place, command):
    bundles.made(place / "data/07_bundle")
    (place / "notes").mkdir()
    (place / "notes/thesis.txt").write_text("mine")
    began = [sys.executable, "-m", "unveil", *command]
    result = subprocess.run(began, capture_output=True, text=True, timeout=120)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "notes has 'thesis.txt', which is not part of a bundle" in result.stderr
    assert [path.name for path in (place / "notes").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("name", "said"), [("starter", "came_along"), ("champion", "of_drawings")])
def test_a_bundle_is_selected_by_name(face, name, said):
    named(STARTER, "came_along", {})
    named(BUNDLE, "of_drawings", DRAWN)
    completed = unveil("predict", face, "--bundle", name)
    assert f": {said}, " in completed.stderr
    assert completed.returncode == 0


def test_a_threshold_replaces_that_of_the_model(face):
    named(STARTER, "came_along", {})
    completed = unveil("predict", face, "--threshold", 1)
    assert "unsure below 1.000" in completed.stderr
    assert "unsure, perhaps " in completed.stdout
    assert unveil("predict", face, "--threshold", 0).stdout.count("unsure") == 0


def test_a_url_is_refused_by_name(face):
    completed = unveil("predict", "https://example.org/face.png")
    assert completed.returncode == 2
    assert completed.stderr == (
        "unveil: https://example.org/face.png is a URL; download the file and give its path, "
        "or use `unveil video URL` for a video\n"
    )
