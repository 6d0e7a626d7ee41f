"""Erasing a person from all versions and derived files, without affecting others."""

import io
import json
import os
import shutil
import subprocess
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo
from PIL import Image
from tests.conftest import ROOT
from tests.support import servers
from typer.testing import CliRunner

from unveil import registry
from unveil.cli import app
from unveil.common import audit_log, locks
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, sha256, write_json
from unveil.common.paths import ARCHIVE, CHECKPOINTS, MANIFEST, VALIDATION
from unveil.config import params
from unveil.data import ingest, manifest, pack
from unveil.data.decoding import decode, resize
from unveil.privacy import dvc_objects, erase, git_history, search
from unveil.privacy.erasure_request import Request, requested_members, rewrite_without

# Used by DVC's `add`, which the tests call and the product does not.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

CLASSES = ("happy", "neutral", "sad", "surprise")
PERSON = "p7"
THEIRS = ("train/happy/p7-0.png", "train/sad/p7-1.png", "test/happy/p7-2.png")
TWIN = "train/happy/other-name.png"
EARLIER = "train/neutral/p7-3.png"


def face(seed: int) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def faces(*others: str) -> dict[str, bytes]:
    """Archive members: a person's images, an exact duplicate, and others' in every class."""
    names = [
        f"{split}/{label}/o{n}.png"
        for split in manifest.SPLITS
        for label in CLASSES
        for n in (0, 1)
    ]
    named = {name: face(100 + place) for place, name in enumerate(names)}
    named |= {name: face(int(name[-5])) for name in (*THEIRS, *others)}
    return named | {TWIN: face(0)}


def run(*command: str) -> str:
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{servers.BIN}:{os.environ['PATH']}",
    }
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def commit(message: str) -> str:
    run("git", "add", "--all")
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message)
    return run("git", "rev-parse", "HEAD").strip()


