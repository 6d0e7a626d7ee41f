"""Feedback: off by default, labels only without consent, and its import into the archive."""

import base64
import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import httpx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.bundles import made, quarter
from tests.support.invalid_images import encoded
from tests.support.scenes import drawn, scene
from tests.support.servers import unveil_server
from typer.testing import CliRunner

from unveil.cli import app
from unveil.common.errors import UserError
from unveil.common.paths import ARCHIVE, JOURNAL
from unveil.config import params
from unveil.data import feedback_import, ingest, manifest, synthetic
from unveil.data.feedback_store import FeedbackEntry, FeedbackFolder, FeedbackFull, read
from unveil.data.feedback_store import encode_png as kept_as
from unveil.privacy import search
from unveil.serving.settings import Settings, checked

FACE = base64.b64encode(encoded(Image.fromarray(quarter(1)))).decode()
MOST = 12


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def url(folder):
    options = ["--feedback", "kept", "--feedback-pictures", "--feedback-most", MOST]
    with unveil_server(folder, made(folder / "b"), *options) as given:
        yield given


def say(url: str, **said) -> httpx.Response:
    return httpx.post(f"{url}/v1/feedback", json=said, timeout=30)


def test_without_the_setting_there_is_no_feedback(tmp_path):
    with unveil_server(tmp_path, made(tmp_path / "b")) as url:
        before = set(files(tmp_path))
        answer = say(url, emotion="happy", picture=FACE, consent=True)
        assert answer.status_code == 404
        assert "/v1/feedback" not in httpx.get(f"{url}/openapi.json").json()["paths"]
        assert "to train" not in httpx.get(f"{url}/notice").text
        assert set(files(tmp_path)) == before


def test_pictures_are_kept_only_if_enabled(tmp_path):
    with unveil_server(tmp_path, made(tmp_path / "b"), "--feedback", "kept") as url:
        answer = say(url, emotion="happy", picture=FACE, consent=True)
        assert answer.status_code == 422
        assert "this server stores no pictures" in answer.json()["error"]
        assert files(tmp_path / "kept") == {}
        assert say(url, emotion="happy", answered=None).json() == {"picture": None}
        kept = [name for name in files(tmp_path / "kept") if not name.endswith(".lock")]
        assert kept == ["feedback.jsonl"]
        assert "the face as a small" not in httpx.get(f"{url}/notice").text


def test_a_label_is_kept_without_its_sender(url, folder):
    assert say(url, emotion="sad", answered="neutral").json() == {"picture": None}
    line = json.loads((folder / "kept/feedback.jsonl").read_text().splitlines()[-1])
    assert set(line) == {"date", "emotion", "answered", "model", "picture"}
    assert (line["emotion"], line["answered"], line["picture"]) == ("sad", "neutral", None)
    assert len(line["date"]) == 10


def test_a_picture_is_kept_only_with_consent(url, folder):
    before = files(folder / "kept")
    for consent in ({}, {"consent": False}):
        answer = say(url, emotion="sad", picture=FACE, **consent)
        assert answer.status_code == 422
        assert "consent" in answer.json()["error"]
    assert files(folder / "kept") == before


def test_only_the_face_of_a_picture_is_kept(url, folder):
    note = Image.Exif()
    note[0x010E] = "at home"
    picture = encoded(Image.fromarray(scene((200, 120, 200))), "JPEG", exif=note)
    said = {"picture": base64.b64encode(picture).decode(), "consent": True}
    name = say(url, emotion="happy", answered="sad", **said).json()["picture"]
    path = folder / f"kept/pictures/{name}.png"
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == name
    face = Image.open(io.BytesIO(content))
    assert (face.size, face.mode, face.info) == ((48, 48), "L", {})
    assert b"at home" not in content
    for kept in (path, folder / "kept/feedback.jsonl"):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "kept").stat().st_mode) == 0o700
    assert "the face as a small" in " ".join(httpx.get(f"{url}/notice").text.split())


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"emotion": "angry"},
        {"emotion": "happy", "answered": "angry"},
        {"emotion": "happy", "answered": ""},
        {"emotion": "happy", "name": "somebody"},
        {"emotion": "happy", "picture": "*", "consent": True},
        {"emotion": "happy", "picture": "aGVsbG8=", "consent": True},
        {"emotion": "happy", "picture": FACE, "consent": "yes"},
        {"emotion": "happy", "picture": FACE, "consent": 1},
        {"emotion": ["happy"] * 50},
    ],
)
def test_invalid_feedback_is_refused_and_not_kept(url, folder, said):
    before = files(folder / "kept")
    answer = say(url, **said)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert "somebody" not in answer.text
    assert files(folder / "kept") == before