def version(members: dict[str, bytes], message: str) -> str:
    """Ingest, list and pack images, commit them to DVC and git, and push."""
    rows = ["file,subject,glasses"]
    rows += [
        f"{name},{Path(name).name.split('-')[0]},no" for name in sorted(members) if name != TWIN
    ]
    Path("groups.csv").write_text("\n".join([*rows, ""]))
    with zipfile.ZipFile("source.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    loaded = params.load()
    ingest.ingest(
        Path("source.zip"), layout=manifest.archive_layout(loaded), attributes=Path("groups.csv")
    )
    Path("source.zip").unlink()
    Path("groups.csv").unlink()
    ingest.track_with_dvc()
    manifest.make(ARCHIVE, loaded)
    write_json(
        VALIDATION,
        {
            "manifest": sha256(MANIFEST),
            "passed": True,
            "first": [name for name in THEIRS if name in members],
        },
    )
    pack.make(ARCHIVE, MANIFEST, loaded, validation=VALIDATION)
    made = [str(MANIFEST), str(VALIDATION), *map(str, sorted(Path("data/03_packed").glob("*.npz")))]
    lock_training(message)
    with Repo() as repo:
        repo.add(made)
        repo.push()
    return commit(message)


def lock_training(name: str) -> None:
    """Write the entry of dvc.lock that a training leaves."""
    deps = [{"path": path, "md5": md5(path)} for path in ("data/03_packed/train.npz",)]
    stage = {"cmd": "true", "deps": deps, "outs": [{"path": "model", "md5": f"{name:0>32}"}]}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train@cnn3": stage}}))


def md5(path: str) -> str:
    from unveil.config.provenance import dvc_hash

    return dvc_hash(Path(path))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A project with git and DVC but no images, and its remote beside it."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "project").mkdir()
    shutil.copy(ROOT / "params.yaml", folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "project")
        run("git", "init", "--quiet")
        run("dvc", "init", "--quiet")
        run("dvc", "remote", "add", "--quiet", "-d", "store", "../remote")
        Path(".gitignore").write_text("/data/*/?*\n!/data/*/*.dvc\n/mlflow\n")
    return folder


@pytest.fixture(scope="module")
def grown(base, tmp_path_factory) -> Path:
    """The project with two versions of the archive; the older has one more image of the person."""
    folder = tmp_path_factory.mktemp("grown") / "copy"
    shutil.copytree(base, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "project")
        version(faces(EARLIER), "1")
        version(faces(), "2")
    return folder


@pytest.fixture
def place(base, tmp_path, monkeypatch) -> Path:
    return _copied(base, tmp_path, monkeypatch)


@pytest.fixture
def two_versions(grown, tmp_path, monkeypatch) -> Path:
    return _copied(grown, tmp_path, monkeypatch)


def _copied(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy/project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "copy/project"


def everywhere() -> dict[str, bytes]:
    """The contents of every file of the workspace, the cache and the remote."""
    found = (
        path for root in (Path(), Path("../remote")) for path in root.rglob("*") if path.is_file()
    )
    return {str(path): path.read_bytes() for path in found if "/.git/" not in f"/{path}"}


def holders(*seeds: int) -> list[str]:
    """Find images independently of the product: files, members and packed pixels."""
    found = []
    images = [face(seed) for seed in seeds]
    pixels = [np.asarray(Image.open(io.BytesIO(image))).tobytes() for image in images]
    for path, content in everywhere().items():
        if any(needle in content for needle in (*images, *pixels)):
            found.append(path)
    return found


def erased(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["data", "erase", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_subject_is_erased_everywhere_and_all_others_are_kept(two_versions):
    before = holders(0, 1, 2, 3)
    assert len(before) > 8
    output = erased("--subject", PERSON)
    assert holders(0, 1, 2, 3) == []
    texts = b"".join(
        content for path, content in everywhere().items() if not path.endswith((".npz", ".zip"))
    )
    assert b"p7-" not in texts
    assert "a final search found no copies" in output
    assert "2 commits refer to data versions that can no longer be checked out" in output
    assert "trained with these images: cnn3 at" in output
    with zipfile.ZipFile(ARCHIVE) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    table = kept.pop("attributes.csv").decode()
    assert kept == {name: one for name, one in faces().items() if name not in (*THEIRS, TWIN)}
    assert "p7" not in table and table.count("\n") == len(kept) + 1
    assert md5(str(ARCHIVE)) in Path(f"{ARCHIVE}.dvc").read_text()


def test_exact_duplicates_of_a_member_are_erased_and_listed(two_versions):
    output = erased("--member", THEIRS[0])
    assert TWIN in output
    assert holders(0) == []
    assert holders(1)
    with zipfile.ZipFile(ARCHIVE) as archive:
        assert set(faces()) - set(archive.namelist()) == {THEIRS[0], TWIN}


def test_a_version_without_the_person_is_kept(place):
    version({name: one for name, one in faces().items() if name not in (*THEIRS, TWIN)}, "1")
    kept = {path for path in everywhere() if "files/md5" in path}
    version(faces(), "2")
    erased("--subject", PERSON)
    assert kept <= set(everywhere())
    commit("erased")
    run("git", "checkout", "-q", "HEAD~2")
    run("dvc", "checkout", "--quiet")


def test_a_person_only_in_an_older_version_is_found(two_versions):
    erased("--member", EARLIER)
    assert holders(3) == []
    assert holders(0)


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ("feedback-ab.png", ["train/sad/0000012-feedback-ab.png"]),
        ("sad/feedback-ab.png", ["train/sad/0000012-feedback-ab.png"]),
        ("0000012-feedback-ab.png", ["train/sad/0000012-feedback-ab.png"]),
        ("a.png", ["train/sad/a.png"]),
        ("back-ab.png", []),
        ("b.png", []),
        ("c.png", ["test/sad/10000000-c.png"]),
    ],
)
def test_a_member_is_found_with_and_without_its_export_prefix(member, found):
    names = ["train/sad/0000012-feedback-ab.png", "train/sad/a.png", "train/sad/0000013-a.png"]
    names += ["train/sad/a1234567-b.png", "test/sad/10000000-c.png"]
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, b"")
        assert requested_members(archive, Request(member, None, "subject"))[0] == found


def test_a_dry_run_changes_nothing(two_versions):
    before = everywhere()
    output = erased("--subject", PERSON, "--dry-run")
    assert {path: one for path, one in everywhere().items() if ".dvc/tmp" not in path} == {
        path: one for path, one in before.items() if ".dvc/tmp" not in path
    }
    assert "5 members" in output
    assert "in store: " in output
    assert not erase.PLAN.exists()


STEPS = {
    "the archive is written": (erase, "rewrite_without"),
    "DVC knows it": (ingest, "track_with_dvc"),
    "the workspace is clean": (erase, "clean_workspace"),
    "one store is clean": (dvc_objects.Store, "delete"),
    "all stores are clean": (erase, "_delete"),
    "the journal tells of it": (audit_log, "record"),
    "models are marked": (registry, "mark_erased"),
}


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_interrupted_after_any_step_resumes(two_versions, monkeypatch, step):
    where, name = STEPS[step]
    real = getattr(where, name)

    def dying(*arguments, **keywords):
        real(*arguments, **keywords)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, dying)
        todo, _ = erase.plan(erase.Request(None, PERSON, "subject"))
        with pytest.raises(KeyboardInterrupt):
            erase.carry_out(todo)
    assert "resuming it" in erased()
    assert holders(0, 1, 2, 3) == []
    assert not erase.PLAN.exists()
    with zipfile.ZipFile(ARCHIVE) as archive:
        assert not {*THEIRS, TWIN} & set(archive.namelist())
    assert md5(str(ARCHIVE)) in Path(f"{ARCHIVE}.dvc").read_text()


def test_nothing_is_changed_while_a_training_or_an_audit_runs(two_versions):
    for folder, word in ((Path(".checkpoints/cnn3"), "cnn3"), (Path("data/06_audit"), "audit")):
        before = everywhere()
        with (
            locks.exclusive_lock(folder, ""),
            pytest.raises(UserError, match=f"{word} .*this checkout"),
        ):
            CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
        left = {path for path, one in everywhere().items() if before.get(path) != one}
        assert not [path for path in left if Path(path).name != "lock" and ".dvc/tmp" not in path]
    assert not erase.PLAN.exists()
    begun = Path(".checkpoints/cnn3/identity/000001-digest.npz")
    begun.parent.mkdir()
    begun.touch()
    erased("--subject", PERSON)
    assert [path.name for path in Path(".checkpoints/cnn3").iterdir()] == ["lock"]


def test_an_unreachable_registry_is_reported_and_tagged_later(two_versions, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{servers.free_port()}")
    with pytest.raises(UserError, match=r"are erased, but no model is marked; .*MLflow at"):
        CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert holders(0, 1, 2, 3) == []
    assert b"p7" not in erase.PLAN.read_bytes()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    erased("--subject", PERSON)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--member", "nobody.png"), "no version of the archive has a member 'nobody.png'"),
        (("--member", "o0.png"), "'o0.png' matches 12 members"),
        (("--subject", "p8"), "no attributes.csv has a subject 'p8'"),
        (("--subject", "p7", "--column", "who"), "no attributes.csv has a column 'who'"),
        ((), "give --member NAME or --subject ID"),
        (("--member", "a", "--subject", "b"), "give --member NAME or --subject ID"),
    ],
)
def test_an_unknown_person_is_a_one_line_error(two_versions, arguments, line):
    with pytest.raises(UserError, match=line) as refusal:
        CliRunner().invoke(app, ["data", "erase", *arguments], catch_exceptions=False)
    assert "\n" not in str(refusal.value)


def test_the_digest_equals_that_of_the_manifest(two_versions):
    rows = pd.read_parquet(MANIFEST).set_index("member")["sha256"]
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in search.image_names(archive):
            assert search.read_picture(archive, name)[0] == rows[name]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.mark.parametrize("keeps", [False, True], ids=["plain", "versioned"])