@pytest.mark.parametrize("places", [[], [(60, 120, 160), (380, 200, 200)]])
def test_a_picture_must_have_one_face(url, folder, places):
    picture = base64.b64encode(encoded(Image.fromarray(scene(*places)))).decode()
    answer = say(url, emotion="happy", picture=picture, consent=True)
    assert answer.status_code == 422
    assert f"{len(places)} faces" in answer.json()["error"]


def test_the_number_of_entries_is_limited(url, folder):
    statuses = [say(url, emotion="happy").status_code for _ in range(MOST + 1)]
    assert statuses[-1] == 429
    assert set(statuses) == {200, 429}
    answer = say(url, emotion="happy", picture=FACE, consent=True)
    assert "the feedback storage is full" in answer.json()["error"]
    assert int(answer.headers["retry-after"]) > 60
    assert len(list(read(folder / "kept"))) == MOST
    assert kept_as(quarter(1))[0] not in [path.stem for path in (folder / "kept").rglob("*.png")]


def test_contradictory_settings_are_refused():
    with pytest.raises(UserError, match="--feedback-pictures needs --feedback"):
        checked(Settings("faces in my calls", feedback_pictures=True))
    with pytest.raises(UserError, match="--feedback-most 0 is not positive"):
        checked(Settings("faces in my calls", feedback=Path("kept"), feedback_most=0))


def test_the_audit_log_records_that_feedback_is_kept(url, folder):
    said = (folder / "data/08_serving/audit.jsonl").read_text()
    assert '"event": "feedback", "said": "labels, and faces with consent"' in said