def test_on_s3_all_versions_of_an_object_are_deleted(place, endpoint, monkeypatch, keeps):
    monkeypatch.setattr(dvc_objects, "PAGE_SIZE", 2)
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    client, bucket = servers.s3(endpoint), f"faces-{keeps}".lower()
    client.create_bucket(Bucket=bucket)
    if keeps:
        status = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    run("dvc", "remote", "modify", "store", "url", f"s3://{bucket}/data")
    run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
    version(faces(), "1")
    # A bucket with versioning may have several versions of an object.
    for one in client.list_objects_v2(Bucket=bucket)["Contents"]:
        body = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        for _ in range(3):
            client.put_object(Bucket=bucket, Key=one["Key"], Body=body)
        client.put_object(Bucket=bucket, Key=f"{one['Key']}.dir", Body=b"of another object")
    erased("--subject", PERSON)
    stored = client.list_object_versions(Bucket=bucket)
    assert stored.get("DeleteMarkers", []) == []
    left = [
        client.get_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
        for one in stored["Versions"]
    ]
    assert left
    assert not any(face(seed) in content for seed in range(3) for content in left)
    run("dvc", "push", "--quiet", "data/01_raw/faces.zip.dvc")


def test_the_journal_records_it_without_a_name(two_versions):
    erased("--subject", PERSON)
    lines = [json.loads(line) for line in Path("data/journal.jsonl").read_text().splitlines()]
    assert lines[-1]["verb"] == "erase"
    assert lines[-1]["images"] == 5
    assert lines[-1]["archive"] == md5(str(ARCHIVE))
    assert "p7" not in json.dumps(lines)


def test_only_model_versions_trained_on_it_are_tagged_and_only_once(place):
    client = registry.connect()
    client.create_registered_model("facial-emotion")
    for digest in ("a" * 32, "b" * 32):
        run = client.create_run(client.get_experiment_by_name("facial-emotion").experiment_id)
        data = {"training": {"path": "data/03_packed/train.npz", "md5": digest}}
        client.log_inputs(run.info.run_id, datasets=registry.datasets.dataset_inputs(data))
        client.create_model_version("facial-emotion", "file:///absent", run.info.run_id)
    for note in ("2026-01-01: 2 images", "2026-01-02: 1 images", "2026-01-02: 1 images"):
        assert registry.mark_erased(["a" * 32], note) == ["facial-emotion version 1"]
    tags = client.get_model_version("facial-emotion", "1").tags
    assert tags == {"erasure": "2026-01-01: 2 images; 2026-01-02: 1 images"}
    assert client.get_model_version("facial-emotion", "2").tags == {}


@pytest.mark.parametrize("spelt", [("", ","), ("", ";"), ("", "\t"), (" ", ","), ("\ufeff", ";")])
def test_only_the_persons_rows_are_removed_from_tables(tmp_path, spelt):
    before, comma = spelt
    person = search.Person(frozenset({"happy/a.png"}), {"d" * 64: face(0)})
    table = tmp_path / "corrections.csv"
    head = "SHA256,member,action" if before else "sha256,member,action"
    rows = [head, f"{'d' * 64},sad/b.png,drop", f"{'e' * 64}, happy/a.png,keep"]
    table_text = "\n".join([*rows, f"{'f' * 64},unhappy/a.png,keep", ""])
    table.write_text(before + table_text.replace(",", comma))
    assert search.contains(table, person)
    rewrite_without(table, person)
    assert table.read_text() == f"{head}\n{'f' * 64},unhappy/a.png,keep\n"
    assert not search.contains(table, person)


@pytest.mark.parametrize("side", [48, 64])
def test_a_face_is_found_in_an_array_of_any_size(tmp_path, side):
    theirs = decode(face(0)).pixels
    others = [decode(face(seed)).pixels for seed in (1, 2)]
    person = search.Person(frozenset({"theirs.png"}), {"d" * 64: face(0)})
    for seen, holds in (([*others, theirs], True), (others, False)):
        np.save(tmp_path / "faces.npy", np.stack([resize(one, side)[..., None] for one in seen]))
        assert search.contains(tmp_path / "faces.npy", person) is holds


@pytest.mark.parametrize(
    "spelt", ["happy/é&'.png", "happy/\\u00e9&'.png", "happy/é&amp;&#x27;.png"]
)
def test_a_name_is_found_with_json_and_html_escapes(tmp_path, spelt):
    person = search.Person(frozenset({"happy/é&'.png"}), {})
    (tmp_path / "page").write_text(f'<td>"{spelt}"</td>')
    assert search.contains(tmp_path / "page", person)
    (tmp_path / "page").write_text(f'<td>"train/{spelt}"</td>')
    assert not search.contains(tmp_path / "page", person)


def test_unsearchable_files_are_listed_and_the_erasure_is_not_proved(two_versions):
    packed = Path("data/03_packed/test.npz").read_bytes()
    # Other faces, but truncated, so the search cannot know.
    Path("data/05_reports").mkdir(parents=True)
    (cut := Path("data/05_reports/cut.npz")).write_bytes(b"PK\3\4" + packed[-900:-100])
    (mine := Path("../project/copy.png")).write_bytes(face(0))
    result = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert result.exit_code == 3
    assert "NOT PROVED: could not search, or may not delete, 2:" in result.output
    assert f"  {cut}: is damaged: " in result.output
    assert "  copy.png: contains the images and may not be deleted by unveil" in result.output
    assert "found no copies" not in result.output
    lines = [json.loads(line) for line in Path("data/journal.jsonl").read_text().splitlines()]
    assert lines[-1]["unproved"] == 2
    cut.unlink()
    mine.unlink()
    assert "a final search found no copies" in erased()
    assert holders(0, 1, 2, 3) == []


def test_accept_finishes_an_unproved_erasure(two_versions):
    Path("film.bin").write_bytes(b"\0\1\2 of a kind nobody knows")
    result = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert (result.exit_code, erase.PLAN.exists()) == (3, True)
    assert "film.bin: has an unknown file type" in erased("--accept")
    assert not erase.PLAN.exists()


def test_files_being_written_by_another_command_stop_the_erasure(two_versions):
    made = atomic_write(Path("data/03_packed/train.npz"))
    with suppress(FileNotFoundError), made, pytest.raises(UserError, match="is being made"):
        CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)


def test_during_a_training_nothing_is_searched_or_planned(two_versions):
    with locks.exclusive_lock(CHECKPOINTS / "cnn3", ""):
        refused = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON])
    assert "cnn3 is being trained" in str(refused.exception)
    assert (refused.output, erase.PLAN.exists()) == ("", False)


def unproved(*lines: str) -> None:
    """Erase the person; these lines, and no others, list what is not proved."""
    result = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert result.exit_code == 3, result.output
    assert "a final search found no copies" not in result.output
    listed = result.output.partition("NOT PROVED")[2]
    assert f"delete, {len(lines)}:" in listed, listed
    for line in lines:
        assert f"  {line}" in listed, listed


def test_a_remote_on_an_unmounted_disk_is_not_proved_until_it_is_back(two_versions):
    away = Path("../away").resolve()
    Path("../remote").rename(away)
    unproved(f"store: {away.with_name('remote')} does not exist")
    away.rename(away.with_name("remote"))
    assert "a final search found no copies" in erased()
    assert holders(0, 1, 2, 3) == []


def test_an_empty_remote_and_a_default_cache_that_does_not_exist_are_proved(two_versions):
    shutil.rmtree("../remote")
    Path("../remote").mkdir()
    shutil.rmtree(".dvc/cache")
    assert "a final search found no copies" in erased("--subject", PERSON)


def test_a_configured_cache_on_an_unmounted_disk_is_not_proved(two_versions):
    Path("../cache").mkdir()
    run("dvc", "cache", "dir", "--local", "../cache")
    Path("../cache").rmdir()
    with dvc_objects.open_stores() as stores:
        assert ["does not exist" in one for one in stores[0].unlisted()] == [True]


def test_a_remote_that_cannot_list_its_objects_is_not_proved(two_versions):
    run("dvc", "remote", "modify", "store", "url", f"http://127.0.0.1:{servers.free_port()}")
    unproved("store: http cannot list its objects")