def test_an_invalid_folder_is_a_one_line_error(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(UserError, match="accessible to others; run chmod 700"):
        FeedbackFolder(tmp_path / "open", 1)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be created: "):
        FeedbackFolder(tmp_path / "file", 1)


def test_entries_are_counted_in_the_file(tmp_path):
    entry = FeedbackEntry("2026-01-01", "happy", None, "0" * 12)
    FeedbackFolder(tmp_path / "kept", 2).keep(entry)
    again = FeedbackFolder(tmp_path / "kept", 2)
    again.keep(entry)
    with pytest.raises(FeedbackFull):
        again.keep(entry)
    assert list(read(tmp_path / "kept")) == [entry, entry]


@given(st.text(max_size=60) | st.fixed_dictionaries({"picture": st.text()}).map(json.dumps))
def test_an_invalid_entry_is_named_by_its_line(tmp_path_factory, line):
    folder = tmp_path_factory.getbasetemp() / "lines"
    folder.mkdir(exist_ok=True)
    (folder / "feedback.jsonl").write_text("\n" + line.replace("\n", "").replace("\r", "") + "x")
    with pytest.raises(UserError, match=r"line .* is not an entry with date, emotion"):
        list(read(folder))


def test_a_picture_name_cannot_be_a_path(tmp_path):
    entry = FeedbackEntry("2026-01-01", "happy", None, "0" * 12, "../../secret")
    FeedbackFolder(tmp_path / "kept", 1).keep(entry)
    with pytest.raises(UserError, match="line 1 is not an entry"):
        list(read(tmp_path / "kept"))


@pytest.fixture
def archive(place: Path) -> Path:
    """A folder with an archive of synthetic faces, and feedback in ``kept``."""
    synthetic.draw_dataset(
        Path("drawn.zip"), counts={"train": 8, "validation": 4, "test": 4}, seed=0
    )
    ingest.ingest(Path("drawn.zip"), layout=manifest.archive_layout(params.load()))
    return place


def keep(number: int, emotion: str, *, kept: bool = True) -> str:
    name, content = kept_as(drawn(number))
    entry = FeedbackEntry("2026-01-01", emotion, None, "0" * 12, name if kept else None)
    FeedbackFolder(Path("kept"), 99).keep(entry, content if kept else None)
    return name


def fed(target: str = "more.zip") -> str:
    said = CliRunner().invoke(app, ["data", "feedback", "kept", target], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.output


def test_consented_faces_are_added_to_train_only(archive):
    first, second, gone = keep(101, "sad"), keep(102, "happy"), keep(103, "happy")
    keep(104, "sad", kept=False)
    keep(101, "sad")
    Path(f"kept/pictures/{gone}.png").unlink()
    assert "feedback 1 happy, 0 neutral, 1 sad, 0 surprise" in fed()
    line = json.loads(JOURNAL.read_text())
    assert (line["verb"], line["images"]) == ("feedback", 2)
    loaded = params.load()
    before = manifest.make(ARCHIVE, loaded)
    ingest.ingest(Path("more.zip"), layout=manifest.archive_layout(loaded))
    after = manifest.make(ARCHIVE, loaded)
    new = after[~after["member"].isin(before["member"])]
    assert dict(zip(new["member"], new["label"], strict=True)) == {
        f"train/happy/feedback-{second}.png": "happy",
        f"train/sad/feedback-{first}.png": "sad",
    }
    assert set(new["split"]) == {"train"}
    kept = after[after["member"].isin(before["member"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[["member", "sha256"]], before[["member", "sha256"]])
    with pytest.raises(UserError, match="has no picture that is not yet in"):
        fed("again.zip")
    with zipfile.ZipFile("numbered.zip", "w") as opened:  # as `unveil data export` names them
        opened.writestr(f"train/sad/0000001-feedback-{first}.png", b"")
        opened.writestr(f"train/happy/0000002-feedback-{second}.png", b"")
    with pytest.raises(UserError, match="has no picture that is not yet in"):
        feedback_import.add_feedback(
            Path("numbered.zip"), Path("kept"), Path("x.zip"), manifest.archive_layout(loaded)
        )


def test_feedback_with_a_face_of_the_test_set_is_left_out(archive):
    loaded = params.load()
    faces = manifest.make(ARCHIVE, loaded)
    member = faces[faces["split"] == "test"].iloc[0]
    with zipfile.ZipFile(ARCHIVE) as opened:
        picture = Image.open(io.BytesIO(opened.read(member["member"]))).convert("L")
    name, content = kept_as(manifest.decode(encoded(picture)).pixels)
    FeedbackFolder(Path("kept"), 9).keep(
        FeedbackEntry("2026-01-01", "sad", None, "0" * 12, name), content
    )
    fed()
    ingest.ingest(Path("more.zip"), layout=manifest.archive_layout(loaded))
    after = manifest.make(ARCHIVE, loaded).set_index("member")
    assert after.loc[f"train/sad/feedback-{name}.png", "quarantine"] != ""


def test_erasure_finds_imported_pictures(archive):
    name = keep(101, "sad")
    fed()
    with zipfile.ZipFile("more.zip") as opened:
        digest, content = search.read_picture(opened, f"train/sad/feedback-{name}.png")
    person = search.Person(frozenset({f"train/sad/feedback-{name}.png"}), {digest: content})
    assert search.contains(Path(f"kept/pictures/{name}.png"), person)
    assert search.contains(Path("more.zip"), person)
    assert not search.contains(Path("kept/feedback.jsonl"), person)


def test_nothing_is_overwritten_or_incomplete_and_errors_are_one_line(archive):
    keep(101, "happy")
    Path("there.zip").touch()
    for target, said in (("out.tar", "does not end"), ("there.zip", "exists already")):
        with pytest.raises(UserError, match=said):
            fed(target)
    layout = manifest.archive_layout(params.load())
    with pytest.raises(UserError, match=r"nowhere/feedback.jsonl not found"):
        feedback_import.add_feedback(ARCHIVE, Path("nowhere"), Path("out.zip"), layout)
    keep(102, "angry")
    with pytest.raises(UserError, match=r"unknown emotion .*'angry'; choose from happy"):
        fed("out.zip")
    Path("kept/feedback.jsonl").unlink()
    name = keep(101, "happy")
    Path(f"kept/pictures/{name}.png").write_bytes(b"other")
    with pytest.raises(UserError, match="its sha256 differs from its name"):
        fed("out.zip")
    assert not Path("out.zip").exists()
    assert not JOURNAL.exists()


def test_an_archive_without_splits_is_refused_with_a_remedy(archive):
    with zipfile.ZipFile("plain.zip", "w") as opened:
        opened.writestr("happy/1.png", encoded(Image.fromarray(drawn(1))))
    ARCHIVE.unlink()
    ingest.ingest(Path("plain.zip"), layout=manifest.archive_layout(params.load()))
    keep(101, "happy")
    with pytest.raises(UserError, match="unveil data export FILE"):
        fed()


def test_an_entry_that_is_nested_too_deeply_is_reported_with_its_line(tmp_path):
    (tmp_path / "feedback.jsonl").write_text("[" * 100_000)
    with pytest.raises(UserError, match="line 1 is not an entry"):
        list(read(tmp_path))