def test_a_missing_bucket_is_not_proved_and_an_empty_one_is(place, endpoint, monkeypatch):
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    servers.s3(endpoint).create_bucket(Bucket="empty")
    for bucket, count in (("empty", 0), ("renamed", 1)):
        run("dvc", "remote", "modify", "store", "url", f"s3://{bucket}/data")
        run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
        with dvc_objects.open_stores() as stores:
            found = [one for store in stores for one in store.unlisted()]
        assert len(found) == count, found
        assert all("store: renamed/data cannot be listed: " in one for one in found)


def test_an_error_without_a_message_is_reported_by_its_type(two_versions, monkeypatch):
    def refuse(_store):
        raise NotImplementedError

    monkeypatch.setattr(dvc_objects.Store, "ids", refuse)
    with (
        pytest.raises(UserError, match="DVC, store: NotImplementedError"),
        dvc_objects.open_stores(),
    ):
        pass


def test_a_version_without_a_run_is_marked_and_listed(place, capfd):
    client = registry.connect()
    client.create_registered_model("facial-emotion")
    client.create_model_version("facial-emotion", "file:///absent")
    client.create_model_version("facial-emotion", "file:///absent", "f" * 32)
    for _ in range(2):
        marked = registry.mark_erased(["a" * 32], "2026-01-01: 2 images")
        assert marked == ["facial-emotion version 1", "facial-emotion version 2"]
    assert (
        "facial-emotion version 1 has no run: its training data is unknown"
        in capfd.readouterr().err
    )
    for number in ("1", "2"):
        tags = client.get_model_version("facial-emotion", number).tags
        assert tags == {"erasure": "2026-01-01: 2 images, possibly: it has no run"}


def commit_lock(text: str) -> str:
    """Commit a dvc.lock, then the valid one again; return the short hash of the first commit."""
    lock = Path("dvc.lock")
    whole = lock.read_text()
    lock.write_text(text)
    broken = commit("a merge")
    lock.write_text(whole)
    commit("a repaired dvc.lock")
    return broken[:12]


def test_a_commit_with_an_invalid_dvc_lock_is_listed_and_the_erasure_not_proved(two_versions):
    whole = Path("dvc.lock").read_text()
    broken = commit_lock(f"<<<<<<< HEAD\n{whole}\n=======\n{whole}\n>>>>>>> other\n")
    line = f"  dvc.lock at {broken}: not searched for trainings: it is not valid YAML: "
    command = ["data", "erase", "--subject", PERSON]
    planned = CliRunner().invoke(app, [*command, "--dry-run"], catch_exceptions=False).output
    assert line in planned.partition("would not be proved:")[2]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 3
    assert line in result.output.partition("NOT PROVED:")[2]
    assert "a final search found no copies" not in result.output
    assert "trained with these images: cnn3 at" in result.output
    assert erase.PLAN.exists()
    assert line in erased("--accept")
    assert not erase.PLAN.exists()


GONE = "a" * 32
WHOLE = {
    "cmd": "true",
    "deps": [{"path": "train.npz", "md5": GONE}],
    "outs": [{"path": "model", "md5": "b" * 32}],
}


def lock_with(stage: object) -> str:
    return json.dumps({"schema": "2.0", "stages": {"train@cnn3": stage}})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "not in DVC's format"),
        ("{}", "not in DVC's format"),
        ("a text", "not in DVC's format"),
        ("schema: '2.0'\nstages:\n", "not in DVC's format"),
        ("schema: '2.0'\nstages: [train@cnn3]\n", "not in DVC's format"),
        (json.dumps({"train@cnn3": WHOLE}), "not in DVC's format"),
        (lock_with(None), "not in DVC's format"),
        (lock_with({**WHOLE, "outs": None}), "not in DVC's format"),
        (lock_with({**WHOLE, "deps": {"train.npz": GONE}}), "not in DVC's format"),
        (lock_with({**WHOLE, "deps": [GONE]}), "not in DVC's format"),
        (lock_with({**WHOLE, "deps": [{"path": "a", "md5": 7}]}), "not in DVC's format"),
        (lock_with({**WHOLE, "deps": [{"path": "a"}]}), "train@cnn3 has no md5 of a"),
        (lock_with({**WHOLE, "deps": [{"path": "a", "md5": None}]}), ""),
        (lock_with({**WHOLE, "outs": [{"path": "model"}]}), "train@cnn3 has no md5 of model"),
        (lock_with({**WHOLE, "deps": []}), "train@cnn3 has no md5 of deps"),
        (lock_with({**WHOLE, "deps": WHOLE["deps"] * 2})[:-3], "not valid YAML"),
        ("schema: '2.0'\nschema: '2.0'\nstages: {}\n", "not valid YAML"),
        ("[" * 100_000, "not valid YAML"),
        ("a: !!python/none x", "not in DVC's format"),
        ("a: 2026-13-45", "not valid YAML"),
        ("\udcff", "not valid YAML"),
    ],
)
def test_a_dvc_lock_of_another_format_in_a_commit_is_not_skipped(place, text, why):
    Path("faces.dvc").write_text(f"outs:\n- md5: {GONE}\n  path: faces\n")
    Path("dvc.lock").write_bytes(os.fsencode(text))
    made = commit("a lock of another format")
    trained, unsearched = git_history.trainings_using([GONE], git_history.commits_naming([GONE]))
    assert (trained, len(unsearched)) == ([], 1)
    assert unsearched[0].startswith(f"dvc.lock at {made[:12]}: not searched for trainings: ")
    assert why in unsearched[0]
    assert len(unsearched[0].splitlines()) == 1


def test_a_dvc_lock_that_git_cannot_read_is_not_skipped(place):
    Path("dvc.lock").write_text(lock_with(WHOLE))
    commit("a training")
    Path("faces.dvc").write_text(f"outs:\n- md5: {GONE}\n  path: faces\n")
    Path("dvc.lock").unlink()
    commit("without a lock")
    named = git_history.commits_naming([GONE])
    trained = [f"cnn3 at {named[1][:12]}"]
    assert len(named) == 2
    assert git_history.trainings_using([GONE], named) == (trained, [])
    lost = run("git", "rev-parse", f"{named[1]}:dvc.lock").strip()
    Path(".git/objects", lost[:2], lost[2:]).unlink()
    assert git_history.commits_naming([GONE]) == named
    _, unsearched = git_history.trainings_using([GONE], named)
    assert f"dvc.lock at {named[1][:12]}: not searched" in unsearched[0]


def test_the_history_of_a_project_in_a_subfolder_of_its_repository_is_searched(place):
    (below := Path("below")).mkdir()
    (below / "dvc.lock").write_text(lock_with(WHOLE))
    made = commit("a training")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        found = git_history.trainings_using([GONE], git_history.commits_naming([GONE]))
    assert found == ([f"cnn3 at {made[:12]}"], [])


@pytest.mark.parametrize("content", ["", '{"data": null}', '{"data": {"training": 1}}', "[]"])
def test_a_training_without_a_record_of_its_data_is_named(place, content):
    (run_of := Path("data/04_models/cnn3/run.json")).parent.mkdir(parents=True)
    run_of.write_text(content)
    trained, unsearched = erase.trained_models([GONE])
    assert trained == []
    assert unsearched[0].startswith(f"{run_of} cannot be read: ")


def test_nothing_is_erased_if_git_refuses_to_answer(two_versions, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    before = everywhere()
    with pytest.raises(UserError, match=r"another user owns it; run: git config .*safe.directory"):
        CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert everywhere() == before


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "{}", '{"images": 1}', "null", "[" * 100_000),
        '{"images": "1", "members": [], "pictures": {}}',
        '{"images": 1, "members": "abc", "pictures": {}}',
        '{"images": 1, "members": [], "pictures": {"a": "x"}}',
        '{"images": 1, "members": [], "pictures": {"a": 7}}',
        '{"images": 1, "members": [], "pictures": {}, "more": 1}',
    ],
)
def test_a_malformed_plan_is_a_one_line_error_and_is_kept(place, content):
    erase.PLAN.parent.mkdir(parents=True, exist_ok=True)
    erase.PLAN.write_text(content)
    with pytest.raises(UserError, match=r"erase.json .*move it away, and run `unveil data erase`"):
        erase.pending_plan()
    assert erase.PLAN.read_text() == content
